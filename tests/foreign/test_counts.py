"""Each op's events by hand, in floats and in integers; an op without a cost is refused by name."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from adderhw.cost.events import Tally, tally_by_name
from adderhw.errors import CostError
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network
from adderhw.onnx_reader import load_proto
from tests.foreign.models import float_cnn, model_of, one_op, quantised

IMAGE = ["N", 2, 4, 4]
STATED = {"div": 256, "n_levels_out": 16, "signed": 0}


def events(proto, bits=None):
    layers = count_network(foreign_graph(proto, "m"), bits)
    return tally_by_name(sum((layer.work.events for layer in layers), Tally()))


def real(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (one_op("Conv", IMAGE, constants={"w": real(3, 2, 3, 3)}), {"fadd:32": 216, "fmul:32": 216}),
        (one_op("Conv", IMAGE, constants={"w": real(3, 2, 3, 3), "b": real(3)}), {"fadd:32": 228, "fmul:32": 216}),
        (one_op("Conv", IMAGE, constants={"w": real(4, 1, 3, 3)}, group=2), {"fadd:32": 144, "fmul:32": 144}),
        (one_op("Conv", ["N", 2, 9], constants={"w": real(3, 2, 3)}, strides=[2]), {"fadd:32": 72, "fmul:32": 72}),
        (one_op("Gemm", ["N", 6], constants={"w": real(4, 6)}, transB=1), {"fadd:32": 24, "fmul:32": 24}),
        (one_op("MatMul", ["N", 5, 6], constants={"w": real(6, 4)}), {"fadd:32": 120, "fmul:32": 120}),
        (one_op("BatchNormalization", IMAGE, constants={k: real(2) for k in "gomv"}), {"fadd:32": 32, "fmul:32": 32}),
        (one_op("Relu", IMAGE), {}),
        (one_op("Clip", IMAGE, constants={"lo": np.float32(0), "hi": np.float32(6)}), {"cmp:32": 64}),
        (one_op("LeakyRelu", IMAGE, alpha=0.1), {"fmul:32": 32}),
        (one_op("HardSwish", IMAGE), {"cmp:32": 64, "fadd:32": 32, "fmul:32": 64}),
        (one_op("Add", IMAGE, constants={"b": real(2, 1, 1)}), {"fadd:32": 32}),
        (one_op("Mul", IMAGE, constants={"b": real(1)}), {"fmul:32": 32}),
        (one_op("Div", IMAGE, constants={"b": real(1)}), {"fmul:32": 32}),
        (one_op("Pow", IMAGE, constants={"e": np.float32(2)}), {"fmul:32": 32}),
        (one_op("MaxPool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4), {"cmp:32": 2 * (100 - 16)}),
        (one_op("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]), {"fadd:32": 32, "fmul:32": 8}),
        (one_op("GlobalAveragePool", IMAGE), {"fadd:32": 32, "fmul:32": 2}),
        (one_op("ReduceMean", IMAGE, axes=[2, 3]), {"fadd:32": 32, "fmul:32": 2}),
        (one_op("Transpose", IMAGE, perm=[0, 2, 3, 1]), {}),
        (one_op("Concat", IMAGE, constants={"b": real(1, 3, 4, 4)}, axis=1), {}),
        (one_op("Abs", IMAGE), {}),
        (one_op("HardSigmoid", IMAGE), {"cmp:32": 64, "fadd:32": 32, "fmul:32": 32}),
        (one_op("Max", IMAGE, constants={"b": real(1), "c": real(1)}), {"cmp:32": 64}),
        (one_op("ReduceSum", IMAGE, constants={"axes": np.array([2, 3])}), {"fadd:32": 32}),
        (one_op("ReduceMax", IMAGE, axes=[2, 3]), {"cmp:32": 30}),
        (one_op("MaxPool", IMAGE, kernel_shape=[1, 1], strides=[2, 2]), {}),
        (one_op("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4), {"fadd:32": 200, "fmul:32": 32}),
        (
            one_op("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
            {"fadd:32": 288, "fmul:32": 32},
        ),
        (one_op("AveragePool", IMAGE, kernel_shape=[3, 3], auto_pad="SAME_UPPER"), {"fadd:32": 288, "fmul:32": 32}),
        (one_op("Resize", IMAGE, constants={"roi": real(0), "s": np.float32([1, 1, 2, 2])}), {}),
    ],
    ids=lambda value: value.graph.node[0].op_type if hasattr(value, "graph") else "",
)
def test_the_events_of_a_float_op(proto, expected):
    assert events(proto) == expected


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (one_op("ConvTranspose", IMAGE, constants={"w": real(2, 3, 3, 3)}), {"fadd:32": 864, "fmul:32": 864}),
        (one_op("Exp", IMAGE), {"fadd:32": 10 * 32, "fmul:32": 8 * 32}),
        (one_op("Sigmoid", IMAGE), {"fadd:32": 15 * 32, "fmul:32": 14 * 32}),
        (one_op("Softmax", IMAGE, axis=1), {"cmp:32": 32, "fadd:32": 12 * 32 + 4 * 16, "fmul:32": 9 * 32 + 6 * 16}),
        (
            one_op("InstanceNormalization", IMAGE, constants={"s": real(2), "b": real(2)}),
            {"fadd:32": 4 * 32 + 5 * 2, "fmul:32": 3 * 32 + 12 * 2},
        ),
        (
            one_op("LayerNormalization", IMAGE, constants={"s": real(4)}),
            {"fadd:32": 4 * 32 + 5 * 8, "fmul:32": 3 * 32 + 12 * 8},
        ),
        (one_op("Sqrt", IMAGE), {"fadd:32": 4 * 32, "fmul:32": 11 * 32}),
        (one_op("Pow", IMAGE, constants={"e": np.float32(3)}), {"fadd:32": 21 * 32, "fmul:32": 18 * 32}),
        (one_op("LRN", IMAGE, size=3), {"fadd:32": 28 * 32, "fmul:32": 27 * 32}),
    ],
    ids=lambda value: value.graph.node[0].op_type if hasattr(value, "graph") else "",
)
def test_the_program_of_a_function(proto, expected):
    assert events(proto) == expected


def test_a_function_of_codes_is_computed_in_floats_and_gives_codes():
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], "a", kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["a"], ["y"], "n"),
    ]
    assert events(model_of(nodes, {"x": IMAGE}, {"y": None}, {}), bits=8) == {
        "cmp:32": 64,
        "fadd:32": 17 * 32,
        "fmul:32": 16 * 32,
    }


def test_the_quantisers_of_qonnx_count_at_their_widths():
    constants = {"s": np.float32(0.5), "z": np.float32(0), "b": np.float32(3), "b2": np.float32(2)}
    nodes = [
        helper.make_node("Quant", ["x", "s", "z", "b"], ["q"], "q", domain="qonnx.custom_op.general"),
        helper.make_node("BipolarQuant", ["w", "s"], ["v"], "v", domain="onnx.brevitas"),
        helper.make_node("Conv", ["q", "v"], ["c"], "c"),
        helper.make_node("Quant", ["c", "s", "z", "b"], ["r"], "r", domain="qonnx.custom_op.general"),
        helper.make_node("Trunc", ["r", "s", "z", "b", "b2"], ["y"], "t", domain="qonnx.custom_op.general"),
    ]
    proto = model_of(nodes, {"x": IMAGE}, {"y": None}, constants | {"w": real(4, 2, 1, 1)})
    assert events(proto) == {
        "add:5": 128, "add:29": 2 * 64, "mul:3x1": 128, "mul:5x24": 64, "shift:3": 64, "shift:29": 64, "cmp:5": 128,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("quantised", "expected"),
    [
        (True, {"mul:3x8": 32, "add:11": 32, "mul:11x5": 32, "add:16": 32, "shift:16": 32, "cmp:11": 64}),
        (False, {"cmp:32": 64, "fadd:32": 3 * 32 + 32, "fmul:32": 2 * 32 + 32}),
    ],
)
def test_requant_shift_counts_in_the_arithmetic_of_what_it_reads(quantised, expected):
    numbers = {name: numpy_helper.from_array(np.float32(value), name) for name, value in STATED.items()}
    first = helper.make_node("Quant", ["x", "s", "z", "b"], ["q"], "q", domain="onnx.brevitas")
    nodes = [
        helper.make_node("Conv", ["q" if quantised else "x", "w"], ["c"], "c"),
        helper.make_node("RequantShift", ["c", "m", "a"], ["y"], "n", domain="PACTOps", **numbers),
    ]
    constants = {"s": np.float32(0.5), "z": np.float32(0), "b": np.float32(3), "m": real(1) * 20, "a": real(1)}
    weights = {"w": np.ones((2, 1, 1, 1), np.int8) if quantised else real(2, 1, 1, 1)}
    proto = model_of([first] * quantised + nodes, {"x": ["N", 1, 4, 4]}, {"y": None}, constants | weights)
    assert events(proto) == expected


def test_integers_too_wide_to_count_name_their_node():
    names = {"dtype": TensorProto.INT64, "out_dtype": TensorProto.INT64}
    node = helper.make_node("Mul", ["x", "b"], ["y"], "n")
    add = helper.make_node("Add", ["y", "b"], ["z"], "wide")
    proto = model_of([node, add], {"x": ["N", 4]}, {"z": None}, {"b": np.ones(4, np.int64)}, **names)
    with pytest.raises(CostError, match=r"node 'wide' \(Add\): event add: found 128 bits, expected 1 to 64"):
        events(proto)


def test_a_requant_shift_that_does_not_shift_is_refused():
    numbers = {name: numpy_helper.from_array(np.float32(3), name) for name in STATED}
    with pytest.raises(CostError, match=r"node 'n' \(RequantShift\): found n_levels_out 3, expected a power of two"):
        events(one_op("RequantShift", IMAGE, constants={"m": real(1), "a": real(1)}, domain="PACTOps", **numbers))


@pytest.mark.parametrize(
    "proto",
    [one_op("CumSum", IMAGE, constants={"a": np.int64(1)}), one_op("Hardmax", IMAGE), one_op("Det", IMAGE)],
    ids=lambda proto: proto.graph.node[0].op_type,
)
def test_an_op_without_a_cost_is_refused_by_name(proto):
    op = proto.graph.node[0].op_type
    with pytest.raises(CostError, match=rf"node 'n' \({op}\): found .*no"):
        events(proto)


def test_what_moves_numbers_has_no_cost_only_where_that_is_wiring():
    linear = one_op("Resize", IMAGE, constants={"roi": real(0), "s": np.float32([1, 1, 2, 2])}, mode="linear")
    with pytest.raises(CostError, match=r"node 'n' \(Resize\): found mode 'linear', which has no cost here"):
        events(linear)
    node = helper.make_node("Gather", ["x", "i"], ["y"], "n", axis=1)
    inputs = {"dtype": TensorProto.INT64, "out_dtype": TensorProto.INT64}
    with pytest.raises(CostError, match=r"node 'n' \(Gather\): found indices that the network computes"):
        events(model_of([node], {"x": ["N", 5], "i": ["N"]}, {"y": None}, {}, **inputs))
    nodes = [
        helper.make_node("MaxPool", ["x"], ["f"], "f", kernel_shape=[1, 1]),
        helper.make_node("QuantizeLinear", ["f", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "d"),
        helper.make_node("Concat", ["f", "d"], ["y"], "n", axis=1),
    ]
    constants = {"s": np.float32(0.5), "z": np.uint8(0)}
    with pytest.raises(CostError, match=r"node 'n' \(Concat\): found floats beside integers"):
        events(model_of(nodes, {"x": IMAGE}, {"y": None}, constants))


def test_what_only_floats_can_is_refused_for_integers():
    with pytest.raises(CostError, match=r"node 'n' \(HardSwish\): found integers of 8 bits, for which it has no cost"):
        events(one_op("HardSwish", IMAGE), bits=8)
    node = helper.make_node("Cast", ["x"], ["y"], "n", to=TensorProto.INT8)
    with pytest.raises(CostError, match=r"node 'n' \(Cast\): found a cast to int8, which has no cost here"):
        events(model_of([node], {"x": IMAGE}, {"y": None}, {}, out_dtype=TensorProto.INT8))


def test_division_by_what_the_network_computes_is_an_inverse_and_a_product():
    nodes = [helper.make_node("Relu", ["x"], ["r"], "r"), helper.make_node("Div", ["x", "r"], ["y"], "n")]
    assert events(model_of(nodes, {"x": IMAGE}, {"y": None}, {})) == {"fadd:32": 4 * 32, "fmul:32": 7 * 32}


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (one_op("Abs", IMAGE), {"abs:8": 32}),
        (one_op("Max", IMAGE, constants={"b": real(1)}), {"cmp:8": 32}),
        # a product of 16 bits; behind it a constant of 14 bits, an addition, a shift and two comparisons
        (
            one_op("Mul", IMAGE, constants={"b": real(1)}),
            {"mul:8": 32, "mul:16x14": 32, "add:30": 32, "shift:30": 32, "cmp:16": 64},
        ),
        (
            one_op("Pow", IMAGE, constants={"e": np.float32(2)}),
            {"mul:8": 32, "mul:16x14": 32, "add:30": 32, "shift:30": 32, "cmp:16": 64},
        ),
        # times a constant of 14 bits, and for a batch norm an offset; then rounding, shift and two comparisons
        (
            one_op("LeakyRelu", IMAGE, alpha=0.1),
            {"mul:8x14": 32, "add:22": 32, "shift:22": 32, "cmp:22": 64},
        ),
        (
            one_op("BatchNormalization", IMAGE, constants={k: real(2) for k in "gomv"}),
            {"mul:8x14": 32, "add:22": 64, "shift:22": 32, "cmp:22": 64},
        ),
        # both operands on one grid of 22 bits, a sum of 23; the constant is there before the network runs
        (
            one_op("Add", IMAGE, constants={"b": real(2, 1, 1)}),
            {"mul:8x14": 32, "add:23": 64, "shift:23": 32, "cmp:23": 64},
        ),
        # 16 values of 8 bits are 12 bits; two sums are rescaled
        *[
            (proto, {"add:12": 32, "mul:12x14": 2, "add:26": 2, "shift:26": 2, "cmp:12": 4})
            for proto in (
                one_op("GlobalAveragePool", IMAGE),
                one_op("ReduceSum", IMAGE, constants={"axes": np.array([2, 3])}),
            )
        ],
    ],
    ids=lambda value: value.graph.node[0].op_type if hasattr(value, "graph") else "",
)
def test_the_events_of_an_op_on_eight_bit_integers(proto, expected):
    assert events(proto, bits=8) == expected


def test_a_constant_behind_an_integer_layer_joins_its_rescaling():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "c"), helper.make_node("Add", ["c", "b"], ["y"], "b")]
    constants = {"w": real(3, 2, 1, 1), "b": real(3, 1, 1)}
    # 48 sums of 8 + 8 + 1 bits; one rescaling, no addition of its own for b
    assert events(model_of(nodes, {"x": IMAGE}, {"y": None}, constants), bits=8) == {
        "mul:8": 96, "add:17": 96, "mul:17x14": 48, "add:31": 48, "shift:31": 48, "cmp:17": 96,
    }  # fmt: skip


def codes(op, names, grids):
    """A model of one op of onnxruntime's own domain on x, uint8; grids: {name of a scale: its value}."""
    constants = {name: np.float32(value) for name, value in grids.items()} | {
        "z": np.uint8(0),
        "b": np.uint8([[[[9]]]]),
    }
    node = helper.make_node(op, names, ["y"], "n", domain="com.microsoft", **({"axis": 1} if "Concat" in op else {}))
    types = {"dtype": TensorProto.UINT8, "out_dtype": TensorProto.UINT8}
    return model_of([node], {"x": IMAGE}, {"y": None}, {k: v for k, v in constants.items() if k in names}, **types)


