#!/usr/bin/env bash
# onnxruntime fuses a Gemm's quantised bias as if its scale were the product of the other two.
#
# Expected: a bias in int32 has its own DequantizeLinear with its own scale. The integer kernel that adds the bias to its
#   accumulator is only right when that scale is the input's times the weights', so a fusion looks at it first (Conv's does).
# Happens: Gemm -> QuantizeLinear is fused for any bias scale, and the scale is not read: with a bias scale of 4 x the product the
#   bias counts a quarter. Without optimisation onnxruntime agrees with ONNX's reference.
# Why it matters: the classifier at the end of an integer network is a Gemm, and a bias on a coarser or finer grid than the
#   accumulator is valid. Logits and top-1 change without a word.
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


def model(op, bias_scale):
    weights = np.eye(2, dtype=np.int8)
    shape = [1, 2] if op == "Gemm" else [1, 2, 1, 1]
    constants = {
        "x_scale": np.float32(0.5),
        "x_zero": np.uint8(0),
        "weights": weights if op == "Gemm" else weights.reshape(2, 2, 1, 1),
        "w_scale": np.float32(0.5),
        "w_zero": np.int8(0),
        "bias": np.array([8, 16], np.int32),
        "bias_scale": np.float32(bias_scale),
        "y_scale": np.float32(0.25),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_scale", "x_zero"], ["x_real"]),
        helper.make_node("DequantizeLinear", ["weights", "w_scale", "w_zero"], ["w_real"]),
        helper.make_node("DequantizeLinear", ["bias", "bias_scale"], ["b_real"]),
        helper.make_node(op, ["x_real", "w_real", "b_real"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "y_scale", "x_zero"], ["y"]),
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
    return made, np.array([10, 20], np.uint8).reshape(shape)


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
print("input 10 and 20, bias 8 and 16, scales 0.5 x 0.5 into an output scale of 0.25")
as_found = True
for op in ("Gemm", "Conv"):
    for bias_scale in (0.25, 0.5, 1.0):
        made, x = model(op, bias_scale)
        reference = ReferenceEvaluator(made).run(None, {"x": x})[0].ravel().tolist()
        default = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0].ravel().tolist()
        print(f"{op}, bias scale {bias_scale}: reference {reference}, onnxruntime {default}")
        as_found &= default == ([18, 36] if op == "Gemm" else reference)
        as_found &= reference == [10 + 8 * bias_scale / 0.25, 20 + 16 * bias_scale / 0.25]
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
