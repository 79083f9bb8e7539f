"""Weights are counted once: shared ones, those that several nodes dequantise or turn, and those on a product's left."""

import numpy as np
import onnx
from onnx import helper

from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network
from adderhw.foreign.parameters import parameter_count
from tests.foreign.models import float_cnn, model_of, plain_cnn, quantised


def parameters(proto):
    graph = foreign_graph(proto, "m")
    return parameter_count(graph, count_network(graph))


def test_weights_that_two_layers_share_count_once():
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4)]
    nodes += [helper.make_node("Conv", ["a", "w"], ["b"], pads=[1] * 4)]
    nodes += [helper.make_node("Conv", ["b", "v"], ["y"])]
    constants = {"w": np.ones((3, 3, 3, 3), np.float32), "v": np.ones((3, 3, 3, 3), np.float32)}
    assert parameters(model_of(nodes, {"x": ["N", 3, 8, 8]}, {"y": None}, constants)) == 2 * 81


def test_codes_that_each_layer_dequantises_for_itself_count_once():
    codes = {"w": np.ones((3, 3, 1, 1), np.int8), "s": np.float32(0.5)}
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], [f"w{at}"]) for at in range(2)]
    nodes += [helper.make_node("Conv", ["x", "w0"], ["a"]), helper.make_node("Conv", ["a", "w1"], ["y"])]
    assert parameters(model_of(nodes, {"x": [1, 3, 4, 4]}, {"y": None}, codes)) == 9


def test_a_matrix_and_its_transpose_are_one():
    nodes = [helper.make_node("Transpose", ["w"], ["turned"])]
    nodes += [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "turned"], ["y"])]
    constants = {"w": np.ones((6, 4), np.float32)}
    assert parameters(model_of(nodes, {"x": [1, 6]}, {"y": None}, constants)) == 24


def test_parts_of_one_constant_count_as_what_they_hold():
    nodes = [helper.make_node("Split", ["w"], ["a", "b"], axis=1)]
    nodes += [helper.make_node("MatMul", ["x", "a"], ["c"]), helper.make_node("MatMul", ["x", "b"], ["d"])]
    nodes += [helper.make_node("Add", ["c", "d"], ["y"])]
    constants = {"w": np.ones((6, 8), np.float32)}
    assert parameters(model_of(nodes, {"x": [1, 6]}, {"y": None}, constants)) == 48


def test_a_constant_on_the_left_of_a_product_is_a_weight():
    nodes = [helper.make_node("MatMul", ["w", "x"], ["y"])]
    assert parameters(model_of(nodes, {"x": [1, 6, 2]}, {"y": None}, {"w": np.ones((5, 6), np.float32)})) == 30


def test_a_product_of_two_activations_has_none():
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    assert parameters(model_of(nodes, {"x": [1, 6, 2]}, {"y": None}, {})) == 0


def test_every_form_of_one_network_has_as_many(tmp_path):
    expected = 4 * 27 + 6 * 18 + 5 * 24
    assert parameters(plain_cnn()) == expected
    for form in ("QDQ", "QOperator"):
        assert parameters(onnx.load(quantised(plain_cnn(), tmp_path, form))) == expected
    assert parameters(float_cnn()) == 4 * 27 + 4 * 36 + 20