def test_a_product_of_codes_is_rescaled_to_a_code():
    proto = codes("QLinearMul", ["x", "s", "z", "b", "s", "z", "s", "z"], {"s": 0.5})
    assert events(proto) == {"mul:8": 32, "mul:16x24": 32, "add:40": 64, "shift:40": 32, "cmp:16": 64}


def test_codes_side_by_side_are_rescaled_where_their_grid_is_another():
    same, other = (
        codes("QLinearConcat", ["s", "z", "x", "s", "z", "x", name, "z"], {"s": 0.5, "t": 2}) for name in "st"
    )
    assert events(same) == {}
    assert events(other) == {"mul:8x24": 32, "add:32": 64, "shift:32": 32, "cmp:8": 64}


@pytest.mark.parametrize(
    ("dtype", "expected"), [("FLOAT", {}), ("FLOAT16", {"fadd:32": 32}), ("DOUBLE", {"fadd:64": 32})]
)
def test_a_cast_to_another_float_rounds_in_an_adder_of_the_wider_one(dtype, expected):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], "p", kernel_shape=[1, 1]),
        helper.make_node("Cast", ["p"], ["y"], "n", to=TensorProto.DataType.Value(dtype)),
    ]
    assert (
        events(model_of(nodes, {"x": IMAGE}, {"y": None}, {}, out_dtype=TensorProto.DataType.Value(dtype))) == expected
    )


