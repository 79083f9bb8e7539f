"""Small integer models in files, whole and broken, for tests of what reads them."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper

from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.ops.base import Node
from adderhw.tensor import Tensor
from export.writer import model_of

CLIP = {"qmin": 0, "qmax": 255, "output_dtype": TensorProto.UINT8}


def digits_graph(**changes):
    """A small network for 8×8 digits: quantise, adder convolution, requantise, pool, linear layer, dequantise."""
    rng = np.random.default_rng(7)
    grid = Format(8, False, 1 / 255, 0)
    nodes = [
        Node("QuantizeLinear", "quantise", ("image", "scale", "zero"), "x"),
        Node("AdderConvInteger", "adder", ("x", "w", "zero"), "sums", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}),
        Node("Requantize", "norm", ("sums", "m", "c", "n"), "y", CLIP),
        Node("SumPool", "pool", ("y",), "pooled", {"kernel_shape": (8, 8)}),
        Node("Requantize", "mean", ("pooled", "one", "nothing", "six"), "mean:out", {**CLIP, "realisation": "shift"}),
        Node("Flatten", "flatten", ("mean:out",), "features"),
        Node("MatMulInteger", "linear", ("features", "v", "zero", "v_zero"), "logits"),
        Node("DequantizeLinear", "dequantise", ("logits", "scale"), "output"),
    ]  # fmt: skip
    parameters = {
        "scale": np.asarray(1 / 255, np.float32),
        "zero": np.asarray(0, np.uint8),
        "w": rng.integers(0, 256, (4, 1, 3, 3)).astype(np.uint8),
        "m": np.full((4, 1, 1), -700, np.int64),
        "c": rng.integers(500_000, 900_000, (4, 1, 1)),
        "n": np.asarray(12, np.int64),
        "one": np.asarray(1, np.int64),
        "nothing": np.asarray(0, np.int64),
        "six": np.asarray(6, np.int64),
        "v": rng.integers(-128, 128, (4, 10)).astype(np.int8),
        "v_zero": np.asarray(0, np.int8),
    }
    fields = {
        "name": "tiny",
        "inputs": (Tensor("image", (None, 1, 8, 8), np.dtype(np.float32)),),
        "outputs": ("output",),
        "nodes": nodes,
        "parameters": parameters,
        "formats": {"x": grid, "w": grid},
        "metadata": {"adderhw.preprocess": json.dumps({"dataset": "digits", "mean": [0.0], "std": [16.0]})},
    }
    return Graph(**{**fields, **changes})


def digits_model():
    """The ModelProto of digits_graph."""
    return model_of(digits_graph())


def float_model():
    """A float ONNX model with an AdderConv."""
    node = helper.make_node("AdderConv", ["x", "w"], ["y"], domain="adderhw", kernel_shape=[1, 1])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [0.5])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 8, 8]) for name in "xy"]
    graph = helper.make_graph([node], "float", value[:1], value[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("adderhw", 1)])


def save(model, path):
    """Writes the ModelProto to `path` and returns it as text."""
    path.write_bytes(model.SerializeToString())
    return str(path)


def initializer(model, name):
    """The TensorProto called `name`."""
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def node(model, name):
    """The NodeProto called `name`."""
    return next(entry for entry in model.graph.node if entry.name == name)


def set_initializer(model, name, array):
    """Replaces the value of a parameter."""
    initializer(model, name).CopyFrom(onnx.numpy_helper.from_array(np.asarray(array), name))
