"""Determined networks equal onnxruntime on every tensor, whatever their shapes, scales and codes; others say why."""

import re

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from adderhw.foreign.check import ForeignCheck
from adderhw.foreign.exact import exact_network
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.integers import InexactError
from adderhw.foreign.network import count_network
from adderhw.onnx_reader import load_proto
from tests.foreign.models import float_cnn, model_of, plain_cnn, quantised
from tests.foreign.random_networks import Maker, judged

CODES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}


def mismatches(proto, x):
    """(values compared, values that differ) of every tensor the file names."""
    network = exact_network(foreign_graph(proto, "m"), 1)
    check = ForeignCheck(proto, network, 1)
    inputs = {network.inputs[0].name: x}
    check.compare(inputs, network.run(inputs))
    return check.values, check.mismatches


@st.composite
def networks(draw):
    """(QOperator model of codes: conv, conv or add, max pool, product; codes to feed it)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from((np.uint8, np.int8)))
    per_channel, group = draw(st.booleans()), draw(st.sampled_from((1, 2)))
    stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    channels, size = 2 * draw(st.integers(1, 3)), draw(st.integers(5, 7))
    info = np.iinfo(kind)
    code = lambda *shape, dtype=kind: rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape, dtype)  # noqa: E731
    scale = lambda *shape: np.exp(rng.uniform(-8, 1, shape)).astype(np.float32)  # noqa: E731
    zero = lambda: np.asarray(code(), kind)  # noqa: E731
    w_scale, w_zero = (scale(4), np.zeros(4, np.int8)) if per_channel else (scale(), np.int8(0))
    out = (size + 2 * pad - 3) // stride + 1
    pooled = out - 1
    constants = {
        "xs": scale(), "xz": zero(), "w": code(4, channels // group, 3, 3, dtype=np.int8), "ws": w_scale, "wz": w_zero,
        "ys": np.float32(np.exp(rng.uniform(-3, 3))), "yz": zero(), "b": rng.integers(-9999, 9999, 4, np.int32),
        "v": code(4 * pooled * pooled, 3, dtype=np.int8), "vs": scale(), "vz": np.int8(0), "zs": scale(), "zz": zero(),
    }  # fmt: skip
    if draw(st.booleans()):
        constants["xz"] = constants["yz"] = np.asarray(info.min, kind)
    nodes = [
        helper.make_node(
            "QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["c"], "conv", strides=[stride] * 2,
            pads=[pad] * 4, group=group, kernel_shape=[3, 3],
        ),
        helper.make_node("MaxPool", ["c"], ["p"], "pool", kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("QLinearMatMul", ["f", "ys", "yz", "v", "vs", "vz", "zs", "zz"], ["y"], "product"),
    ]  # fmt: skip
    proto = model_of(
        nodes, {"x": ["N", channels, size, size]}, {"y": ["N", 3]}, constants, dtype=CODES[kind], out_dtype=CODES[kind]
    )
    return proto, code(3, channels, size, size)


@settings(max_examples=25)
@given(networks())
def test_qlinear_networks_equal_onnxruntime(made):
    proto, x = made
    values, differing = mismatches(proto, x)
    assert differing == 0
    assert values > 3 * 3


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize(("activation", "per_channel"), [("QUInt8", True), ("QUInt8", False), ("QInt8", True)])
def test_what_onnxruntime_quantises_equals_onnxruntime(tmp_path, form, activation, per_channel):
    proto = load_proto(quantised(plain_cnn(), tmp_path, form, activation=activation, per_channel=per_channel))
    x = np.random.default_rng(7).standard_normal((9, 3, 8, 8)).astype(np.float32)
    values, differing = mismatches(proto, x)
    assert differing == 0
    assert values >= 9 * (192 + 256 + 54 + 24 + 5)


def pointwise(x_scale, w, w_scale, y_scale, bias):
    """A 1×1 QLinearConv from one channel to len(w)."""
    constants = {
        "xs": np.float32(x_scale), "xz": np.uint8(0), "w": np.asarray(w, np.int8).reshape(-1, 1, 1, 1),
        "ws": np.asarray(w_scale, np.float32), "wz": np.zeros(len(w), np.int8), "ys": np.float32(y_scale),
        "yz": np.uint8(128), "b": np.asarray(bias, np.int32),
    }  # fmt: skip
    node = helper.make_node("QLinearConv", ["x", *constants], ["y"], "conv", kernel_shape=[1, 1])
    shapes = {"x": ["N", 1, 16, 16]}, {"y": ["N", len(w), 16, 16]}
    return model_of([node], *shapes, constants, dtype=TensorProto.UINT8, out_dtype=TensorProto.UINT8)


CODES_0_TO_255 = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)


def test_halves_are_rounded_to_even():
    proto = pointwise(0.5, [1, -1, 3], [1, 1, 1], 1, [0, 0, 0])
    assert mismatches(proto, CODES_0_TO_255) == (3 * 256, 0)


def test_scales_are_combined_in_onnxruntimes_order():
    rng = np.random.default_rng(2)
    channels = 4000  # a multiplier that is one unit in the last place off changes about one value in 50,000
    w, scale = rng.integers(-128, 128, channels), np.exp(rng.uniform(-7, -5, channels))
    proto = pointwise(0.0173, w, scale, 0.0119, rng.integers(-9000, 9000, channels))
    assert mismatches(proto, CODES_0_TO_255) == (channels * 256, 0)


def residual(ratio_a, ratio_b, zero=4):
    """A QLinearAdd whose operands' scales are the output's times the ratios."""
    scale = np.float32(0.0371)
    constants = {
        "as": np.float32(scale * ratio_a), "az": np.uint8(7), "b": np.arange(32, dtype=np.uint8).reshape(1, 2, 4, 4),
        "bs": np.float32(scale * ratio_b), "bz": np.uint8(3), "s": scale, "z": np.uint8(zero),
    }  # fmt: skip
    node = helper.make_node(
        "QLinearAdd", ["x", "as", "az", "x", "bs", "bz", "s", "z"], ["y"], "add", domain="com.microsoft"
    )
    del constants["b"]
    sizes = ["N", 2, 4, 4]
    return model_of([node], {"x": sizes}, {"y": sizes}, constants, dtype=TensorProto.UINT8, out_dtype=TensorProto.UINT8)


@pytest.mark.parametrize("ratios", [(1, 1), (0.5, 1), (0.25, 0.5), (2, 0.125)])
def test_additions_on_scales_of_powers_of_two_equal_onnxruntime(ratios):
    x = np.random.default_rng(1).integers(0, 256, (32, 2, 4, 4), np.uint8)
    assert mismatches(residual(*ratios), x) == (1024, 0)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (residual(0.3, 1), "node 'add' (QLinearAdd) adds on scales that are not the output's times powers of two"),
        (residual(0.5, 1, zero=5), "node 'add' (QLinearAdd) has an odd zero point"),
        (float_cnn(), "node 'stem' (Conv) reads 'x', which is not quantised"),
    ],
)
def test_what_is_not_determined_says_where_and_why(proto, words):
    with pytest.raises(InexactError, match=re.escape(words)):
        exact_network(foreign_graph(proto, "m"), 1)


def test_a_relu_that_the_clip_does_not_imply_is_not_determined(tmp_path):
    proto = load_proto(quantised(plain_cnn(), tmp_path, "QDQ"))
    relu = helper.make_node("Relu", ["x"], ["r"], "relu")
    assert isinstance(proto, onnx.ModelProto)
    proto.graph.node.append(relu)
    with pytest.raises(InexactError, match=r"node 'relu' \(Relu\) is computed in floating point"):
        exact_network(foreign_graph(proto, "m"), 1)


def wrapped(op, *, x_grid=("xs", "z"), y_grid=("ys", "z"), relu=False, bias=None, x_shape=(2, 4, 4), **changes):
    """QuantizeLinear, DequantizeLinear, `op` on constant codes w, maybe Relu, QuantizeLinear; changes: constants."""
    constants = {
        "xs": np.float32(0.5), "ys": np.float32(2), "z": np.uint8(0), "w": np.int8([[[[3]], [[-2]]]]),
        "ws": np.float32(0.25), "wz": np.int8(0), "bs": np.float32(0.125), "bz": np.int32(0),
        **({} if bias is None else {"b": bias}),
    }  # fmt: skip
    attributes = {key: changes.pop(key) for key in tuple(changes) if key not in constants}
    constants |= changes
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *x_grid], ["q"], "enter"),
        helper.make_node("DequantizeLinear", ["q", *x_grid], ["d"], "codes"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["v"], "weights"),
        helper.make_node(op, ["d", "v", *(["c"] if bias is not None else [])], ["s"], "layer", **attributes),
        helper.make_node("QuantizeLinear", ["r" if relu else "s", *y_grid], ["y"], "leave"),
    ]
    if bias is not None:
        nodes.insert(3, helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["c"], "bias"))
    if relu:
        nodes.insert(-1, helper.make_node("Relu", ["s"], ["r"], "relu"))
    out = TensorProto.UINT8
    return model_of(nodes, {"x": ["N", *x_shape]}, {"y": None}, constants, out_dtype=out)


PRODUCT = {"w": np.int8([[3, 0], [-2, 9]]), "x_shape": (2,)}


@pytest.mark.parametrize(
    "proto",
    [
        wrapped("Conv"),
        wrapped("Conv", x_grid=("xs", "")),
        wrapped("Conv", auto_pad="SAME_UPPER", w=np.ones((1, 2, 3, 2), np.int8), strides=[2, 3]),
        wrapped("Conv", bias=np.int32([50]), relu=True),
        wrapped("Gemm", **PRODUCT),
        wrapped("Gemm", **PRODUCT, bias=np.int32([50, -50]), transB=1),
        wrapped("MatMul", **PRODUCT),
    ],
)
def test_layers_between_quantisers_equal_onnxruntime(proto):
    sizes = [dim.dim_value or 9 for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    values, differing = mismatches(proto, np.random.default_rng(3).uniform(-9, 140, sizes).astype(np.float32))
    assert differing == 0
    assert values > 9


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (wrapped("Conv", bias=np.int32([1]), bs=np.float32(1)), "'layer' (Conv) has a bias 'c' on another scale than"),
        (
            wrapped("Conv", relu=True, z=np.uint8(3)),
            "'leave' (QuantizeLinear) does not clip at 0 what a Relu before it",
        ),
        (wrapped("Conv", xs=np.float32(np.inf)), "'enter' (QuantizeLinear) has a scale of float32, which is no finite"),
        (
            wrapped("Conv", ys=np.float32([1, -1])),
            "'leave' (QuantizeLinear) has a scale of float32, which is no finite",
        ),
        (
            wrapped("Conv", xs=np.float32([1, 2])),
            "'enter' (QuantizeLinear) has a scale for each channel of an activation",
        ),
        (
            wrapped("Conv", ws=np.float32([1, 2]), wz=np.int8([1, 2]), w=np.int8(np.ones((2, 2, 1, 1)))),
            "'weights' (DequantizeLinear) has a zero point for each channel, which is not simulated here",
        ),
        (wrapped("Conv", x_shape=(2, 4), w=np.int8([[[3], [1]]])), "'layer' (Conv) is no 2-D convolution"),
        (
            wrapped("Conv", ws=np.float32([1, 2]), wz=np.int8([0, 0]), w=np.int8(np.ones((2, 2, 1, 1)))),
            "'layer' (Conv) has weights with a scale for each index of axis 1, not for each output channel (axis 0)",
        ),
        (wrapped("Conv", unknown=3), "'layer' (Conv) has attribute unknown = 3, which is not known here"),
        (
            wrapped("Gemm", **PRODUCT, alpha=2.0),
            "'layer' (Gemm) has attribute alpha = 2.0, expected 1.0",
        ),
        (
            wrapped("MatMul", w=np.int8([[3, 0], [-2, 9]]), x_shape=(3, 2)),
            "'layer' (MatMul) is no product of (N, K) and a constant (K, O)",
        ),
    ],
)
def test_a_layer_that_is_not_determined_says_where_and_why(proto, words):
    with pytest.raises(InexactError, match=re.escape(words)):
        exact_network(foreign_graph(proto, "m"), 1)


def moved(*nodes, **constants):
    """The nodes behind codes d of x, on grid xs, z."""
    first = [
        helper.make_node("QuantizeLinear", ["x", "xs", "z"], ["q"], "enter"),
        helper.make_node("DequantizeLinear", ["q", "xs", "z"], ["d"], "codes"),
    ]
    constants = {"xs": np.float32(0.5), "z": np.uint8(0)} | constants
    return model_of([*first, *nodes], {"x": ["N", 2, 4, 4]}, {nodes[-1].output[0]: None}, constants)


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (
            moved(helper.make_node("MaxPool", ["d"], ["y"], "pool", kernel_shape=[2, 2], ceil_mode=1)),
            "'pool' (MaxPool) has attribute ceil_mode = 1, expected 0",
        ),
        (
            moved(
                helper.make_node(
                    "MaxPool", ["d"], ["y"], "pool", kernel_shape=[2, 2], dilations=[2, 1], auto_pad="SAME_LOWER"
                )
            ),
            "'pool' (MaxPool) leaves the pads of dilated windows to auto_pad",
        ),
        (
            moved(helper.make_node("MaxPool", ["x"], ["y"], "pool", kernel_shape=[2, 2])),
            "'pool' (MaxPool) is computed in floating point",
        ),
        (
            moved(
                helper.make_node("Conv", ["d", "w"], ["y"], "layer"),
                w=np.ones((1, 2, 1, 1), np.float32),
            ),
            "'layer' (Conv) reads 'w', which is not quantised",
        ),
        (
            moved(
                helper.make_node("DequantizeLinear", ["w", "xs"], ["v"], "weights"),
                helper.make_node("Conv", ["d", "v", "b"], ["y"], "layer"),
                w=np.ones((1, 2, 1, 1), np.uint8),
                b=np.ones(1, np.float32),
            ),
            "'layer' (Conv) has a bias 'b' of floats, which is not determined",
        ),
    ],
)
def test_an_op_behind_codes_that_is_not_determined_says_where_and_why(proto, words):
    with pytest.raises(InexactError, match=re.escape(words)):
        exact_network(foreign_graph(proto, "m"), 1)


def test_a_scale_that_the_network_computes_is_not_determined():
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["y"], "enter")
    proto = model_of([node], {"x": ["N", 2], "s": ["N"]}, {"y": None}, {}, out_dtype=TensorProto.UINT8)
    with pytest.raises(InexactError, match=r"'enter' \(QuantizeLinear\) has 's' computed by the network"):
        exact_network(foreign_graph(proto, "m"), 1)


def reference(proto, x):
    """(what is computed here, what ONNX's reference implementation computes) of the first output."""
    network = exact_network(foreign_graph(proto, "m"), 1)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    return network.run({"x": x})[network.outputs[0]], expected


@pytest.mark.parametrize("seed", range(150))
def test_random_networks_are_what_onnx_says_or_refused(seed):
    maker = Maker(seed)
    reason = judged(maker.network())
    assert reason is None or maker.odd or "which onnxruntime does not fuse" in reason


def behind_codes(nodes, opset=19, **constants):
    """x → QuantizeLinear and DequantizeLinear d on xs, z → `nodes`, the last of which makes y."""
    first = [
        helper.make_node("QuantizeLinear", ["x", "xs", "z"], ["q"], "enter"),
        helper.make_node("DequantizeLinear", ["q", "xs", "z"], ["d"], "codes"),
    ]
    constants = {"xs": np.float32(0.5), "z": np.uint8(9)} | constants
    return model_of([*first, *nodes], {"x": ["N", 2, 4, 4]}, {"y": None}, constants, opset=opset, ir=10)


def ints(*values):
    return np.array(values, np.int64)


def back(source="t", scale="xs", zero="z"):
    return helper.make_node("DequantizeLinear", ["c", scale, zero], ["y"], "y"), helper.make_node(
        "QuantizeLinear", [source, scale, zero], ["c"], "leave"
    )


MOVES = {
    "Transpose": (helper.make_node("Transpose", ["d"], ["t"], perm=[0, 2, 3, 1]), {}),
    "Pad with 0": (helper.make_node("Pad", ["d", "p"], ["t"]), {"p": ints(0, 0, 1, 1, 0, 0, 1, 2)}),
    "Pad with 2": (
        helper.make_node("Pad", ["d", "p", "v"], ["t"]), {"p": ints(0, 1, 0, 0, 0, 0, 0, 1), "v": np.float32(2)},
    ),
    "Pad by reflection": (
        helper.make_node("Pad", ["d", "p"], ["t"], mode="reflect"), {"p": ints(0, 0, 1, 1, 0, 0, 2, 1)},
    ),
    "Slice": (
        helper.make_node("Slice", ["d", "s", "e", "a", "k"], ["t"]),
        {"s": ints(3, 0), "e": ints(-9, 2), "a": ints(2, -1), "k": ints(-1, 1)},
    ),
    "Gather": (helper.make_node("Gather", ["d", "i"], ["t"], axis=2), {"i": ints(3, 3, -4)}),
    "DepthToSpace": (helper.make_node("SpaceToDepth", ["d"], ["t"], blocksize=2), {}),
    "Expand": (helper.make_node("Expand", ["d", "s"], ["t"]), {"s": ints(1, 2, 4, 4)}),
    "Resize": (helper.make_node("Resize", ["d", "", "s"], ["t"]), {"s": np.float32([1, 1, 2, 3])}),
    "GlobalMaxPool": (helper.make_node("GlobalMaxPool", ["d"], ["t"]), {}),
    "Dropout": (helper.make_node("Dropout", ["d"], ["t"]), {}),
    "Relu": (helper.make_node("Relu", ["d"], ["t"]), {}),
    "dilated MaxPool": (helper.make_node("MaxPool", ["d"], ["t"], kernel_shape=[2, 2], dilations=[2, 1]), {}),
    "MaxPool of the same size": (
        helper.make_node("MaxPool", ["d"], ["t"], kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 2]), {},
    ),
    "Concat with itself": (helper.make_node("Concat", ["d", "d"], ["t"], axis=-1), {}),
    "Flatten": (helper.make_node("Flatten", ["d"], ["t"], axis=-3), {}),
}  # fmt: skip


