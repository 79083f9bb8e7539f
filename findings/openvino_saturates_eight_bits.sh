#!/usr/bin/env bash
# OpenVINO saturates integer arithmetic in eight bits where ONNX's reference and onnxruntime wrap.
#
# Expected: Sub, Add and Mul of two uint8 or int8 tensors give the low eight bits, as C, numpy, ONNX's reference evaluator and
#   onnxruntime do. Whoever wants saturation writes a Clip on wider integers.
# Happens: OpenVINO's CPU plug-in gives 0 for 3 - 5 and 255 for 250 + 10 in uint8, where the others give 254 and 4, and it clips
#   products as well.
# Why it matters: |x - w| on codes is the inner operation of an adder network. Sub(x, w) + Sub(w, x) is the absolute difference on one
#   runtime and always 0 on the other: neither is right on both without a Cast first. Seen on x86 with AVX-512.
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
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator


def model(nodes, kind):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, [4]) for name in ("a", "b")],
        [helper.make_tensor_value_info("y", kind, [4])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return made


def answers(made, a, b):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU")
    feeds = {"a": a, "b": b}
    return (
        ReferenceEvaluator(made).run(None, feeds)[0].tolist(),
        onnxruntime.InferenceSession(made.SerializeToString()).run(None, feeds)[0].tolist(),
        compiled(feeds)[0].tolist(),
    )


node = helper.make_node
absolute = [node("Sub", ["a", "b"], ["p"]), node("Sub", ["b", "a"], ["q"]), node("Add", ["p", "q"], ["y"])]
codes = {
    TensorProto.UINT8: (np.array([3, 250, 100, 7], np.uint8), np.array([5, 10, 100, 200], np.uint8)),
    TensorProto.INT8: (np.array([-100, 100, 20, 7], np.int8), np.array([100, 100, -20, 2], np.int8)),
}
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "openvino", openvino.__version__)
as_found = True
for kind, (a, b) in codes.items():
    limits = np.iinfo(a.dtype)
    for op, exact in (("Sub", np.subtract), ("Add", np.add), ("Mul", np.multiply)):
        reference, runtime, vino = answers(model([node(op, ["a", "b"], ["y"])], kind), a, b)
        wide = exact(a.astype(np.int64), b.astype(np.int64))
        print(f"{a.dtype} {op}: exact {wide.tolist()}, reference {reference}, onnxruntime {runtime}, OpenVINO {vino}")
        as_found &= reference == runtime == wide.astype(a.dtype).tolist()
        as_found &= vino == wide.clip(limits.min, limits.max).tolist()
a, b = codes[TensorProto.UINT8]
reference, runtime, vino = answers(model(absolute, TensorProto.UINT8), a, b)
print(f"uint8 (a - b) + (b - a): reference {reference}, onnxruntime {runtime}, OpenVINO {vino}")
as_found &= reference == runtime == [0] * 4 and vino == np.abs(a.astype(int) - b.astype(int)).tolist()
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
