#!/usr/bin/env bash
# QONNX subtracts the zero point of quantised weights in eight bits.
#
# Expected: QCDQToQuant folds DequantizeLinear of an initialiser into float weights, (code - zero point) x scale, and puts a Quant
#   behind them: the network computes what it did.
# Happens: the difference is taken in the codes' own type and wraps. With uint8 weights around 128 every weight below the zero point
#   becomes a large positive one (and the 8-bit Quant behind clips it); with int8 codes a far zero point does the same.
#   Only a zero point of 0 survives.
# Why it matters: uint8 weights with zero point 128 are what many exporters write. The converted network loads, runs and is wrong.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check qonnx==1.0.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import sys
import warnings

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.qcdq_to_qonnx import QCDQToQuant

warnings.simplefilter("ignore")


def model(codes, zero_point):
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["weights"]), helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(codes, "codes"),
            numpy_helper.from_array(np.float32(0.5), "scale"),
            numpy_helper.from_array(codes.dtype.type(zero_point), "zero"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(made, full_check=True)
    return ModelWrapper(made).transform(InferShapes())


def answer(network):
    return execute_onnx(network, {"x": np.ones((1, 1), np.float32)})["y"].ravel().tolist()


print("qonnx", importlib.metadata.version("qonnx"))
found = []
for dtype, zero_point in ((np.uint8, 0), (np.uint8, 128), (np.int8, 0), (np.int8, -100)):
    network = model(np.array([[0, 1, 100, 120]], dtype), zero_point)
    before, after = answer(network), answer(network.transform(QCDQToQuant()))
    found.append(before == after)
    print(f"{dtype.__name__} weights, zero point {zero_point}: before {before}, after {after}")
sys.exit(0 if found == [True, False, True, False] else "the behaviour changed")
PYTHON