@pytest.mark.parametrize(("node", "constants"), MOVES.values(), ids=MOVES)
def test_ops_that_move_or_choose_codes_are_simulated(node, constants):
    leave, quantiser = back()
    proto = behind_codes([node, quantiser, leave], **constants)
    x = np.random.default_rng(2).uniform(-9, 140, (3, 2, 4, 4)).astype(np.float32)
    found, expected = reference(proto, x)
    assert np.array_equal(found, expected)
    assert found.dtype == expected.dtype


INTO_THE_BATCH = {
    "Reshape": (helper.make_node("Reshape", ["d", "s"], ["t"], "n"), {"s": ints(-1, 16)}),
    "Reshape of a fixed batch": (helper.make_node("Reshape", ["d", "s"], ["t"], "n"), {"s": ints(1, 32)}),
    "Flatten of everything": (helper.make_node("Flatten", ["d"], ["t"], "n", axis=0), {}),
    "Flatten of two axes": (helper.make_node("Flatten", ["d"], ["t"], "n", axis=2), {}),
    "Transpose": (helper.make_node("Transpose", ["d"], ["t"], "n", perm=[1, 0, 2, 3]), {}),
    "Concat": (helper.make_node("Concat", ["d", "d"], ["t"], "n", axis=0), {}),
    "Unsqueeze": (helper.make_node("Unsqueeze", ["d", "s"], ["t"], "n"), {"s": ints(0)}),
    "Gather": (helper.make_node("Gather", ["d", "s"], ["t"], "n", axis=0), {"s": ints(0)}),
    "Slice": (
        helper.make_node("Slice", ["d", "s", "e", "a"], ["t"], "n"), {"s": ints(0), "e": ints(1), "a": ints(0)},
    ),
    "Slice of two images": (
        helper.make_node("Slice", ["d", "s", "e", "a"], ["t"], "n"), {"s": ints(0), "e": ints(2), "a": ints(0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("node", "constants"), INTO_THE_BATCH.values(), ids=INTO_THE_BATCH)
def test_a_first_axis_that_is_no_batch_is_said_so(node, constants):
    leave, quantiser = back()
    proto = behind_codes([node, quantiser, leave], **constants)
    with pytest.raises(InexactError, match=r"node 'n' \(\w+\) (moves numbers into the|takes no) batch"):
        exact_network(foreign_graph(proto, "m"), 1)


def test_a_constant_of_one_image_is_taken_where_the_file_fixes_the_batch():
    node = helper.make_node("Reshape", ["d", "s"], ["t"], "n")
    leave, quantiser = back()
    proto = behind_codes([node, quantiser, leave], s=ints(1, 32))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    network = exact_network(foreign_graph(proto, "m"), 1)
    assert network.run({"x": np.ones((3, 2, 4, 4), np.float32)})["y"].shape == (3, 32)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
def test_the_type_of_codes_without_a_zero_point_is_output_dtype(kind):
    code = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [
        helper.make_node("QuantizeLinear", ["d", "ys"], ["c"], "leave", output_dtype=code),
        helper.make_node("DequantizeLinear", ["c", "ys"], ["y"], "y"),
    ]
    proto = behind_codes(nodes, opset=21, ys=np.float32(0.3))
    x = np.random.default_rng(2).uniform(-140, 140, (3, 2, 4, 4)).astype(np.float32)
    found, expected = reference(proto, x)
    assert np.array_equal(found, expected)
    if np.iinfo(kind).min < 0:
        assert found.min() < 0


@pytest.mark.parametrize(
    ("attributes", "inputs", "words"),
    [
        ({"block_size": 2}, ["d", "xs", "z"], "has attribute block_size = 2, expected 0"),
        ({"precision": TensorProto.FLOAT16}, ["d", "xs", "z"], "has attribute precision = 10, expected 0 or 1"),
        ({}, ["d", "many", "zeros"], "has a scale for each channel of an activation"),
    ],
)
def test_what_a_quantiser_says_is_honoured_or_named(attributes, inputs, words):
    nodes = [
        helper.make_node("QuantizeLinear", inputs, ["c"], "leave", **attributes),
        helper.make_node("DequantizeLinear", ["c", "xs"], ["y"], "y"),
    ]
    proto = behind_codes(nodes, opset=23, many=np.float32([1, 2]), zeros=np.uint8([0, 0]))
    proto.ir_version = 11
    with pytest.raises(InexactError, match=re.escape(f"node 'leave' (QuantizeLinear) {words}")):
        exact_network(foreign_graph(proto, "m"), 1)


@pytest.mark.parametrize("relu", [False, True])
def test_a_sum_that_two_nodes_read_is_not_determined(relu):
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "xs", "wz"], ["v"], "weights"),
        helper.make_node("Conv", ["d", "v"], ["s"], "layer"),
        *([helper.make_node("Relu", ["s"], ["r"], "relu")] if relu else []),
        helper.make_node("QuantizeLinear", ["r" if relu else "s", "xs", "lowest"], ["a"], "first"),
        helper.make_node("QuantizeLinear", ["r" if relu else "s", "ys", "lowest"], ["b"], "second"),
        helper.make_node("Concat", ["a", "b"], ["y"], "both", axis=1),
    ]
    proto = behind_codes(
        nodes, w=np.ones((1, 2, 1, 1), np.int8), wz=np.int8(0), lowest=np.uint8(0), ys=np.float32(2),
    )  # fmt: skip
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(InexactError, match=r"'first' \(QuantizeLinear\) reads '\w', a sum in floating"):
        exact_network(foreign_graph(proto, "m"), 1)


