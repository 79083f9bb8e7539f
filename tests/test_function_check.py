"""Functions that a file brings: one that computes something else than its op is noticed when the file is loaded."""

import numpy as np
import onnx
import pytest
from onnx import helper

import adderhw
from adderhw import function_check
from adderhw.errors import ModelError
from adderhw.function_check import tie_near
from adderhw.onnx_reader import graph_of
from adderhw.simulation import SHIPPED_MODEL
from export.writer import model_of
from tests.export.networks import wide_gemm


def shipped():
    return onnx.load(str(SHIPPED_MODEL))


def function(model, name):
    return next(each for each in model.functions if each.name == name)


def saved(model, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    return path


def test_functions_as_they_are_written_are_not_run(tmp_path, monkeypatch):
    model = shipped()
    for each in model.functions:
        each.doc_string = "documentation"
        for number, node in enumerate(each.node):
            node.name = f"node {number}"
    monkeypatch.setattr(function_check, "compare", None)
    adderhw.load(saved(model, tmp_path))


def renamed_inside(model):
    for each in model.functions:
        kept = {"", *each.input, *each.output}
        for node in each.node:
            node.input[:] = [name if name in kept else f"{name}_2" for name in node.input]
            node.output[:] = [name if name in kept else f"{name}_2" for name in node.output]
            for attribute in node.attribute:
                for inner in attribute.g.node:
                    inner.input[:] = [f"{name}_2" if name in ("columns", "ones") else name for name in inner.input]


def beside_an_identity(model):
    for each in model.functions:
        (output,) = each.output
        each.node[-1].output[0] = "made"
        each.node.append(helper.make_node("Identity", ["made"], [output]))


@pytest.mark.parametrize("rewrite", [renamed_inside, beside_an_identity])
def test_functions_that_say_the_same_otherwise_are_taken(tmp_path, rewrite):
    model = shipped()
    rewrite(model)
    adderhw.load(saved(model, tmp_path))


def drop_attribute(name, of):
    def plant(model):
        dropped = 0
        for node in function(model, of).node:
            kept = [attribute for attribute in node.attribute if attribute.name != name]
            dropped += len(node.attribute) - len(kept)
            del node.attribute[:]
            node.attribute.extend(kept)
        assert dropped

    return plant


def another_op(before, after, of, at=0):
    def plant(model):
        found = [node for node in function(model, of).node if node.op_type == before]
        found[at].op_type = after

    return plant


def within_scan(model):
    scan = next(node for node in function(model, "AdderConvInteger").node if node.op_type == "Scan")
    body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    next(node for node in body.node if node.op_type == "Abs").op_type = "Relu"


WRONG = {
    "a convolution without its strides": drop_attribute("strides", of="AdderConvInteger"),
    "a convolution without its pads": drop_attribute("pads", of="AdderConvInteger"),
    "differences that are not made positive": within_scan,
    "a zero point that is a factor": another_op("Sub", "Mul", of="ConvInteger"),
    "a product of no numbers": another_op("Sub", "Mul", of="MatMulInteger"),
    "a requantisation that adds nothing": another_op("Add", "Sub", of="Requantize"),
}


@pytest.mark.parametrize("plant", WRONG.values(), ids=WRONG)
def test_a_function_that_computes_something_else_is_refused(tmp_path, plant):
    model = shipped()
    plant(model)
    with pytest.raises(ModelError, match=r"node '.*: found a function in the file that .*expected") as caught:
        adderhw.load(saved(model, tmp_path))
    assert str(caught.value).startswith(str(tmp_path))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("told", range(4))
@pytest.mark.parametrize("meant", range(4))
def test_a_function_that_rounds_ties_otherwise_is_refused(meant, told):
    model = shipped()
    (body,) = [each for each in model.functions if each.name == "Requantize"]
    inlined_rounding(body, told)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "rounding":
                attribute.i = meant
    if told == meant:
        assert graph_of(model, "model").nodes
        function_check.check_functions(model, graph_of(model, "model"))
    else:
        with pytest.raises(ModelError, match=r"\(Requantize\): found a function in the file that computes"):
            function_check.check_functions(model, graph_of(model, "model"))


def inlined_rounding(body, code):
    """Makes the function round as `code` says, whatever its attribute is."""
    found = [attribute for node in body.node for attribute in node.attribute if attribute.ref_attr_name == "rounding"]
    assert found
    for attribute in found:
        attribute.ref_attr_name = ""
        attribute.i = code


def test_a_loop_of_its_own_length_is_refused(tmp_path):
    model = shipped()
    each = function(model, "SumPool")
    inner = helper.make_graph([], "inner", [], [])
    each.node.insert(0, helper.make_node("Loop", ["", ""], [], body=inner))
    with pytest.raises(ModelError, match="function 'SumPool': found a Loop in it"):
        adderhw.load(saved(model, tmp_path))


def test_a_function_that_onnxruntime_cannot_run_is_refused(tmp_path):
    model = shipped()
    function(model, "SumPool").node[0].op_type = "Nothing"
    with pytest.raises(ModelError, match="onnxruntime cannot"):
        adderhw.load(saved(model, tmp_path))


def test_sums_that_the_files_float32_function_cannot_carry_are_refused():
    graph = wide_gemm(257)
    model = model_of(graph)
    for each in model.functions:
        for node in each.node:
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == onnx.TensorProto.DOUBLE:
                    attribute.i = onnx.TensorProto.FLOAT
    with pytest.raises(ModelError, match="expected sums below 16777216, which the file's function carries exactly"):
        function_check.check_functions(model, graph)


@pytest.mark.parametrize(("m", "c", "n"), [(1, 0, 1), (3, 7, 5), (-12, 4, 6), (5, -3, 1), (64, 32, 6), (2, 0, 2)])
def test_ties_are_found_wherever_there_are_any(m, c, n):
    low, high = -200, 200
    ties = [s for s in range(low, high + 1) if (s * m + c) % (1 << n) == 1 << (n - 1)]
    for s in (low, -3, 0, 150, high):
        found = tie_near(s, m, c, n, low, high)
        assert found in ties if ties else found == s


def test_nothing_is_tied_without_a_shift_or_a_factor():
    assert tie_near(5, 3, 1, 0, 0, 9) == 5
    assert tie_near(5, 0, 1, 3, 0, 9) == 5


def test_samples_reach_the_ends_and_ties():
    graph = adderhw.load().graph
    node = next(node for node in graph.nodes if node.op == "Requantize")
    ((name, values),) = function_check.sampled(node, graph).items()
    m, c, n = (graph.parameters[each].astype(np.int64) for each in node.inputs[1:])
    tensor = graph.tensors[name]
    assert values.min() >= tensor.lowest
    assert values.max() <= tensor.highest
    t = values.astype(np.int64) * m + c
    assert ((t % (1 << n)) == (1 << n >> 1)).any()
