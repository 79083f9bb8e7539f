#!/usr/bin/env bash
# onnx's inliner forgets the attribute defaults of functions.
#
# Expected: a function may declare defaults for its attributes (IR 9). Inlining a call that does not write the attribute puts the
#   default into the body, so the inlined file computes what the file with the function computes.
# Happens: onnx.inliner drops the attribute. A function whose stride defaults to 2 becomes a convolution of stride 1: another
#   shape, other integers, other counts, and the inlined file passes the full check. onnxruntime and onnx-ir apply the default;
#   onnx's own ReferenceEvaluator refuses to run the function.
# Why it matters: operators outside ONNX, such as an adder convolution, travel as functions, and a tool that reads standard
#   operators only begins with the inliner. Writing every attribute on every call avoids it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 onnx-ir==1.1.0 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnx_ir
import onnxruntime
from onnx import AttributeProto, TensorProto, checker, helper, inliner, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import InlinePass

body = helper.make_node("Conv", ["x", "w"], ["y"])
body.attribute.append(AttributeProto(name="strides", type=AttributeProto.INTS, ref_attr_name="strides"))
function = helper.make_function("example", "Strided", ["x", "w"], ["y"], [body], [helper.make_opsetid("", 21)])
function.attribute_proto.append(helper.make_attribute("strides", [2, 2]))

graph = helper.make_graph(
    [helper.make_node("Strided", ["x", "w"], ["y"], domain="example")],
    "graph",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, None, None])],
    [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")],
)
opsets = [helper.make_opsetid("", 21), helper.make_opsetid("example", 1)]
model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
checker.check_model(model, full_check=True)
x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def shape(network):
    return onnxruntime.InferenceSession(network.SerializeToString()).run(None, {"x": x})[0].shape


by_onnx = inliner.inline_local_functions(model)
checker.check_model(by_onnx, full_check=True)
by_onnx_ir = onnx_ir.serde.serialize_model(InlinePass()(onnx_ir.serde.deserialize_model(model)).model)
try:
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0].shape
except ValueError as error:
    reference = f"refused: {error}"

print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "onnx-ir", onnx_ir.__version__)
print("the function, run by onnxruntime:   ", shape(model))
print("inlined by onnx-ir, then run:       ", shape(by_onnx_ir))
print("inlined by onnx.inliner, then run:  ", shape(by_onnx))
print("the function, by ReferenceEvaluator:", reference)
as_found = (shape(model), shape(by_onnx_ir), shape(by_onnx)) == ((1, 1, 2, 2), (1, 1, 2, 2), (1, 1, 4, 4))
sys.exit(0 if as_found and "refused" in str(reference) else "the behaviour changed")
PYTHON