def test_a_constant_that_the_file_quantises_is_added():
    rng = np.random.default_rng(4)
    nodes = [
        helper.make_node("DequantizeLinear", ["k", "ks", "z"], ["kd"], "constant"),
        helper.make_node("Reshape", ["kd", "shape"], ["kr"], "reshaped"),
        helper.make_node("Add", ["d", "kr"], ["t"], "sum"),
    ]
    leave, quantiser = back(zero="even")
    constants = {"k": rng.integers(0, 255, 2).astype(np.uint8), "ks": np.float32(0.25), "shape": ints(2, 1, 1)}
    proto = behind_codes([*nodes, quantiser, leave], even=np.uint8(4), **constants)
    found, expected = reference(proto, rng.uniform(-9, 140, (3, 2, 4, 4)).astype(np.float32))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 2, 1, 1)])
def test_a_constant_of_codes_is_added_by_qlinear_add(shape):
    rng = np.random.default_rng(4)
    node = helper.make_node(
        "QLinearAdd", ["q", "xs", "z", "k", "ks", "z", "xs", "even"], ["y"], "sum", domain="com.microsoft"
    )
    constants = {"k": rng.integers(0, 255, shape).astype(np.uint8), "ks": np.float32(0.25), "even": np.uint8(4)}
    proto = behind_codes([node], **constants)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    assert mismatches(proto, rng.uniform(-9, 140, (3, 2, 4, 4)).astype(np.float32))[1] == 0


