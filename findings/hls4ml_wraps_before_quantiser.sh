#!/usr/bin/env bash
# hls4ml wraps the input of a QONNX network before the network's own quantiser sees it.
#
# Expected: a QONNX file states every format: its first node, Quant with 8 bits, scale 1 and saturation, takes codes from -128 to 127. A
#   converter that reads Quant nodes makes ports that hold what they take.
# Happens: with the configuration that hls4ml makes from the file, the input port and the layer behind the quantiser have the default type,
#   16 bits of which 6 are integer, which truncates and wraps. 40 arrives as -24, so Relu gives 0, and -40 gives 24. The
#   quantiser itself is right (8 bits, rounding to even, saturating). Inputs below 32 hide it.
# Why it matters: integer networks have scale 1 and codes up to 255, and every value beyond 31 is lost without a word. Precisions of
#   input and of every layer that is not a Quant have to be set by hand. (The C simulation needs g++; without it the script says so.)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hls4ml==1.3.0 qonnx==1.0.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import contextlib
import io
import os
import shutil
import sys
import warnings

warnings.simplefilter("ignore")
if shutil.which("g++") is None:
    print("skipped: the C simulation needs g++")
    sys.exit()

import hls4ml
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

X = np.array([[1, 20, 31, 32, 40, 100, -40, -100]], np.float32)
quantiser = helper.make_node(
    "Quant",
    ["x", "scale", "zero", "bits"],
    ["code"],
    name="quantiser",
    domain="qonnx.custom_op.general",
    signed=1,
    narrow=0,
    rounding_mode="ROUND",
)
constants = {"scale": 1, "zero": 0, "bits": 8}
graph = helper.make_graph(
    [quantiser, helper.make_node("Relu", ["code"], ["y"], name="relu")],
    "graph",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, X.shape)],
    [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    value_info=[helper.make_tensor_value_info("code", TensorProto.FLOAT, X.shape)],
)
opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
checker.check_model(model, full_check=True)
true = execute_onnx(ModelWrapper(model), {"x": X})["y"].ravel().tolist()

with contextlib.redirect_stdout(io.StringIO()):
    configuration = hls4ml.utils.config_from_onnx_model(ModelWrapper(model), granularity="name", backend="Vitis")
    project = os.path.join(sys.argv[1], "project")
    converted = hls4ml.converters.convert_from_onnx_model(model, output_dir=project, hls_config=configuration, backend="Vitis")
    converted.compile()
    simulated = np.asarray(converted.predict(X)).ravel().tolist()

print("hls4ml", hls4ml.__version__)
for layer in converted.get_layers():
    print(f"{layer.name}: {layer.get_output_variable().type.precision}")
print("input          ", *X.ravel())
print("QONNX          ", *true)
print("hls4ml, C model", *simulated)
wrapped = np.maximum((X.ravel() + 32) % 64 - 32, 0).tolist()
sys.exit(0 if true == np.maximum(X, 0).ravel().tolist() and simulated == wrapped != true else "the behaviour changed")
PYTHON
