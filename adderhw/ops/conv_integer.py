"""ConvInteger: Σ (x − x_zero_point)(w − w_zero_point) over the taps (ONNX ConvInteger, up to 16 bits)."""

import numpy as np

from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.errors import ModelError
from adderhw.fixed import bits_for
from adderhw.kernels import Accumulator, conv_step, pack_integer_conv
from adderhw.ops.base import Attribute, Op, integer_input, scalar, sum_type
from adderhw.ops.convolution import ATTRIBUTES, UNFOLD, conv_shape, geometry, padded_range
from adderhw.ops.realisation import REALISATION, check_realisation, realisation, signed_digit_counts
from adderhw.tensor import integer_tensor

OPERANDS = ("x", "w", "x_zero_point", "w_zero_point")


class ConvInteger(Op):
    """x (N, C, H, W), w (O, C/group, kh, kw) → sums (N, O, H', W'); padding contributes 0.

    Semantics of ONNX ConvInteger with scalar zero points, on 8- and 16-bit storage; output_dtype INT32 or INT64.
    realisation: what hardware does the products: 'multiplier', or with constant weights 'shift_add:K' (every
    w − w_zero_point has at most K non-zero canonical signed digits) or 'shift' (as 'shift_add:1'); it changes the
    tally, never the integers.
    """

    name = "ConvInteger"
    standard = "ConvInteger"
    inputs = OPERANDS
    optional = 2
    output = "s"
    attributes = {**ATTRIBUTES, "output_dtype": Attribute("int", 6), "realisation": REALISATION}
    types = {
        "x": ("T", "integer8or16"),
        "w": ("W", "integer8or16"),
        "x_zero_point": ("T", "integer8or16"),
        "w_zero_point": ("W", "integer8or16"),
        "s": ("S", "sum"),
    }
    sums = True
    body = (
        """
  x_f = Cast <to = 1> (x)
  w_f = Cast <to = 1> (w)
  xz_f = Cast <to = 1> (x_zero_point)
  wz_f = Cast <to = 1> (w_zero_point)
  x0 = Sub (x_f, xz_f)
  w0 = Sub (w_f, wz_f)
"""
        + UNFOLD
        + """
  products = MatMul (filters, columns)
  shaped = Reshape (products, out_shape)
  s = Cast <to : int = @output_dtype> (shaped)
"""
    )

    def infer(self, node, args):
        """The exact range of each output channel's sum, from the exact range of x and the weights."""
        x, w, x_zero_point, w_zero_point = args
        integer_input(node, x)
        integer_input(node, w)
        x_zero, w_zero, (least, most) = mac_operands(node, x, x_zero_point, w_zero_point)
        shape = conv_shape(node, x, w)
        check_realisation(node, w.value.astype(np.int64) - w_zero, "weight")
        low, high = mac_bounds(w.value, w_zero, least - x_zero, most - x_zero)
        return integer_tensor(node.output, shape, sum_type(node, int(low.min()), int(high.max())), low, high)

    def compile(self, node, args, out, options, fusion=None):
        """One integer convolution, with the next node's requantisation in the same pass."""
        x, w, x_zero_point, w_zero_point = args
        x_zero, w_zero, x_range = mac_operands(node, x, x_zero_point, w_zero_point)
        packed = pack_integer_conv(
            w.value, w_zero, geometry(node), options.path, x_dtype=x.dtype, x_range=x_range, x_zero_point=x_zero
        )
        accumulator = mac_accumulator(node, out, options)
        requant = fusion.after if fusion else None

        def bind(arrays, target, threads, stats):
            return conv_step(
                packed, arrays[0], x_zero, target, accumulator=accumulator, requant=requant, stats=stats,
                threads=threads,
            )  # fmt: skip

        return bind

    def work(self, node, args, out, options):
        """Per tap a product in its realisation and an accumulation; for the paper a multiplication and an addition."""
        return mac_work(node, args, args[1].value, out, options)

    def float_exact(self, node, args):
        """The largest magnitude of a sum that the body carries in floating point."""
        x, w, x_zero_point, w_zero_point = args
        return sum_of_magnitudes(w.value, *mac_operands(node, x, x_zero_point, w_zero_point))


