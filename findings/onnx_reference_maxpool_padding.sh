#!/usr/bin/env bash
# ONNX's reference of MaxPool pads SAME_LOWER wrongly, and padded rows with one dimension not at all.
#
# Expected: the reference evaluator is the judge of an operator, MaxPool being one of the simplest. SAME_LOWER gives ceil(size / stride)
#   outputs and puts the odd padding in front; a one-dimensional MaxPool with pads is like the two-dimensional one.
# Happens: with auto_pad SAME_LOWER the reference returns fewer outputs than shape inference of the same package says, or the right number
#   with other maxima. A one-dimensional MaxPool with pads raises an IndexError. SAME_UPPER and explicit pads in two dimensions
#   agree with onnxruntime and with a naive loop; so does AveragePool.
# Why it matters: whoever judges a runtime or a simulator by the reference finds faults where there are none.
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


def naive(x, kernel, stride, where):
    """MaxPool of one row, by ONNX's rule for auto_pad."""
    outputs = -(-x.size // stride)
    padding = max((outputs - 1) * stride + kernel - x.size, 0)
    before = -(-padding // 2) if where == "SAME_LOWER" else padding // 2
    windows = [range(o * stride - before, o * stride - before + kernel) for o in range(outputs)]
    return [float(max(x[i] for i in window if 0 <= i < x.size)) for window in windows]


def model(shape, **attributes):
    graph = helper.make_graph(
        [helper.make_node("MaxPool", ["x"], ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return made


def both(made, x):
    runtime = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0].ravel().tolist()
    try:
        return ReferenceEvaluator(made).run(None, {"x": x})[0].ravel().tolist(), runtime
    except IndexError as error:
        return f"IndexError: {error}", runtime


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
as_found = True
for where in ("SAME_UPPER", "SAME_LOWER"):
    for size, kernel, stride in ((8, 3, 2), (7, 3, 2), (7, 2, 2), (8, 3, 3)):
        # Two equal rows and a kernel of height 1, so that the reference's two-dimensional path is taken.
        row = np.arange(size, dtype=np.float32)[::-1]
        x = np.stack([row, row]).reshape(1, 1, 2, size)
        made = model([1, 1, 2, size], kernel_shape=[1, kernel], strides=[1, stride], auto_pad=where)
        reference, runtime = both(made, x)
        true = naive(row, kernel, stride, where) * 2
        print(f"{where}, size {size}, kernel {kernel}, stride {stride}: true {true[: len(true) // 2]}, reference {reference[: len(reference) // 2]}")
        as_found &= runtime == true and (reference == true) == (where == "SAME_UPPER")
reference, runtime = both(model([1, 1, 5], kernel_shape=[3], pads=[1, 1]), np.arange(5, dtype=np.float32).reshape(1, 1, 5))
print(f"one dimension, 0 to 4, kernel 3, pads 1: onnxruntime {runtime}, reference {reference}")
as_found &= runtime == [1, 2, 3, 4, 4] and str(reference).startswith("IndexError")
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
