"""A CNN's weights become integers of the network's width, layer by layer, or one line says why not."""

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save

from adderhw.cost.cnn_weights import cnn_weights, rounded
from adderhw.cost.operands import Operands
from adderhw.errors import ModelError

CONV = np.array([[[[0.5]], [[-1.0]]], [[[0.0]], [[0.2]]]], np.float32)
LINEAR = np.array([[1.5, -2.0]], np.float32)
LAYERS = {
    "conv": (Operands((2, 4, 4), np.zeros((2, 2, 1, 1), np.int64), (0, 255)), 8),
    "linear": (Operands((2, 1, 1), np.zeros((1, 2, 1, 1), np.int64), (0, 255)), 4),
}


def written(path, nodes, arrays):
    """An ONNX file of the nodes on x, whose output is y."""
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    save(helper.make_model(helper.make_graph(nodes, "cnn", [x], [y], tensors)), path)
    return path


def saved(path, *weights):
    """An ONNX file with a Conv for a weight of rank 4 and a Gemm (transB) for one of rank 2."""
    nodes = [
        helper.make_node("Conv", ["x", f"w{i}"], [f"y{i}"])
        if weight.ndim == 4
        else helper.make_node("Gemm", ["x", f"w{i}"], [f"y{i}"], transB=1)
        for i, weight in enumerate(weights)
    ]
    nodes[0].output[0] = "y"
    return written(path, nodes, {f"w{i}": weight for i, weight in enumerate(weights)})


def test_each_channel_is_rounded_on_its_own_symmetric_grid(tmp_path):
    found = cnn_weights(saved(tmp_path / "cnn.onnx", CONV, LINEAR), LAYERS)
    assert found["conv"][:, :, 0, 0].tolist() == [[64, -127], [0, 127]]
    assert found["linear"][:, :, 0, 0].tolist() == [[5, -7]]


def test_a_positive_factor_of_a_channel_changes_nothing():
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    assert np.array_equal(rounded(weight, 8), rounded(weight * np.array([1, 2, 0.1, 9])[:, None, None, None], 8))


def test_a_channel_of_zeros_stays_zero():
    assert not rounded(np.zeros((2, 3)), 8).any()


def test_integers_are_taken_as_they_are(tmp_path):
    integers = np.array([[[[5]], [[-3]]], [[[0]], [[7]]]], np.int8)
    found = cnn_weights(saved(tmp_path / "cnn.onnx", integers, LINEAR), LAYERS)
    assert np.array_equal(found["conv"], integers)


def test_a_file_of_another_topology_is_refused(tmp_path):
    path = saved(tmp_path / "cnn.onnx", CONV)
    with pytest.raises(ModelError, match="found 1 convolution and linear layers, expected 2 as in this network"):
        cnn_weights(path, LAYERS)
    path = saved(tmp_path / "cnn.onnx", CONV[:1], LINEAR)
    with pytest.raises(ModelError, match=r"found a weight of shape \[1, 2, 1, 1\], expected \[2, 2, 1, 1\] as in conv"):
        cnn_weights(path, LAYERS)


def test_a_weight_whose_bytes_do_not_fit_is_refused(tmp_path):
    path = saved(tmp_path / "cnn.onnx", CONV, LINEAR)
    model = load(path)
    model.graph.initializer[0].dims[0] = 9
    save(model, path)
    with pytest.raises(ModelError, match=r"cnn\.onnx: tensor 'w0': found unreadable data"):
        cnn_weights(path, LAYERS)


def test_what_onnx_stores_transposed_is_turned(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "m"], ["d"]),
        helper.make_node("Gemm", ["d", "g"], ["y"]),
    ]
    arrays = {"c": CONV, "m": np.arange(6, dtype=np.float32).reshape(2, 3), "g": np.ones((3, 1), np.float32)}
    layers = {
        "conv": LAYERS["conv"],
        "wide": (Operands((2, 1, 1), np.zeros((3, 2, 1, 1), np.int64), (0, 255)), 8),
        "last": (Operands((3, 1, 1), np.zeros((1, 3, 1, 1), np.int64), (0, 255)), 4),
    }
    found = cnn_weights(written(tmp_path / "cnn.onnx", nodes, arrays), layers)
    assert found["wide"][:, :, 0, 0].tolist() == [[0, 127], [32, 127], [51, 127]]  # m's columns (0, 3), (1, 4), (2, 5)
    assert found["last"][:, :, 0, 0].tolist() == [[7, 7, 7]]


def test_a_zero_point_is_taken_off_and_a_product_of_two_activations_is_no_layer(tmp_path):
    nodes = [
        helper.make_node("ConvInteger", ["x", "w", "", "z"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("ConvInteger", ["x", "v"], ["y"]),
    ]
    arrays = {
        "w": np.array([[[[0]], [[255]]]], np.uint8),
        "z": np.uint8(128),
        "v": np.array([[[[0]], [[255]]]], np.uint8),
    }
    one = (Operands((2, 4, 4), np.zeros((1, 2, 1, 1), np.int64), (0, 255)), 8)
    found = cnn_weights(written(tmp_path / "cnn.onnx", nodes, arrays), {"first": one, "second": one})
    assert found["first"][0, :, 0, 0].tolist() == [-128, 127]
    assert found["second"][0, :, 0, 0].tolist() == [0, 255]
