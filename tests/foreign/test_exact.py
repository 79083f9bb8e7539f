"""Determined networks equal onnxruntime on every tensor, whatever their shapes, scales and codes; others say why."""

import re

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from adderhw.foreign.exact import checked_tensors, exact_network
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.integers import InexactError
from adderhw.onnx_reader import load_proto
from adderhw.ort_check import OrtCheck
from tests.foreign.models import float_cnn, model_of, plain_cnn, quantised

CODES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}


def mismatches(proto, x):
    """(values compared, values that differ) of every tensor the file names."""
    network = exact_network(foreign_graph(proto, "m"), 1)
    check = OrtCheck(proto, None, 1, names=checked_tensors(network))
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
    relu = helper.make_node("Relu", ["x_DequantizeLinear_Output"], ["r"], "relu")
    assert isinstance(proto, onnx.ModelProto)
    proto.graph.node.append(relu)
    with pytest.raises(InexactError, match=r"node 'relu' \(Relu\)"):
        exact_network(foreign_graph(proto, "m"), 1)
