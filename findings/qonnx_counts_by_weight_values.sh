#!/usr/bin/env bash
# QONNX's count of multiply-accumulates depends on the values of the weights.
#
# Expected: the number of multiply-accumulates of a layer follows from its shapes; two files that differ in weights only cost the same
#   by default, and what an analysis does not know stops it or is counted as unknown.
# Happens: inference_cost leaves out weights that are zero unless discount_sparsity=False is passed, and scales the weight memory by the
#   same share. A layer whose weights are all zero costs nothing. Additions, such as a residual's, are free, and an operator that
#   it does not know adds only its name to a set beside the total.
# Why it matters: a zero weight of an adder layer still costs |x - 0|. Figures of two papers taken with this tool are not comparable
#   unless both say the flag, and a network of custom operators has a small finite cost.
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
from qonnx.analysis.inference_cost import inference_cost
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes

warnings.simplefilter("ignore")


def model(zero_channels, convolution="Conv", domain=""):
    weights = np.ones((4, 4, 3, 3), np.float32)
    weights[:, :zero_channels] = 0
    graph = helper.make_graph(
        [
            helper.make_node(convolution, ["x", "weights"], ["sum"], name="layer", domain=domain, kernel_shape=[3, 3]),
            helper.make_node("Add", ["sum", "sum"], ["y"], name="residual"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(weights, "weights")],
        value_info=[helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 4, 6, 6])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("example", 1)], ir_version=8)
    checker.check_model(made, full_check=True)
    network = ModelWrapper(made)
    return network if domain else network.transform(InferShapes())


def macs(network, **options):
    total = inference_cost(network, **options)["total_cost"]
    return total.get("op_mac_FLOAT32_FLOAT32", 0), total["unsupported"]


print("qonnx", importlib.metadata.version("qonnx"))
true = 4 * 4 * 3 * 3 * 6 * 6
found = {}
for zero_channels in (0, 2, 4):
    found[zero_channels] = macs(model(zero_channels))[0]
    print(f"{zero_channels} of 4 input channels zero: {found[zero_channels]:.0f} of {true} multiply-accumulates")
everything = macs(model(2), discount_sparsity=False)[0]
print(f"2 of 4, discount_sparsity=False: {everything:.0f}")
unknown = macs(model(0, "AdderConv", "example"))
print(f"an operator that is not known: {unknown[0]:.0f}, and beside it {unknown[1]}")
as_found = found == {0: true, 2: true / 2, 4: 0} and everything == true and unknown == (0, {"AdderConv"})
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
