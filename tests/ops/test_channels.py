"""Concat and Gather: exact bounds channel by channel, no cost, and what is refused."""

import numpy as np
import pytest
from onnx import helper

from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.onnx_reader import graph_of
from adderhw.ops.base import Node
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from adderhw.tensor import Tensor, integer_tensor
from export.writer import model_of

RELU = {"qmin": 0, "qmax": 99, "output_dtype": 2}
U8 = Format(8, False)


def wired(*nodes, formats=None, **parameters):
    """A Graph of the nodes on x (N, 3, 2, 2), uint8 0 to 255; its output is that of the last node."""
    x = integer_tensor("x", (None, 3, 2, 2), np.uint8, 0, 255)
    arrays = {name: np.asarray(value) for name, value in parameters.items()}
    return Graph("wired", (x,), (nodes[-1].output,), nodes, arrays, formats or {})


def gather(indices, source="x", **attributes):
    """A Graph of one Gather."""
    return wired(Node("Gather", "pick", (source, "i"), "y", {"axis": 1, **attributes}), i=indices)


def concat(*inputs, **attributes):
    """A Graph with a sum s (N, 2, 2, 2), its halved h (uint8, at most 99), a flat x, and the Concat of `inputs`."""
    w = np.array([[[[0]], [[9]], [[255]]], [[[1]], [[2]], [[3]]]], np.uint8)
    return wired(
        Node("AdderConvInteger", "adder", ("x", "w"), "s", {"kernel_shape": (1, 1)}),
        Node("Requantize", "half", ("s", "one", "none", "one"), "h", RELU),
        Node("Flatten", "flatten", ("x",), "flat"),
        Node("Concat", "join", inputs, "y", {"axis": 1, **attributes}),
        w=w, one=np.int64(1), none=np.int64(0),
    )  # fmt: skip


def test_each_channel_keeps_its_own_exact_bounds():
    y = concat("s", "s").tensors["y"]
    highest = [255 + 246 + 255, 254 + 253 + 252]
    assert (y.shape, y.dtype, y.format) == ((None, 4, 2, 2), np.int32, Format(10, False))
    assert (y.low.tolist(), y.high.tolist()) == ([0] * 4, highest * 2)
    graph = concat("s", "s")
    nodes = (*graph.nodes, Node("Gather", "pick", ("y", "i"), "z", {"axis": 1}))
    picked = Graph("g", graph.inputs, ("z",), nodes, {**graph.parameters, "i": np.array([1, -2, 0])}).tensors["z"]
    assert picked.high.tolist() == [highest[1], highest[0], highest[0]]


def test_a_shared_format_stays_and_others_become_the_narrowest():
    assert concat("x", "x").tensors["y"].format == U8
    y = concat("h", "x").tensors["y"]
    assert y.format == U8
    assert y.high.tolist() == [99, 99, 255, 255, 255]
    stated = Format(8, False, 0.25, 3)
    graph = wired(Node("Gather", "pick", ("x", "i"), "y", {"axis": 1}), formats={"x": stated}, i=[2, 0])
    assert graph.tensors["y"].format == stated


@pytest.mark.parametrize("graph", [concat("s", "s"), concat("x", "h", "x"), gather([2, 0, 1])])
def test_wiring_costs_nothing(graph):
    (work,) = (work for work in graph.work() if work.op in ("Concat", "Gather"))
    assert (work.kind, dict(work.events), work.taps, work.paper.add) == ("other", {}, 0, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("rank", [2, 4])
def test_every_activation_dtype_and_rank_goes_through_file_and_onnxruntime(dtype, rank):
    shape, info = (5, 2, 3)[: rank - 1], np.iinfo(dtype)
    nodes = (
        Node("Gather", "pick", ("x", "i"), "p", {"axis": 1}),
        Node("Concat", "join", ("x", "p", "x"), "y", {"axis": 1}),
    )
    x = integer_tensor("x", (None, *shape), dtype, info.min, info.max)
    graph = Graph("g", (x,), ("y",), nodes, {"i": np.array([4, 0, 0, -1], np.int32)})
    model = model_of(graph)
    again = graph_of(model, "again")
    assert [node.op for node in again.nodes] == ["Gather", "Concat"]
    values = np.random.default_rng(rank).integers(info.min, info.max, (3, *shape), dtype, endpoint=True)
    check, plan = OrtCheck(model, again, threads=1), Plan(again, keep_all=True)
    check.compare({"x": values}, plan.run({"x": values}))
    assert (check.mismatches, check.values) == (0, 3 * (4 + 14) * int(np.prod(shape[1:])))
    np.testing.assert_array_equal(Plan(again, threads=2).run({"x": values})["y"][:, 5:9], values[:, [4, 0, 0, 4]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gather([0, 3]), "node 'pick' (Gather): found indices from 0 to 3, expected -3 to 2"),
        (lambda: gather([-4]), "found indices from -4 to -4, expected -3 to 2"),
        (lambda: gather([[0, 1]]), "found indices of int64 and shape [1, 2], expected int64 or int32 of rank 1"),
        (lambda: gather([0.0]), "found indices of float64 and shape [1], expected int64 or int32 of rank 1"),
        (lambda: gather([0], axis=0), "found axis 0, expected 1, the channels"),
        (lambda: wired(Node("Gather", "pick", ("x", "i"), "y"), i=[0]), "found axis 0, expected 1"),
        (lambda: wired(Node("Gather", "pick", ("x", "x"), "y", {"axis": 1})), "indices 'x' computed by the graph"),
        (lambda: gather([0], source="i"), "found a constant input 'i', expected an activation"),
        (lambda: concat("x", "s"), "node 'join' (Concat): found uint8 [None, 3, 2, 2] and int32 [None, 2, 2, 2]"),
        (lambda: concat("x", "flat"), "found uint8 [None, 3, 2, 2] and uint8 [None, 12], expected one dtype, and one"),
        (lambda: concat("x", "x", axis=2), "found axis 2, expected 1, the channels"),
        (lambda: concat("x", "w"), "found a constant input 'w', expected an activation"),
        (lambda: concat(), "found 0 inputs, expected at least 1"),
        (lambda: concat("x", ""), "found 2 inputs, expected at least 1"),
    ],
)
def test_what_does_not_fit_names_the_node(make, words):
    with pytest.raises(ModelError) as error:
        make()
    assert words in str(error.value)


def test_inputs_on_different_grids_are_refused():
    grids = {"x": Format(8, False, 0.5, 0), "h": Format(8, False, 0.25, 0)}
    graph = concat("x", "x")
    nodes = (*graph.nodes[:3], Node("Concat", "join", ("x", "h"), "y", {"axis": 1}))
    with pytest.raises(ModelError, match=r"found grids \(scale 0.5, zero point 0\) and \(scale 0.25, zero point 0\)"):
        Graph("g", graph.inputs, ("y",), nodes, graph.parameters, grids)


def test_real_numbers_are_refused():
    image = Tensor("image", (None, 3, 2, 2), np.dtype(np.float32))
    with pytest.raises(ModelError, match="found input 'image' of dtype float32, expected integers"):
        Graph("g", (image,), ("y",), (Node("Concat", "join", ("image",), "y", {"axis": 1}),), {})


def test_a_concat_without_an_axis_in_a_file_is_refused():
    model = model_of(concat("x", "h"))
    (node,) = (node for node in model.graph.node if node.op_type == "Concat")
    node.CopyFrom(helper.make_node("Concat", ["x", "h"], ["y"], name="join"))
    with pytest.raises(ModelError, match=r"node 'join' \(Concat\): found no attribute 'axis'"):
        graph_of(model, "again")
