#!/usr/bin/env bash
# onnxruntime's Cast truncates to eight bits and rounds to four.
#
# Expected: Cast from float to an integer type drops the fraction, as in C, numpy and ONNX's reference, whatever the width.
# Happens: to int8, uint8 and int32 onnxruntime truncates. To int4, uint4, int2 and uint2 it rounds, halves away from zero (not to even, as
#   its QuantizeLinear does): 6.7 becomes 6 in int8 and 7 in int4. Out of range it wraps after rounding, so 7.5 becomes -8.
# Why it matters: narrowing a network from 8 to 4 bits by changing one type changes the rounding too. Between Floor, Round or Clip and a
#   Cast nothing shows; without them the two differ for half of all values.
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
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

X = np.array([-7.5, -1.5, -0.5, 0.5, 1.5, 2.5, 6.7, 7.5], np.float32)


def model(name):
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["code"], to=getattr(TensorProto, name)),
            helper.make_node("Cast", ["code"], ["y"], to=TensorProto.FLOAT),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, X.shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    checker.check_model(made, full_check=True)
    return made


def wrapped(values, bits, signed):
    codes = values.astype(np.int64) % 2**bits
    return np.where(signed & (codes >= 2 ** (bits - 1)), codes - 2**bits, codes).tolist()


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
print(f"{'':9}", X.tolist())
as_found = True
for name, bits, signed in (("INT8", 8, True), ("INT4", 4, True), ("INT2", 2, True), ("UINT4", 4, False), ("UINT2", 2, False)):
    made = model(name)
    reference = ReferenceEvaluator(made).run(None, {"x": X})[0].tolist()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    runtime = onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, {"x": X})[0].tolist()
    print(f"{name:6} reference  ", *(f"{value:4.0f}" for value in reference))
    print(f"{name:6} onnxruntime", *(f"{value:4.0f}" for value in runtime))
    away = np.sign(X) * np.floor(np.abs(X) + 0.5)
    as_found &= reference == wrapped(np.trunc(X), bits, signed)
    as_found &= runtime == (reference if bits == 8 else wrapped(away, bits, signed))
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
