#!/usr/bin/env bash
# QONNX reads a clipped range by its length, not by its ends.
#
# Expected: QuantizeLinear -> Clip -> DequantizeLinear states the codes by two numbers, so QCDQToQuant either finds a Quant node with
#   the same codes or leaves the nodes alone. Codes 0 to 15 in an int8 tensor (a Relu's output) are unsigned.
# Happens: the bit width is the logarithm of the range's length and the sign is the tensor's type. int8 clipped to 0 .. 15 becomes a
#   signed 4-bit Quant, -8 .. 7: the upper half of the values is lost and negative ones appear. -5 .. 5 becomes -7 .. 7 and
#   0 .. 10 becomes 0 .. 15.
# Why it matters: low-bit networks are shipped as int8 with clips, because ONNX had no narrower types for long.
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
x = np.arange(-40, 41, dtype=np.float32).reshape(1, -1)


def model(low, high, dtype):
    constants = {"scale": np.float32(1), "zero": dtype(0), "low": dtype(low), "high": dtype(high)}
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["code"]),
            helper.make_node("Clip", ["code", "low", "high"], ["clipped"]),
            helper.make_node("DequantizeLinear", ["clipped", "scale", "zero"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(made, full_check=True)
    return ModelWrapper(made).transform(InferShapes())


print("qonnx", importlib.metadata.version("qonnx"))
found = {}
for low, high, dtype in ((-8, 7, np.int8), (0, 15, np.uint8), (0, 15, np.int8), (-5, 5, np.int8), (0, 10, np.uint8)):
    network = model(low, high, dtype)
    converted = network.transform(QCDQToQuant())
    before, after = (execute_onnx(one, {"x": x})["y"] for one in (network, converted))
    found[low, high, dtype] = (int(after.min()), int(after.max()))
    operators = " -> ".join(node.op_type for node in converted.graph.node)
    print(f"{dtype.__name__} clipped to {low} .. {high}: {int(before.min())} .. {int(before.max())}; as {operators} {after.min():.0f} .. {after.max():.0f}")
wider = {(0, 15, np.int8): (-8, 7), (-5, 5, np.int8): (-7, 7), (0, 10, np.uint8): (0, 15)}
expected = {(low, high, dtype): wider.get((low, high, dtype), (low, high)) for low, high, dtype in found}
sys.exit(0 if found == expected else "the behaviour changed")
PYTHON
