#!/usr/bin/env bash
# The same tie on a grid with an odd zero point rounds in two ways, by operator and by runtime.
#
# Expected: QuantizeLinear and its relatives round real / scale to the nearest even integer and then add the zero point, as ONNX's
#   text says. On one runtime all quantising operators agree, so fusing them changes no integer; ONNX's reference is the judge.
# Happens: onnxruntime's QuantizeLinear and QLinearConv do that. Its QLinearAdd adds the zero point first, so with an odd one every
#   tie goes the other way, and a default session makes QLinearAdd out of DequantizeLinear -> Add -> QuantizeLinear. OpenVINO's
#   QuantizeLinear adds the zero point first too, and so does ONNX's own reference of QLinearConv and QLinearMatMul, although
#   QLinearMatMul's text says that the quotient is rounded.
# Why it matters: scales that are powers of two (the usual choice in hardware) make ties common: half of the sums of two codes at
#   half the scale. Even zero points hide it, so tests with 0 and 128 pass.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

HALVES = np.arange(0, 16, dtype=np.uint8)  # read at scale 1, written at scale 2: every other one is a tie
CONSTANTS = {
    "one": np.float32(1),
    "two": np.float32(2),
    "zero": np.uint8(0),
    "odd": np.uint8(7),
    "weight": np.ones((1, 1, 1, 1), np.int8),
    "matrix": np.ones((1, 1), np.int8),
    "w_zero": np.int8(0),
}


def model(nodes, shape):
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items() if name in used],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return made


def on_onnxruntime(made, x, optimise=True):
    options = onnxruntime.SessionOptions()
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, {"x": x})[0].ravel()


def on_reference(made, x):
    return ReferenceEvaluator(made).run(None, {"x": x})[0].ravel()


def on_openvino(made, x):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([x])[0].ravel()


node = helper.make_node
flat = HALVES
image = HALVES.reshape(1, 1, 4, 4)
column = HALVES.reshape(-1, 1)
read = node("DequantizeLinear", ["x", "one", "zero"], ["real"])
write = node("QuantizeLinear", ["real", "two", "odd"], ["y"])
quantise = model([read, write], flat.shape)
convolution = model([node("QLinearConv", ["x", "one", "zero", "weight", "one", "w_zero", "two", "odd"], ["y"])], image.shape)
product = model([node("QLinearMatMul", ["x", "one", "zero", "matrix", "one", "w_zero", "two", "odd"], ["y"])], column.shape)
# The sum x + 0 as a network of standard operators, which a default session fuses into QLinearAdd.
CONSTANTS["nothing"] = np.zeros(HALVES.shape, np.uint8)
other = node("DequantizeLinear", ["nothing", "one", "zero"], ["other"])
add = model([read, other, node("Add", ["real", "other"], ["sum"]), node("QuantizeLinear", ["sum", "two", "odd"], ["y"])], flat.shape)

exact = np.array([7 + round(int(code) / 2) for code in HALVES], np.uint8)  # Python's round takes ties to even
inside = np.array([round(7 + int(code) / 2) for code in HALVES], np.uint8)
answers = {
    "onnxruntime, QuantizeLinear": on_onnxruntime(quantise, flat),
    "onnxruntime, QLinearConv": on_onnxruntime(convolution, image),
    "onnxruntime, QLinearMatMul": on_onnxruntime(product, column),
    "onnxruntime, Add, not optimised": on_onnxruntime(add, flat, optimise=False),
    "onnxruntime, Add, by default": on_onnxruntime(add, flat),
    "ONNX's reference, QuantizeLinear": on_reference(quantise, flat),
    "ONNX's reference, QLinearConv": on_reference(convolution, image),
    "ONNX's reference, QLinearMatMul": on_reference(product, column),
    "OpenVINO, QuantizeLinear": on_openvino(quantise, flat),
}
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "openvino", openvino.__version__)
print(f"{'round, then add the zero point':34}", *exact)
print(f"{'add the zero point, then round':34}", *inside)
for who, codes in answers.items():
    print(f"{who:34}", *codes)
otherwise = {who for who, codes in answers.items() if not np.array_equal(codes, exact)}
found = {
    "onnxruntime, Add, by default",
    "ONNX's reference, QLinearConv",
    "ONNX's reference, QLinearMatMul",
    "OpenVINO, QuantizeLinear",
}
as_found = otherwise == found and all(np.array_equal(answers[who], inside) for who in found)
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
