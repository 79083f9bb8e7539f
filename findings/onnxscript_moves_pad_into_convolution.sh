#!/usr/bin/env bash
# onnxscript's optimiser moves a padding with code 0 into a convolution that pads with its zero point.
#
# Expected: Pad -> ConvInteger becomes ConvInteger with pads only where the two pad with the same thing. Pad writes the code 0;
#   ConvInteger's own pads stand for the real 0, which is the code of the input's zero point.
# Happens: onnxscript.optimizer.optimize joins them whatever the zero point is. With a zero point of 3 all border values of the sums are
#   others; with 0 they are equal, which is the case that one tries. onnxruntime and ONNX's reference agree on both files.
# Why it matters: integer networks pad explicitly where the padding is not the zero point, and in adder layers padding counts: |0 - w| and
#   |3 - w| differ. The result passes the full check.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxscript import optimizer

X = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)


def model(zero_point):
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "weights": np.ones((1, 1, 3, 3), np.int8),
        "zero": np.uint8(zero_point),
    }
    graph = helper.make_graph(
        [helper.make_node("Pad", ["x", "pads"], ["padded"]), helper.make_node("ConvInteger", ["padded", "weights", "zero"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, X.shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return made


def answers(made):
    reference = ReferenceEvaluator(made).run(None, {"x": X})[0]
    runtime = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": X})[0]
    assert np.array_equal(reference, runtime)
    return reference[0, 0]


print("onnxscript", importlib.metadata.version("onnxscript"))
found = []
for zero_point in (0, 3):
    before = model(zero_point)
    after = optimizer.optimize(model(zero_point))
    checker.check_model(after, full_check=True)
    found.append(int((answers(before) != answers(after)).sum()))
    operators = " -> ".join(node.op_type for node in after.graph.node)
    print(f"zero point {zero_point}: Pad -> ConvInteger becomes {operators}, {found[-1]} of {X.size} sums change")
    print("  first row before", answers(before)[0].tolist(), "after", answers(after)[0].tolist())
sys.exit(0 if found == [0, 12] else "the behaviour changed")
PYTHON
