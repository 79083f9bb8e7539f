"""If, Loop and Scan: the branch that is taken is counted and simulated; what is not known is refused as what it is."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from adderhw.errors import CostError
from adderhw.foreign.exact import exact_network
from adderhw.foreign.graph import foreign_graph
from adderhw.simulation import simulate
from tests.foreign.models import model_of, plain_cnn, quantised

SHAPE = {"x": [1, 3, 6, 6]}


def branch(nodes, outputs, constants=()):
    """A graph without inputs, as a branch of an If is."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_graph(nodes, "branch", [], values, [onnx.numpy_helper.from_array(a, n) for n, a in constants])


def conv(source, weight, output, **attributes):
    return helper.make_node("Conv", [source, weight], [output], **attributes)


def chosen(condition, **weights):
    """A stem, then an If: a Conv of its own weights and a Relu, or nothing."""
    rng = np.random.default_rng(1)
    inner = rng.standard_normal((4, 4, 3, 3)).astype(np.float32)
    then = branch([conv("c", "w", "t"), helper.make_node("Relu", ["t"], ["o"])], ["o"], [("w", inner)])
    other = branch([helper.make_node("Identity", ["c"], ["o"])], ["o"])
    nodes = [conv("x", "stem", "c", name="stem"), *condition]
    nodes += [helper.make_node("If", ["yes"], ["y"], "choice", then_branch=then, else_branch=other)]
    constants = {"stem": rng.standard_normal((4, 3, 3, 3)).astype(np.float32), **weights}
    return model_of(nodes, SHAPE, {"y": None}, constants)


def taps(proto):
    graph = foreign_graph(proto, "m")
    return [node.op for node in graph.nodes], graph


def test_the_branch_that_is_taken_stands_in_the_network():
    assert taps(chosen([], yes=np.array(True)))[0] == ["Conv", "Conv", "Relu"]
    assert taps(chosen([], yes=np.array(False)))[0] == ["Conv", "Identity"]


def test_a_condition_is_computed_from_shapes_first():
    """How torch's older exporter writes squeeze: an If over Equal(Shape(x)[1], 1)."""
    condition = [
        helper.make_node("Shape", ["c"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["n"]),
        helper.make_node("Equal", ["n", "four"], ["yes"]),
    ]
    proto = chosen(condition, one=np.array(1, np.int64), four=np.array(4, np.int64))
    assert taps(proto)[0] == ["Conv", "Conv", "Relu"]


def test_a_branch_within_a_branch_is_taken_too_and_names_do_not_clash():
    inner = branch([helper.make_node("Neg", ["w"], ["n"]), helper.make_node("Add", ["n", "c"], ["o"])], ["o"])
    nothing = branch([helper.make_node("Identity", ["c"], ["o"])], ["o"])
    nested = helper.make_node("If", ["yes"], ["o"], "inner", then_branch=inner, else_branch=nothing)
    outer = branch([helper.make_node("Abs", ["c"], ["w"]), nested], ["o"])
    nodes = [conv("x", "w0", "c")]
    nodes += [
        helper.make_node("If", ["yes"], [f"y{at}"], f"choice{at}", then_branch=outer, else_branch=nothing)
        for at in range(2)
    ]
    nodes += [helper.make_node("Add", ["y0", "y1"], ["y"])]
    weight = np.random.default_rng(0).standard_normal((2, 3, 1, 1)).astype(np.float32)
    proto = model_of(nodes, SHAPE, {"y": None}, {"w0": weight, "yes": np.array(True)})
    ops, graph = taps(proto)
    assert ops == ["Conv", "Abs", "Neg", "Add", "Abs", "Neg", "Add", "Add"]
    outputs = [name for node in graph.nodes for name in node.outputs]
    assert len(set(outputs)) == len(outputs)


def test_what_only_the_other_branch_reads_is_not_counted():
    nodes = [conv("x", "w", "kept"), conv("x", "w", "unread")]
    then, other = (branch([helper.make_node("Relu", [name], ["o"])], ["o"]) for name in ("kept", "unread"))
    nodes += [helper.make_node("If", ["yes"], ["y"], "choice", then_branch=then, else_branch=other)]
    constants = {"w": np.ones((2, 3, 1, 1), np.float32), "yes": np.array(True)}
    assert taps(model_of(nodes, SHAPE, {"y": None}, constants))[0] == ["Conv", "Relu"]


def test_a_branch_that_gives_an_outer_tensor_or_one_tensor_twice_is_a_copy():
    relu = helper.make_node("Relu", ["x"], ["o"])
    both = branch([relu], ["o", "o"])
    nodes = [helper.make_node("If", ["yes"], ["a", "b"], "choice", then_branch=both, else_branch=both)]
    nodes += [helper.make_node("Add", ["a", "b"], ["y"])]
    assert taps(model_of(nodes, SHAPE, {"y": None}, {"yes": np.array(True)}))[0] == ["Relu", "Identity", "Add"]


def if_of_an_unknown_condition():
    part = branch([helper.make_node("Relu", ["x"], ["o"])], ["o"])
    condition = helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0)
    cast = helper.make_node("Cast", ["m"], ["yes"], to=TensorProto.BOOL)
    return [condition, cast, helper.make_node("If", ["yes"], ["y"], "n", then_branch=part, else_branch=part)]