@pytest.mark.parametrize("floats", [False, True])
def test_an_integer_clip_is_simulated_and_narrows_weights(floats):
    nodes = [
        *([helper.make_node("QuantizeLinear", ["f", "ws", "wz"], ["wq"], "weights")] if floats else []),
        helper.make_node("Clip", ["wq", "low", "high"], ["wk"], "narrow"),
        helper.make_node("DequantizeLinear", ["wk", "ws", "wz"], ["v"], "weights again"),
        helper.make_node("Conv", ["d", "v"], ["s"], "layer"),
        helper.make_node("QuantizeLinear", ["s", "xs", "wz"], ["c"], "leave"),
        helper.make_node("Clip", ["c", "low", "high"], ["k"], "clip"),
        helper.make_node("DequantizeLinear", ["k", "xs", "wz"], ["y"], "y"),
    ]
    rng = np.random.default_rng(1)
    weights = rng.uniform(-1, 1, (2, 2, 1, 1)).astype(np.float32)
    constants = {
        **({"f": weights} if floats else {"wq": (16 * weights).astype(np.int8)}), "ws": np.float32(0.0625),
        "wz": np.int8(0),
        "low": np.int8(-7), "high": np.int8(7),
    }  # fmt: skip
    proto = behind_codes(nodes, **constants)
    x = (rng.integers(-20, 20, (3, 2, 4, 4)) / 4).astype(np.float32)
    found, expected = reference(proto, x)  # every product is exact in float32 here
    assert np.array_equal(found, expected)
    layer = next(layer.work for layer in count_network(foreign_graph(proto, "m")) if layer.work.name == "layer")
    assert (layer.input_bits, layer.weight_bits) == (8, 4)


