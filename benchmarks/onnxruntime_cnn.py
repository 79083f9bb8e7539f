"""The yardstick: an int8 CNN ResNet-20 (QDQ, static quantisation, per channel, random weights) in onnxruntime."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

STAGES = ((16, 1), (32, 2), (64, 2))
BLOCKS = 3


class _Graph:
    """Collects nodes and weights of a float ONNX graph; every convolution carries its folded batch norm as bias."""

    def __init__(self, seed):
        self.rng, self.nodes, self.weights = np.random.default_rng(seed), [], []

    def constant(self, values):
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op, inputs, **attributes):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def conv(self, x, channels, outputs, kernel, stride):
        spread = np.sqrt(2 / (channels * kernel * kernel))
        w = self.rng.normal(0, spread, (outputs, channels, kernel, kernel)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, outputs).astype(np.float32)
        pads = [kernel // 2] * 4
        return self.node("Conv", [x, self.constant(w), self.constant(bias)], strides=[stride] * 2, pads=pads)


def _float_model(seed):
    g = _Graph(seed)
    x, channels = g.node("Relu", [g.conv("x", 3, 16, 3, 1)]), 16
    for outputs, first_stride in STAGES:
        for block in range(BLOCKS):
            stride = first_stride if block == 0 else 1
            y = g.node("Relu", [g.conv(x, channels, outputs, 3, stride)])
            y = g.conv(y, outputs, outputs, 3, 1)
            shortcut = x if channels == outputs else g.conv(x, channels, outputs, 1, stride)
            x, channels = g.node("Relu", [g.node("Add", [y, shortcut])]), outputs
    pooled = g.node("Flatten", [g.node("GlobalAveragePool", [x])])
    w = g.constant(g.rng.normal(0, 0.2, (64, 10)).astype(np.float32))
    g.node("Gemm", [pooled, w, g.constant(np.zeros(10, np.float32))])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])]
    outputs = [helper.make_tensor_value_info(g.nodes[-1].output[0], TensorProto.FLOAT, ["n", 10])]
    graph = helper.make_graph(g.nodes, "cnn20", inputs, outputs, g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


class _RandomImages(CalibrationDataReader):
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.batches = iter([{"x": rng.normal(0, 1, (8, 3, 32, 32)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


def int8_cnn_session(threads, seed=0):
    """An onnxruntime session of the quantised CNN on `threads` threads; input "x": float32 (N, 3, 32, 32)."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises a pre-processing step through logging
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            _float_model(seed), path, _RandomImages(seed), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # its threads spin during a run but not after it, when the other side of the pair has the machine
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