def mac_operands(node, x, x_zero_point, w_zero_point):
    """(x_zero_point, w_zero_point, (low, high) of x with its padding), all integers."""
    x_zero = scalar(node, x_zero_point, "x_zero_point")
    return x_zero, scalar(node, w_zero_point, "w_zero_point"), padded_range(node, x, x_zero)


def mac_bounds(weight, w_zero, low, high):
    """(low, high) int64 (O,): exact range of Σ a·(w − w_zero) with every a in [low, high], low ≤ 0 ≤ high."""
    w = weight.reshape(len(weight), -1).astype(np.int64) - w_zero
    return np.minimum(w * low, w * high).sum(axis=1), np.maximum(w * low, w * high).sum(axis=1)


def sum_of_magnitudes(weight, x_zero, w_zero, x_range):
    """The largest Σ |a·w| of an output channel: no partial sum of any order exceeds it."""
    largest = max(abs(end - x_zero) for end in x_range)
    magnitudes = np.abs(weight.reshape(len(weight), -1).astype(np.int64) - w_zero)
    return largest * int(magnitudes.sum(axis=1).max())


def mac_accumulator(node, out, options):
    """The Accumulator of a signed sum: exact, or wrapping where the caller asked it of every layer."""
    if not options.accumulate_all or options.accumulator.bits >= out.format.bits + (not out.format.signed):
        return Accumulator(0, False)
    if options.accumulator.saturate:
        raise ModelError(
            f"node {node.name!r} ({node.op}): found a saturating {options.accumulator.bits}-bit accumulator for a "
            f"signed sum of {out.format.bits} bits, expected wrap (saturation inside a signed sum depends on its order)"
        )
    return options.accumulator


def mac_work(node, args, weight, out, options):
    """The LayerWork of a multiply-accumulate layer; weight: the stored integers (O, …) of args[1]."""
    x, w, *zero_points = args
    x_zero, w_zero, x_range = mac_operands(node, x, *zero_points)
    taps = out.elements * weight[0].size
    width = options.accumulator.bits if options.accumulate_all and options.accumulator.bits else out.format.bits
    if realisation(node)[0] == "multiplier":
        events = Tally({event("mul", x.format.bits, w.format.bits): taps, event("add", width): taps})
    else:
        ends = [end - x_zero for end in x_range]
        events = shift_add_events(weight.astype(np.int64) - w_zero, ends, out.elements // len(weight), width)
    return LayerWork(
        name=node.name,
        op=node.op,
        kind="mac",
        output_shape=tuple(out.shape[1:]),
        taps=taps,
        reduction=weight[0].size,
        outputs=out.elements,
        input_bits=x.format.bits,
        weight_bits=w.format.bits,
        accumulator_bits=width,
        events=events,
        paper=PaperCount(mul=taps, add=taps),
    )


def shift_add_events(weight, x_ends, positions, accumulator_bits):
    """The Tally of every constant weight times an x within x_ends, at each of `positions`, added up.

    A weight of d signed digits is d shifts and d − 1 adds at the width that holds every product of the layer, and
    one add into the accumulator. A weight of 0 is no hardware and counts nothing.
    """
    ends = [int(x) * int(w) for x in x_ends for w in (weight.min(), weight.max())]
    product_bits = bits_for(min(ends), max(ends))[0]
    counts = signed_digit_counts(weight).values()
    digits = positions * sum(each * count for each, count in counts)
    products = positions * sum(count for each, count in counts if each)
    tally = Tally({event("shift", product_bits): digits})
    tally[event("add", product_bits)] += digits - products
    tally[event("add", accumulator_bits)] += products
    return +tally