@pytest.mark.parametrize("narrow", ["weights", "output"])
def test_a_layer_that_onnxruntime_does_not_fuse_is_determined_where_float32_does_not_round(narrow):
    def layer(scale):
        weight = helper.make_tensor(
            "w", TensorProto.INT4 if narrow == "weights" else TensorProto.INT8, [2, 2], [-7, 3, 5, 1]
        )
        zero = helper.make_tensor("yz", TensorProto.INT8 if narrow == "weights" else TensorProto.INT16, [], [0])
        nodes = [
            helper.make_node("DequantizeLinear", ["w", "ws"], ["v"], "weights"),
            helper.make_node("MatMul", ["d", "v"], ["s"], "layer"),
            helper.make_node("QuantizeLinear", ["s", "ys", "yz"], ["t"], "leave"),
            helper.make_node("DequantizeLinear", ["t", "ys", "yz"], ["y"], "end"),
        ]
        proto = behind_codes(nodes, opset=21, ws=np.float32(0.125), ys=np.float32(scale))
        proto.graph.initializer.extend([weight, zero])
        del proto.graph.input[0].type.tensor_type.shape.dim[2:]
        return proto

    x = np.random.default_rng(0).uniform(-5, 120, (50, 2)).astype(np.float32)
    found, expected = reference(layer(0.25), x)
    assert np.array_equal(found, expected)
    with pytest.raises(
        InexactError, match=r"'leave' \(QuantizeLinear\) quantises 's', which onnxruntime does not fuse"
    ):
        exact_network(foreign_graph(layer(0.3), "m"), 1)


