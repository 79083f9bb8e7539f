#!/usr/bin/env bash
# onnxruntime fuses quantised weights along whatever axis they have.
#
# Expected: DequantizeLinear's axis (default 1) says along which dimension of the weights the scales lie. A runtime that fuses
#   DequantizeLinear -> Conv -> QuantizeLinear into one integer kernel does so only where the scales lie along the kernel's
#   output channels (axis 0 of Conv, axis 1 of Gemm), or keeps the axis.
# Happens: with as many input as output channels the fusion takes scales along the input channels for scales of the output
#   channels. The default optimisation level gives other integers than the same file without optimisation and than ONNX's
#   reference. That a file leaves the axis out (it is 1) is enough.
# Why it matters: an integer file that is checked against a default session is checked against another network.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def model(op, weights, axis, shape):
    constants = {
        "x_scale": np.float32(0.5),
        "x_zero": np.uint8(0),
        "weights": weights,
        "scales": np.array([1, 4], np.float32),
        "zeros": np.zeros(2, np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_scale", "x_zero"], ["x_real"]),
        helper.make_node("DequantizeLinear", ["weights", "scales", "zeros"], ["w_real"], **({} if axis is None else {"axis": axis})),
        helper.make_node(op, ["x_real", "w_real"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "x_scale", "x_zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return made


def answers(made, x):
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    default = onnxruntime.SessionOptions()
    sessions = [onnxruntime.InferenceSession(made.SerializeToString(), options) for options in (plain, default)]
    everyone = [ReferenceEvaluator(made), *sessions]
    return [one.run(None, {"x": x})[0].ravel().tolist() for one in everyone]


swap = np.array([[0, 1], [1, 0]], np.int8)  # y[0] = w[0, 1] x[1], y[1] = w[1, 0] x[0]
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
as_found = True
for op, weights, shape, right_axis in (("Conv", swap.reshape(2, 2, 1, 1), [1, 2, 1, 1], 0), ("Gemm", swap, [1, 2], 1)):
    x = np.array([3, 5], np.uint8).reshape(shape)
    for axis in (None, 0, 1):
        reference, unoptimised, default = answers(model(op, weights, axis, shape), x)
        print(f"{op}, axis {axis}: reference {reference}, without optimisation {unoptimised}, by default {default}")
        fused_wrongly = (1 if axis is None else axis) != right_axis
        as_found &= reference == unoptimised and (default != reference) == fused_wrongly
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
