#!/usr/bin/env bash
# QuantizeLinear takes int32, but the scale that it wants changed twice, and onnxruntime has no such kernel.
#
# Expected: ONNX lists int32 among the inputs of QuantizeLinear since opset 10, so an accumulator is requantised by one node with a
#   float scale, in every later opset and in onnxruntime.
# Happens: opsets 10 and 13 take a float scale; 19 and 21 call the same model ill-typed and ask for an int32 scale; 23 takes either.
#   The checker and the reference follow. onnxruntime loads none of them, in any opset ("no implementation").
# Why it matters: "QuantizeLinear(accumulator)" is how one writes a requantiser first. It has to be Cast -> QuantizeLinear (exact
#   below 2^24 only) or integer arithmetic, and bumping the opset of a valid file makes it invalid.
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

ACCUMULATORS = np.array([100, 300, 500, 20000], np.int32)


def model(opset, scale):
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT32, [4])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [4])],
        [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(np.int8(0), "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def outcome(made):
    try:
        checker.check_model(made, full_check=True)
    except onnx.shape_inference.InferenceError:
        return "ill-typed", None, None
    reference = ReferenceEvaluator(made).run(None, {"x": ACCUMULATORS})[0].tolist()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(made.SerializeToString(), options)
    except Exception as error:
        return "valid", reference, type(error).__name__
    return "valid", reference, "loads"


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
found = {}
for opset in (10, 13, 19, 21, 23):
    for scale in (np.float32(200), np.int32(200)):
        check, reference, runtime = found[opset, scale.dtype.name] = outcome(model(opset, scale))
        print(f"opset {opset}, {scale.dtype.name} scale: {check}; reference {reference}; onnxruntime {runtime}")
valid = {case for case, (check, _, _) in found.items() if check == "valid"}
as_found = valid == {(10, "float32"), (13, "float32"), (19, "int32"), (21, "int32"), (23, "float32"), (23, "int32")}
as_found &= all(found[case][1:] == ([0, 2, 2, 100], "NotImplemented") for case in valid)
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
