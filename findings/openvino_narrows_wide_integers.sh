#!/usr/bin/env bash
# OpenVINO computes wide integers in narrower types and still calls the result int64 or int32.
#
# Expected: integer operators of an ONNX file are exact in their declared type, or the file is refused.
# Happens: on the CPU plug-in int64 arithmetic is done in int32: 2^40 + 1 is 1, in a tensor of type int64. A ReduceSum of int32 goes
#   through float32 and loses the last bits above 2^24. BitShift of uint32 does not shift zeros into the top: 0xC0000000 >> 1 is
#   0xE0000000. Nothing is said when the model is read, compiled or run.
# Why it matters: a requantiser is a product of two 32-bit integers and a shift, and an accumulator is a sum of int32. Integer files
#   that are exact by construction give wrong codes here. Seen on x86 with AVX-512.
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


def answers(op, x, constant=None, **attributes):
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    inputs, constants = ["x"], []
    if constant is not None:
        inputs.append("constant")
        constants.append(numpy_helper.from_array(x.dtype.type(constant), "constant"))
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", kind, x.shape if constants else [])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    by_openvino = compiled([x])[0]
    assert by_openvino.dtype == x.dtype
    return (
        ReferenceEvaluator(made).run(None, {"x": x})[0].ravel().tolist(),
        onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0].ravel().tolist(),
        by_openvino.ravel().tolist(),
    )


cases = {
    "int64 2^40 + 1": ("Add", np.array([2**40], np.int64), 1, {}),
    "int64 10^6 * 10^6": ("Mul", np.array([10**6], np.int64), 10**6, {}),
    "int32 sum of 64 times 2^24 + 1": ("ReduceSum", np.full(64, 2**24 + 1, np.int32), None, {"keepdims": 0}),
    "uint32 0xC0000000 >> 1": ("BitShift", np.array([0xC0000000], np.uint32), 1, {"direction": "RIGHT"}),
}
narrow = {
    "int64 2^40 + 1": 1,
    "int64 10^6 * 10^6": 10**12 % 2**32 - 2**32,
    "int32 sum of 64 times 2^24 + 1": 2**30,
    "uint32 0xC0000000 >> 1": 0xE0000000,
}
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "openvino", openvino.__version__)
as_found = True
for name, (op, x, constant, attributes) in cases.items():
    reference, runtime, vino = answers(op, x, constant, **attributes)
    print(f"{name}: reference {reference[0]}, onnxruntime {runtime[0]}, OpenVINO {vino[0]}")
    as_found &= reference == runtime and reference != vino and vino == [narrow[name]]
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
