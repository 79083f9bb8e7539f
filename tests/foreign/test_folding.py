"""Constants are computed by ops of a list and within bounds; no other op of a file is ever run."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from adderhw.errors import AdderHwError, ModelError
from adderhw.foreign import folding
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network

FLOAT = TensorProto.FLOAT


def model(nodes, constants, opset=17):
    """A network x + c, of which `nodes` compute the constant c."""
    add = helper.make_node("Add", ["x", "c"], ["y"], "sum")
    graph = helper.make_graph(
        [*nodes, add], "g",
        [helper.make_tensor_value_info("x", FLOAT, ["N", 4])], [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op, *inputs, **attributes):
    return helper.make_node(op, inputs, ["c"], "made", **attributes)


def test_constants_of_listed_ops_are_computed():
    nodes = [helper.make_node("Mul", ["a", "b"], ["p"]), node("Transpose", "p", perm=[1, 0])]
    graph = foreign_graph(model(nodes, {"a": np.full((4, 1), 3, np.float32), "b": np.float32(2)}), "g")
    assert [each.op for each in graph.nodes] == ["Add"]
    assert graph.constants["c"].tolist() == [[6, 6, 6, 6]]


def body(*nodes):
    inputs = [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("t", 9, [])]
    outputs = [helper.make_tensor_value_info("u", 9, []), helper.make_tensor_value_info("o", FLOAT, [4])]
    return helper.make_graph(list(nodes), "body", inputs, outputs)


def test_no_loop_is_run_whatever_its_trip_count():
    inner = body(helper.make_node("Identity", ["t"], ["u"]), helper.make_node("Identity", ["a"], ["o"]))
    proto = model([node("Loop", "trips", "true", body=inner)], {
        "trips": np.int64(2**62), "true": np.array(True), "a": np.ones(4, np.float32),
    })  # fmt: skip
    with pytest.raises(AdderHwError, match=r"node 'made' \(Loop\)"):
        count_network(foreign_graph(proto, "g"))


def test_a_branch_that_reads_what_is_outside_is_no_invalid_model():
    def branch(op):
        return helper.make_graph(
            [helper.make_node(op, ["x"], ["o"])], op, [], [helper.make_empty_tensor_value_info("o")]
        )

    choice = node("If", "true", then_branch=branch("Relu"), else_branch=branch("Identity"))
    layers = count_network(foreign_graph(model([choice], {"true": np.array(True)}), "g"))
    assert layers[0].work.op == "Relu"


MANY = np.array([1 << 20, 1 << 20])
TOO_LARGE = {
    "ConstantOfShape": (node("ConstantOfShape", "n"), {"n": MANY}),
    "Expand": (node("Expand", "a", "n"), {"a": np.float32(0), "n": MANY}),
    "Tile": (node("Tile", "a", "n"), {"a": np.zeros((1, 1), np.float32), "n": MANY}),
    "Range": (node("Range", "a", "b", "s"), {"a": np.int64(0), "b": np.int64(1 << 40), "s": np.int64(1)}),
    "Pad": (node("Pad", "a", "n"), {"a": np.zeros(4, np.float32), "n": MANY << 20}),
    "Add": (node("Add", "a", "b"), {"a": np.zeros((1 << 14, 1), np.float32), "b": np.zeros(1 << 14, np.float32)}),
    "Gather": (
        node("Gather", "a", "i"), {"a": np.zeros((2, 1 << 13), np.float32), "i": np.zeros(1 << 15, np.int64)},
    ),
    "MatMul": (
        node("MatMul", "a", "b"), {"a": np.zeros((1 << 14, 1), np.float32), "b": np.zeros((1, 1 << 14), np.float32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "constants"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_constant_that_would_fill_memory_is_one_line(made, constants):
    with pytest.raises(ModelError, match=r"node 'made' \(\w+\): found a constant of [\d,]+ elements .* at most"):
        foreign_graph(model([made], constants), "g")


def test_many_constants_share_one_bound(monkeypatch):
    monkeypatch.setattr(folding, "MOST_ELEMENTS", 1000)
    nodes = [helper.make_node("Tile", ["a", "n"], [f"t{i}"], f"tile {i}") for i in range(20)]
    proto = model([*nodes, node("Identity", "a")], {"a": np.zeros((1, 4), np.float32), "n": np.array([20, 1])})
    with pytest.raises(ModelError, match="node 'tile 12'"):
        foreign_graph(proto, "g")


def test_folding_ends_at_its_bound_of_time(monkeypatch):
    monkeypatch.setattr(folding, "MOST_SECONDS", -1.0)
    with pytest.raises(ModelError, match="found constants that take more than"):
        foreign_graph(model([node("Neg", "a")], {"a": np.zeros(4, np.float32)}), "g")


def test_constants_that_do_not_fit_are_one_line():
    for made, constants in (
        (node("Gather", "a", "i", axis=3), {"a": np.zeros(4, np.float32), "i": np.array([0])}),
        (node("Add", "a", "i"), {"a": np.zeros(4, np.float32), "i": np.zeros(3, np.float32)}),
        (node("Range", "a", "a", "a"), {"a": np.zeros(0, np.float32)}),
    ):
        with pytest.raises(ModelError, match="model"):
            foreign_graph(model([made], constants), "g")


SMALL = {
    "ConstantOfShape": [np.array([3, 5])],
    "Expand": [np.zeros((3, 1), np.float32), np.array([2, 1, 4])],
    "Tile": [np.zeros((2, 3), np.float32), np.array([2, 5])],
    "Range": [np.int64(9), np.int64(-4), np.int64(-3)],
    "Pad": [np.zeros((2, 3), np.float32), np.array([1, 0, 2, 4])],
    "Gather": [np.zeros((4, 3), np.float32), np.array([[0, 1], [2, 2]])],
    "NonZero": [np.ones((3, 4, 2), np.float32)],
    "MatMul": [np.zeros((2, 3, 4), np.float32), np.zeros((4, 5), np.float32)],
    "Gemm": [np.zeros((3, 4), np.float32), np.zeros((4, 5), np.float32)],
    "Where": [np.ones((3, 1), bool), np.zeros((1, 4), np.float32), np.float32(1)],
    "Concat": [np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)],
    "Trilu": [np.ones((3, 4), np.float32)],
    "EyeLike": [np.ones((3, 4), np.float32)],
    "CumSum": [np.ones((3, 4), np.float32), np.int64(0)],
    "Split": [np.ones((4, 4), np.float32)],
}


@pytest.mark.parametrize(("op", "arrays"), SMALL.items(), ids=SMALL)
def test_no_output_is_larger_than_its_bound(op, arrays):
    names = [f"i{number}" for number in range(len(arrays))]
    attributes = {"axis": 0} if op == "Concat" else {}
    outputs = ["c", "d"] if op == "Split" else ["c"]
    raw = helper.make_node(op, names, outputs, **attributes)
    proto = model([raw], {})
    found = folding.evaluate(proto, raw, dict(zip(names, arrays, strict=True)), "here")
    assert sum(array.size for array in found) <= folding.FOLDED[op](raw, arrays)


def test_shape_inference_is_not_given_large_weights(monkeypatch):
    told, infer = [], onnx.shape_inference.infer_shapes
    monkeypatch.setattr(
        onnx.shape_inference, "infer_shapes", lambda proto, **how: told.append(proto.ByteSize()) or infer(proto, **how)
    )
    nodes = [helper.make_node("Transpose", ["a"], ["t"]), node("ReduceSum", "t", keepdims=0)]
    graph = foreign_graph(model(nodes, {"a": np.ones((500, 400), np.float32)}), "g")
    assert graph.constants["c"] == 200_000
    assert max(told) < 10_000
