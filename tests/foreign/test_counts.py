"""Each op's events by hand, in floats and in integers; an op without a cost is refused by name."""

import numpy as np
import pytest
from onnx import helper

from adderhw.cost.events import Tally, tally_by_name
from adderhw.errors import CostError
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network
from adderhw.onnx_reader import load_proto
from tests.foreign.models import float_cnn, model_of, one_op, quantised

IMAGE = ["N", 2, 4, 4]


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
    ],
    ids=lambda value: value.graph.node[0].op_type if hasattr(value, "graph") else "",
)
def test_the_events_of_a_float_op(proto, expected):
    assert events(proto) == expected


@pytest.mark.parametrize(
    "proto",
    [
        one_op("ConvTranspose", IMAGE, constants={"w": real(2, 3, 3, 3)}),
        one_op("Softmax", IMAGE),
        one_op("Sigmoid", IMAGE),
        one_op("InstanceNormalization", IMAGE, constants={"s": real(2), "b": real(2)}),
        one_op("Sqrt", IMAGE),
        one_op("Pow", IMAGE, constants={"e": np.float32(3)}),
    ],
    ids=lambda proto: proto.graph.node[0].op_type,
)
def test_an_op_without_a_cost_is_refused_by_name(proto):
    op = proto.graph.node[0].op_type
    with pytest.raises(CostError, match=rf"node 'n' \({op}\): found .*no"):
        events(proto)


def test_division_by_what_the_network_computes_is_refused():
    nodes = [helper.make_node("Relu", ["x"], ["r"], "r"), helper.make_node("Div", ["x", "r"], ["y"], "n")]
    with pytest.raises(CostError, match=r"node 'n' \(Div\): found a division by what the network computes"):
        events(model_of(nodes, {"x": IMAGE}, {"y": None}, {}))


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
