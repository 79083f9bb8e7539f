#!/usr/bin/env bash
# QONNX turns floor, ceiling and truncation into rounding on the way to QuantizeLinear.
#
# Expected: QuantToQCDQ replaces a Quant node by QuantizeLinear -> Clip -> DequantizeLinear where the two are equal; its own docstring
#   lists the conditions, among them that rounding_mode is ROUND and that narrow ranges become clips.
# Happens: Quant nodes with FLOOR, CEIL, UP and DOWN are replaced as well, and the new nodes round to the nearest even. With 8 bits,
#   unsigned and narrow, the clip at 254 is left out.
# Why it matters: flooring is what a shift does, so hardware networks carry FLOOR. A file converted to be run anywhere gives codes
#   that are one off for about half of the values, without a warning.
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
from qonnx.transformation.qonnx_to_qcdq import QuantToQCDQ

warnings.simplefilter("ignore")
x = (np.arange(-40, 1200, dtype=np.float32) / 4).reshape(1, -1)


def model(bits, mode, signed, narrow):
    node = helper.make_node(
        "Quant",
        ["x", "scale", "zero", "bits"],
        ["y"],
        domain="qonnx.custom_op.general",
        signed=signed,
        narrow=narrow,
        rounding_mode=mode,
    )
    constants = {"scale": 1, "zero": 0, "bits": bits}
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(made, full_check=True)
    return ModelWrapper(made)


print("qonnx", importlib.metadata.version("qonnx"))
found = {}
cases = [(4, mode, 1, 0) for mode in ("ROUND", "FLOOR", "CEIL", "UP", "DOWN")]
for case in [*cases, (8, "ROUND", 0, 0), (8, "ROUND", 0, 1)]:
    original = model(*case)
    converted = original.transform(QuantToQCDQ()).transform(InferShapes())
    operators = [node.op_type for node in converted.graph.node if node.op_type != "Constant"]
    before, after = (execute_onnx(network, {"x": x})["y"] for network in (original, converted))
    found[case] = int((before != after).sum())
    bits, mode, signed, narrow = case
    print(f"{bits} bits, {mode}, signed {signed}, narrow {narrow}: {' -> '.join(operators)}, {found[case]} of {x.size} values changed")
right = {case for case, changed in found.items() if changed == 0}
sys.exit(0 if right == {(4, "ROUND", 1, 0), (8, "ROUND", 0, 0)} else "the behaviour changed")
PYTHON