@pytest.mark.parametrize(
    ("how", "pads"), [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0)), ("VALID", (0, 0, 0, 0))]
)
def test_pads_that_are_words_become_numbers(how, pads):
    proto = one_op("Conv", IMAGE, constants={"w": real(3, 2, 3, 3)}, strides=[2, 2], auto_pad=how)
    layer = count_network(foreign_graph(proto, "m"))[0]
    assert layer.operands.pads == pads
    assert layer.work.outputs == 3 * (1 if how == "VALID" else 4)


def test_a_float_network_by_hand():
    # stem 6,912 taps and 256 biases; inner 9,216; norm folded 256; add 256; pool 64·3; gap 64 and 4; fc 20 and 5 biases
    assert events(float_cnn()) == {"cmp:32": 192, "fadd:32": 16985, "fmul:32": 16152}


def test_the_same_network_as_eight_bit_integers_by_hand():
    counted = events(float_cnn(), bits=8)
    assert counted["mul:8"] == 16148
    # stem: 8 + 8 + 5 bits; behind it a multiplication by 14 bits, an addition, a shift and two comparisons an output
    assert counted["add:21"] == 6912
    assert counted["mul:21x14"] == 256
    assert counted["cmp:21"] == 512
    # residual: both operands are scaled, added in 23 bits and rounded
    assert counted["mul:8x14"] == 512
    assert counted["add:23"] == 2 * 256
    assert counted["cmp:8"] == 192


def test_both_quantised_formats_count_the_same(tmp_path):
    tallies = [events(load_proto(quantised(float_cnn(), tmp_path, form))) for form in ("QDQ", "QOperator")]
    assert tallies[0] == tallies[1]
    assert tallies[0]["mul:8"] == 16148
    # stem: 21 bits, 256 outputs; each times a constant of 24 bits, two additions, a shift and two comparisons
    stem = {"add:21": 6912, "mul:21x24": 256, "add:45": 512, "shift:45": 256, "cmp:21": 512}
    assert {name: tallies[0][name] for name in stem} == stem
    assert not any(name.startswith("f") for name in tallies[0])