UNFUSED = {
    "Resize": MOVES["Resize"], "Pad with 2": MOVES["Pad with 2"], "Relu": MOVES["Relu"],
    "Concat": MOVES["Concat with itself"], "Gather": MOVES["Gather"], "GlobalMaxPool": MOVES["GlobalMaxPool"],
}  # fmt: skip


@pytest.mark.parametrize(("node", "constants"), UNFUSED.values(), ids=UNFUSED)
def test_a_layer_behind_an_op_that_stops_onnxruntime_is_not_determined(node, constants):
    with pytest.raises(InexactError, match="which onnxruntime does not fuse"):
        exact_network(foreign_graph(layer_behind([node], 3 if "p" in constants else 2, **constants), "m"), 1)


@pytest.mark.parametrize("name", ["Transpose", "dilated MaxPool", "Dropout"])
def test_a_layer_behind_an_op_that_onnxruntime_looks_through_is_its_own(name):
    node, constants = MOVES[name]
    proto = layer_behind([node], 4 if name == "Transpose" else 2, **constants)
    x = np.random.default_rng(2).uniform(-9, 140, (30, 2, 4, 4)).astype(np.float32)
    assert mismatches(proto, x)[1] == 0


def layer_behind(nodes, channels, kind=np.uint8, **constants):
    """x → codes d → `nodes`, which make t → 1×1 Conv of int8 weights → QuantizeLinear → DequantizeLinear."""
    rng = np.random.default_rng(5)
    layer = [
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["weights"], "weights"),
        helper.make_node("Conv", ["t" if nodes else "d", "weights"], ["summed"], "layer"),
        helper.make_node("QuantizeLinear", ["summed", "ys", "z"], ["c"], "leave"),
        helper.make_node("DequantizeLinear", ["c", "ys", "z"], ["y"], "y"),
    ]
    told = {
        "w": rng.integers(-9, 9, (3, channels, 1, 1)).astype(np.int8), "ws": np.float32(0.013), "wz": np.int8(0),
        "ys": np.float32(0.11), "z": kind(9), "xs": np.float32(0.1),
    }  # fmt: skip
    return behind_codes([*nodes, *layer], **{**told, **constants})