def loop_of_three():
    kinds = {"i": (TensorProto.INT64, []), "more": (TensorProto.BOOL, []), "v": (TensorProto.FLOAT, SHAPE["x"])}
    inputs = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info("go", *kinds["more"]), helper.make_tensor_value_info("w", *kinds["v"])]
    nodes = [helper.make_node("Identity", ["more"], ["go"]), helper.make_node("Add", ["v", "x"], ["w"])]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    return [helper.make_node("Loop", ["three", "", "x"], ["y"], "n", body=body)]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (if_of_an_unknown_condition(), "an If whose condition is constant"),
        (loop_of_three(), "none of If, Loop and Scan"),
    ],
    ids=["If", "Loop"],
)
def test_a_graph_that_runs_nobody_knows_how_often_has_no_cost(nodes, expected):
    proto = model_of(nodes, SHAPE, {"y": SHAPE["x"]}, {"three": np.array(3, np.int64)})
    onnx.checker.check_model(proto, full_check=True)
    op = nodes[-1].op_type
    with pytest.raises(CostError, match=f"found op ai.onnx::{op}, which has no cost here, expected {expected}"):
        foreign_graph(proto, "m")


def within_a_branch(proto):
    """The model with all nodes but the first and the last inside the taken branch of an If."""
    nodes = list(proto.graph.node)
    first, inner, last = nodes[0], nodes[1:-1], nodes[-1]
    (given,) = [name for name in last.input if any(name in node.output for node in inner)]
    part = branch(inner, [given])
    part.output[0].type.Clear()
    other = branch([helper.make_node("Identity", [first.output[0]], ["o"])], ["o"])
    other.output[0].type.Clear()
    choice = helper.make_node("If", ["yes"], ["chosen"], "choice", then_branch=part, else_branch=other)
    last.input[:] = ["chosen" if name == given else name for name in last.input]
    del proto.graph.node[:]
    proto.graph.node.extend([first, choice, last])
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    del proto.graph.value_info[:]
    return proto


def test_a_quantised_network_in_a_branch_is_simulated_and_tallied_as_without(tmp_path):
    path = quantised(plain_cnn(), tmp_path, "QOperator", reduce_range=True)
    whole = onnx.load(path)
    split = within_a_branch(onnx.load(path))
    x = np.random.default_rng(3).standard_normal((4, 3, 8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(split.SerializeToString(), providers=["CPUExecutionProvider"])
    network = exact_network(foreign_graph(split, "m"), 1)
    found = network.run({"x": x})[network.outputs[0]]
    for at in range(len(x)):
        assert np.array_equal(found[at : at + 1], session.run(None, {"x": x[at : at + 1]})[0])
    onnx.save(split, tmp_path / "split.onnx")
    onnx.save(whole, tmp_path / "whole.onnx")
    a, b = (simulate(tmp_path / f"{name}.onnx") for name in ("split", "whole"))
    assert a["totals"] == b["totals"]
    np.savez(tmp_path / "x.npz", x=x)
    check = simulate(tmp_path / "split.onnx", data=str(tmp_path / "x.npz"), batch_size=1, check="ort")["check"]
    assert (check["mismatches"], check["tensors"]["unseen"] > 0) == (0, True)
