#!/usr/bin/env bash
# Making a tensor of an integer network an output changes the network's other outputs.
#
# Expected: to compare a network layer by layer, one adds its inner tensors to the graph's outputs. That only shows more; what was
#   an output before keeps its values, as integers have no rounding left to differ.
# Happens: onnxruntime fuses DequantizeLinear -> AveragePool -> QuantizeLinear into one integer kernel, unless the tensor
#   between them is an output. The fused kernel rounds otherwise, so the codes behind the tap change.
# Why it matters: a layer-by-layer check compares another network than the one that will run. Outputs of a tapped session do not
#   stand for the file; compare them with an untapped session first.
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

constants = {"scale": np.float32(0.5), "zero": np.uint8(3)}
nodes = [
    helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["real"]),
    helper.make_node("AveragePool", ["real"], ["mean"], kernel_shape=[1, 2]),
    helper.make_node("QuantizeLinear", ["mean", "scale", "zero"], ["y"]),
]


def answer(taps):
    outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, 1, 256, 1])]
    outputs += [helper.make_tensor_value_info(tap, TensorProto.FLOAT, [None] * 4) for tap in taps]
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 1, 256, 2])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [numpy_helper.from_array(a, name) for name, a in constants.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return onnxruntime.InferenceSession(made.SerializeToString()).run(["y"], {"x": x})[0].ravel()


x = np.stack([np.arange(256), np.arange(256)[::-1] // 2 * 2], axis=1).astype(np.uint8).reshape(1, 1, 256, 2)
alone = answer([])
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
found = {}
for tap in ("real", "mean"):
    found[tap] = int((answer([tap]) != alone).sum())
    print(f"with {tap!r} as a second output, {found[tap]} of {alone.size} codes of 'y' change")
sys.exit(0 if found["real"] == 0 and found["mean"] > 0 else "the behaviour changed")
PYTHON
