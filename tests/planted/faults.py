"""Deliberate faults in rounding, kernels, bounds, counts, prices and quantisation, and the tests that catch them."""

from typing import NamedTuple


class Fault(NamedTuple):
    """In `file` the text `before`, which occurs once, becomes `after`; of `tests`, as pytest takes them, one fails."""

    name: str
    file: str
    before: str
    after: str
    tests: str


FIXED, CONVOLUTION, REQUANTISE = (
    "tests/test_fixed.py",
    "tests/kernels/test_convolution.py",
    "tests/kernels/test_requantise.py",
)
POOLING, EDGES = "tests/kernels/test_pooling.py", "tests/kernels/test_edges.py"
NETWORKS, BODIES = "tests/test_networks.py", "tests/export/test_bodies.py"
COUNTS = f"tests/test_shipped_model.py tests/test_taps.py {NETWORKS}"
COST = "tests/cost"

FAULTS = (
    Fault(
        "half_up forgets the half", "adderhw/fixed.py",
        "        return (t + half) >> n\n    shifted", "        return t >> n\n    shifted", FIXED,
    ),
    Fault(
        "half_even rounds ties up", "adderhw/fixed.py",
        "(t + half - shifted + (shifted & (t >> n))) >> n", "(t + half) >> n", FIXED,
    ),
    Fault(
        "half_away rounds negative ties up", "adderhw/fixed.py",
        "(t + half - (shifted & (t < 0))) >> n", "(t + half) >> n", FIXED,
    ),
    Fault(
        "the width of a negative range is one bit short at −2^k", "adderhw/fixed.py",
        "(-int(low) - 1).bit_length()) + 1", "(-int(low) - 1).bit_length())", FIXED,
    ),
    Fault(
        "half_even's table has no correction", "adderhw/kernels/requantise.py",
        "half - even, even, away", "half, even, away", REQUANTISE,
    ),
    Fault(
        "half_away's table turns the other way", "adderhw/kernels/requantise.py",
        "away = -shifted if", "away = shifted if", REQUANTISE,
    ),
    Fault(
        "int32 is taken for products of 33 bits", "adderhw/kernels/requantise.py",
        "_largest(max_abs_s, requant, 1) < 2**31", "_largest(max_abs_s, requant, 1) < 2**32", REQUANTISE,
    ),
    Fault(
        "requantisation in int64 clips at one end only", "adderhw/kernels/compiled.py",
        "            out[i] = min(max(t >> n[i], qmin), qmax)\n    else:",
        "            out[i] = max(t >> n[i], qmin)\n    else:", REQUANTISE,
    ),
    Fault(
        "a saturating accumulator stops one early", "adderhw/kernels/compiled.py",
        "s[i] = min(value, high) if saturate", "s[i] = min(value, high - 1) if saturate", CONVOLUTION,
    ),
    Fault(
        "a wrapping accumulator forgets where its range begins", "adderhw/kernels/compiled.py",
        "((value - low) & mask) + low", "(value & mask) + low", CONVOLUTION,
    ),
    Fault(
        "overflows are counted once a block", "adderhw/kernels/compiled.py",
        "        statistics[2] += outside", "        statistics[2] += 1", CONVOLUTION,
    ),
    Fault(
        "padding below the image is left out", "adderhw/kernels/compiled.py",
        "if 0 <= row + r < d.height:", "if 0 <= row + r <= d.height:", CONVOLUTION,
    ),
    Fault(
        "the right border is not padded", "adderhw/kernels/compiled.py",
        "max(d.padded_width - right, 0), d)", "0, d)", CONVOLUTION,
    ),
    Fault(
        "rows of windows are laid out channel by channel", "adderhw/kernels/convolution.py",
        "w.transpose(0, 3, 1, 2).reshape(outputs, kernel_w", "w.transpose(0, 1, 3, 2).reshape(outputs, kernel_w",
        CONVOLUTION,
    ),
    Fault(
        "negative sums have no bound", "adderhw/kernels/convolution.py",
        "np.maximum(np.maximum(least, most).sum(1), -np.minimum(least, most).sum(1))",
        "np.maximum(least, most).sum(1)", CONVOLUTION,
    ),
    Fault(
        "pooling leaves out the first row", "adderhw/kernels/windows.py",
        "if 0 <= y < height:", "if 0 < y < height:", POOLING,
    ),
    Fault(
        "a band of the input's pixels is as long as the last one", "adderhw/kernels/compiled.py",
        "n * image + c * pixels + start", "n * image + c * pixels + start % count", EDGES,
    ),
    Fault(
        "tensors that live together share memory", "adderhw/plan.py",
        "if entry[2] >= i]", "if entry[2] > i]", f"tests/test_plan.py {NETWORKS}",
    ),
    Fault(
        "the bound of an adder's sum looks at one end of the range", "adderhw/ops/adder_conv.py",
        "np.maximum(np.abs(w - low), np.abs(high - w))", "np.abs(high - w)", f"tests/ops/test_bounds.py {NETWORKS}",
    ),
    Fault(
        "an absolute value is priced at its operand's width", "adderhw/ops/adder_conv.py",
        'event("abs", bits + 1): taps', 'event("abs", bits): taps', COUNTS,
    ),
    Fault(
        "the paper's count has one addition a tap", "adderhw/ops/adder_conv.py",
        "PaperCount(add=2 * taps)", "PaperCount(add=taps)", COUNTS,
    ),
    Fault(
        "a narrow accumulator is tallied as the wide one", "adderhw/ops/adder_conv.py",
        "width = options.accumulator.bits or bits_for(0, out.highest)[0]", "width = bits_for(0, out.highest)[0]",
        f"{COUNTS} tests/test_simulate.py",
    ),
    Fault(
        "shift-and-add counts one addition too many a multiplier", "adderhw/ops/requantize.py",
        "sum(max(d - 1, 0) for d in digits)", "sum(d for d in digits)", COUNTS,
    ),
    Fault(
        "a clip is one comparison", "adderhw/ops/requantize.py",
        'add("cmp", 2 * elements, clip_width)', 'add("cmp", elements, clip_width)', COUNTS,
    ),
    Fault(
        "the function body rounds half_even as half_up", "adderhw/ops/requantize.py",
        "less_any = Add (even_less, away_less)", "less_any = Add (away_less, away_less)", BODIES,
    ),
    Fault(
        "products of more than 62 bits are taken", "adderhw/ops/requantize.py",
        "HEADROOM // 2 >= HEADROOM", "HEADROOM // 2 >= 4 * HEADROOM", "tests/ops/test_bounds.py",
    ),
    Fault(
        "a window of a maximum costs a comparison an element", "adderhw/ops/pooling.py",
        "(inside - 1).sum()", "inside.sum()", COUNTS,
    ),
    Fault(
        "signed digits are counted as ones", "adderhw/ops/realisation.py",
        "(value ^ (3 * value)).bit_count()", "value.bit_count()", "tests/ops/test_realisation.py",
    ),
    Fault(
        "narrow adders cost as much as the narrowest published", "adderhw/cost/prices.py",
        "self.points[0][1] * width / self.points[0][0]", "self.points[0][1]", COST,
    ),
    Fault(
        "the power law is upside down", "adderhw/cost/prices.py",
        "math.log(e1 / e0) / math.log(b1 / b0)", "math.log(b1 / b0) / math.log(e1 / e0)", COST,
    ),
    Fault(
        "a quadratic price is linear", "adderhw/cost/prices.py",
        "self.quadratic * width * width", "self.quadratic * width", COST,
    ),
    Fault(
        "a published price has a typing error", "adderhw/cost/tables/horowitz45.toml",
        "[8, 0.03]", "[8, 0.04]", COST,
    ),
    Fault(
        "finished sums are not read for their requantisation", "adderhw/cost/traffic.py",
        '("buffer", "partial_sums", "read"): outputs', '("buffer", "partial_sums", "read"): 0', COST,
    ),
    Fault(
        "the last block of output channels counts as a whole one", "adderhw/cost/traffic.py",
        "min(mapping.block, layer.outputs - first)", "mapping.block", COST,
    ),
    Fault(
        "the clipped weight's constant has a sign", "quant/grids.py",
        "constant = np.abs(weight - clipped)", "constant = (weight - clipped)",
        "tests/quant/test_grids.py tests/quant/test_stated_bounds.py",
    ),
    Fault(
        "batch norm adds the mean", "quant/fold.py",
        "beta - mean * factor", "beta + mean * factor", "tests/quant/test_fold.py tests/quant/test_lower.py",
    ),
    Fault(
        "a multiplier's error bound forgets half of the constant's", "quant/multipliers.py",
        "reach + 2.0 ** -(n + 1)", "reach + 2.0 ** -(n + 2)",
        "tests/quant/test_multipliers.py tests/quant/test_stated_bounds.py",
    ),
    Fault(
        "a grid with a zero point covers one end only", "quant/grids.py",
        "max(-low / zero, high / (top - zero))", "min(-low / zero, high / (top - zero))", "tests/quant/test_grids.py",
    ),
    Fault(
        "real numbers inside a network are read as if they entered it", "adderhw/ops/edges.py",
        "planar = out.lowest, out.highest, args[0].planar", "planar = out.lowest, out.highest, True",
        "tests/test_layouts.py",
    ),
    Fault(
        "a network's images are read as if they had been computed", "adderhw/ops/reshape.py",
        "shape, planar = out.shape[1:], args[0].planar", "shape, planar = out.shape[1:], False",
        "tests/test_layouts.py",
    ),
    Fault(
        "no op is asked whether it reads images as they enter", "adderhw/plan.py",
        "tensor.planar and not BY_NAME[node.op].reads_planar", "False", "tests/test_layouts.py",
    ),
    Fault(
        "whatever function a file brings is believed", "adderhw/function_check.py",
        "and not is_known(function, node, graph)", "and is_known(function, node, graph) is None",
        "tests/test_function_check.py",
    ),
    Fault(
        "a file's function is not tried on ties", "adderhw/function_check.py",
        "        if sum(at) % 2:", "        if False:", "tests/test_function_check.py",
    ),
)  # fmt: skip