def test_mixed_signs_between_pairs_of_quantisers_are_determined():
    proto = layer_behind([], 2)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.int8(-3), "signed"))
    for node in proto.graph.node[-2:]:
        node.input[2] = "signed"
    x = np.random.default_rng(2).uniform(-9, 140, (30, 2, 4, 4)).astype(np.float32)
    assert mismatches(proto, x)[1] == 0


def test_signed_codes_are_determined_between_pairs_of_quantisers_alone():
    x = np.random.default_rng(2).uniform(-9, 9, (30, 2, 4, 4)).astype(np.float32)
    paired = layer_behind([], 2, kind=np.int8)
    assert mismatches(paired, x)[1] == 0
    leaving = layer_behind([], 2, kind=np.int8)
    del leaving.graph.node[-1]
    leaving.graph.output[0].name = "c"
    leaving.graph.output[0].type.tensor_type.elem_type = TensorProto.INT8
    with pytest.raises(InexactError, match=r"'leave' .* which onnxruntime does not fuse"):
        exact_network(foreign_graph(leaving, "m"), 1)


def test_a_bias_that_is_not_int32_is_named():
    proto = wrapped("Conv", bias=np.int8([50]), bz=np.int8(0))
    with pytest.raises(InexactError, match=r"'layer' .* has a bias 'c' of int8, not of int32"):
        exact_network(foreign_graph(proto, "m"), 1)


def test_scales_that_do_not_fit_their_channels_are_named():
    proto = layer_behind([], 2)
    proto.graph.node[2].attribute.append(helper.make_attribute("axis", 0))
    for tensor in proto.graph.initializer:
        if tensor.name == "ws":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32([0.1, 0.2]), "ws"))
    with pytest.raises(InexactError, match=r"'layer' .* has 2 scales of weights, not one an output channel"):
        exact_network(foreign_graph(proto, "m"), 1)


def test_a_sum_whose_batch_lies_on_another_axis_is_refused():
    nodes = [
        helper.make_node("DequantizeLinear", ["k", "xs", "z"], ["kd"], "constant"),
        helper.make_node("Add", ["d", "kd"], ["t"], "sum"),
    ]
    leave, quantiser = back()
    proto = behind_codes([*nodes, quantiser, leave], z=np.uint8(8), k=np.zeros((1, 1, 2, 4, 4), np.uint8))
    with pytest.raises(InexactError, match=r"node 'sum' .*whose first axis is not the batch of the sum"):
        exact_network(foreign_graph(proto, "m"), 1)
