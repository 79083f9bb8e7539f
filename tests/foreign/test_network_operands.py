"""Layers of taps that rivals rewrite are those whose geometry is known; all others keep their arithmetic."""

import numpy as np
import pytest
from onnx import helper

from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network
from adderhw.foreign.repricing import priced_as, topology
from tests.foreign.models import model_of


def sequence(middle, constants):
    """x (N, 5, 4) → linear layer → `middle` (a to b) → linear layer."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"), *middle,
        helper.make_node("MatMul", ["b", "w"], ["y"], "last"),
    ]  # fmt: skip
    constants = {"w": np.ones((4, 4), np.float32), **constants}
    return foreign_graph(model_of(nodes, {"x": ["N", 5, 4]}, {"y": None}, constants), "m")


def test_a_linear_layer_of_many_rows_is_rewritten():
    graph = sequence([helper.make_node("MatMul", ["a", "w"], ["b"], "middle")], {})
    layers, integer = topology(graph, None)
    taps = {layer.work.name: layer.work.taps for layer in integer}
    assert taps["middle"] == 5 * 4 * 4
    assert [layer.work.name for layer in integer if layer.work.rewritten] == ["middle"]
    results, *_ = priced_as(layers, integer, "adder")
    assert next(each for each in results if each.work.name == "middle").work.kind == "adder"
    operands = next(layer.operands for layer in integer if layer.work.name == "middle")
    assert (operands.input_shape, operands.weight.shape) == ((4, 5, 1), (4, 4, 1, 1))


def test_a_product_of_two_activations_keeps_its_products():
    middle = [
        helper.make_node("Transpose", ["a"], ["t"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "t"], ["s"], "scores"),
        helper.make_node("MatMul", ["s", "a"], ["b"], "mix"),
    ]
    layers = count_network(sequence(middle, {}))
    assert not any(layer.work.rewritten for layer in layers)


@pytest.mark.parametrize("op", ["Relu", "Abs", "Neg", "Clip"])
def test_what_the_host_feeds_is_no_longer_its_own_behind_an_op_that_computes(op):
    nodes = [
        helper.make_node(op, ["x"], ["a"], "op"),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"], "enter"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "leave"),
    ]
    constants = {"s": np.float32(1), "z": np.uint8(0)}
    graph = foreign_graph(model_of(nodes, {"x": ["N", 6]}, {"y": None}, constants), "m")
    entering = next(layer.work for layer in count_network(graph) if layer.work.name == "enter")
    assert sum(entering.events.values()) == 6 * 4
