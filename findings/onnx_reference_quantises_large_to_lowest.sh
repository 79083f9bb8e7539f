#!/usr/bin/env bash
# ONNX's reference evaluator quantises very large values to the lowest code.
#
# Expected: QuantizeLinear saturates, as its definition says: what is too large becomes the highest code, and infinity does as well.
#   A file of opset 13 with QuantizeLinear and DequantizeLinear, the usual opset of quantised files, is evaluated.
# Happens: the quotient is cast to int32 before it is clipped: from 2^31 on it becomes the lowest code, 0 for uint8 and -128 for int8.
#   onnxruntime saturates. QuantizeLinear of opset 13 is evaluated, DequantizeLinear of opset 13 is not: an error names 19 as the first.
# Why it matters: the evaluator is the judge in many tests. A small scale (a layer that is nearly zero) or an overflow upstream then looks
#   like a fault of the runtime that is right. The cast is undefined in C: seen on x86, elsewhere the check is skipped.
set -euo pipefail

case "$(uname -m)" in
    x86_64 | amd64) ;;
    *)
        echo "skipped: the cast's result is that of x86"
        exit 0
        ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator


def model(op, opset, source, target, size):
    codes = target if op == "QuantizeLinear" else source
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "scale", "zero"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", source, [size])],
        [helper.make_tensor_value_info("y", target, [size])],
        [helper.make_tensor("scale", TensorProto.FLOAT, [], [1.0]), helper.make_tensor("zero", codes, [], [0])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(made, full_check=True)
    return made


values = np.array([-np.inf, -3e9, -300, 100, 300, 2e9, 3e9, np.inf], np.float32)
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
print("values", values.tolist())
as_found = True
for kind in (TensorProto.UINT8, TensorProto.INT8):
    for opset in (13, 19):
        made = model("QuantizeLinear", opset, TensorProto.FLOAT, kind, values.size)
        reference = ReferenceEvaluator(made).run(None, {"x": values})[0]
        runtime = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": values})[0]
        limits = np.iinfo(reference.dtype)
        saturated = values.clip(limits.min, limits.max)
        print(f"opset {opset}, {reference.dtype}: reference {reference.tolist()}, onnxruntime {runtime.tolist()}")
        as_found &= np.array_equal(runtime, saturated) and np.array_equal(reference[:6], saturated[:6])
        as_found &= reference[6:].tolist() == [limits.min] * 2
for opset in (13, 19):
    made = model("DequantizeLinear", opset, TensorProto.INT8, TensorProto.FLOAT, 2)
    try:
        answer = ReferenceEvaluator(made).run(None, {"x": np.array([1, 2], np.int8)})[0].tolist()
    except RuntimeError as error:
        answer = str(error)
    print(f"DequantizeLinear of opset {opset}: {answer}")
    as_found &= ("No implementation" in answer) if opset == 13 else answer == [1, 2]
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
