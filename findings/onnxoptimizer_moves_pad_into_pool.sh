#!/usr/bin/env bash
# onnxoptimizer merges a Pad into the pooling behind it, which changes the maximum.
#
# Expected: an elimination or fusion that is on by default keeps every value, or nearly. A Pad writes zeros into the map; the pads of a
#   MaxPool take no part in the maximum, so one is no replacement for the other unless the Pad's value is minus infinity.
# Happens: Pad with zeros and MaxPool become one MaxPool with pads. Where all real values of a window are negative, the result was 0 and
#   is now the largest negative one. An AveragePool that has pads of its own takes those of the Pad in as well, and
#   leaves the zeros of both out of the count. Behind positive maps, say a ReLU, the maximum hides it. onnxsim keeps the first pair.
# Why it matters: an adder layer is -sum |x - w|: all of its values are negative until a batch norm, and all borders change. The file
#   passes the check, and its shapes are the same.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxoptimizer==0.4.2 onnx==1.23.2 onnxruntime==1.32.0 onnxsim==0.8.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import onnxoptimizer
import onnxruntime
import onnxsim
from onnx import TensorProto, checker, helper, numpy_helper

MAPS = -np.abs(np.random.default_rng(0).standard_normal((1, 4, 8, 8), np.float32)) - 1


def model(op, size, **attributes):
    """A border of one zero, then pooling of 3x3."""
    graph = helper.make_graph(
        [
            helper.make_node("Pad", ["x", "border"], ["padded"]),
            helper.make_node(op, ["padded"], ["y"], kernel_shape=[3, 3], **attributes),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, MAPS.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, size, size])],
        [numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "border")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(made, full_check=True)
    return made


def answer(made, x):
    checker.check_model(made, full_check=True)
    return onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]


print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("onnxoptimizer", "onnxsim", "onnx", "onnxruntime")))
cases = {
    "MaxPool": (model("MaxPool", 8), MAPS, True),
    "MaxPool of positive maps": (model("MaxPool", 8), -MAPS, False),
    "AveragePool": (model("AveragePool", 8), MAPS, False),
    "AveragePool with pads": (model("AveragePool", 10, pads=[1, 1, 1, 1]), MAPS, True),
}
as_found = True
for name, (before, x, changes) in cases.items():
    after = onnxoptimizer.optimize(before)
    values, changed = answer(before, x), answer(after, x)
    different = ~np.isclose(values, changed, rtol=0, atol=1e-5)
    first = (0, 0, 0, 0)
    print(
        f"{name}: {[node.op_type for node in after.graph.node]}, {different.sum()} of {values.size} values change; "
        f"the corner was {values[first]:.3f}, is {changed[first]:.3f}"
    )
    as_found &= len(after.graph.node) == 1 and bool(different.any()) == changes
simplified, _ = onnxsim.simplify(cases["MaxPool"][0])
kept = [node.op_type for node in simplified.graph.node]
print("onnxsim:", kept)
sys.exit(0 if as_found and kept == ["Pad", "MaxPool"] else "the behaviour changed")
PYTHON
