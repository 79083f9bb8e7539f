#!/usr/bin/env bash
# onnx-tool's multiply-accumulates are mostly something else.
#
# Expected: MACs are products that are added up: a batch norm has one for each value, an addition or an absolute value has none, and a
#   transposed convolution has as many as the convolution that it mirrors.
# Happens: a batch norm counts 31 for each value, more than a 1x1 convolution of 16 channels; a sigmoid counts 32; a subtraction, an absolute value
#   and a sum one each, so the adder layer written in standard operators counts three for each tap. A transposed convolution
#   counts every output place times the whole kernel, whatever the stride, and takes its output channels for its input channels.
#   Convolutions, also of integers, are counted well.
# Why it matters: the figure is quoted as the cost of a network. An adder network, which multiplies nothing but has a batch norm behind
#   each layer, comes out with three times the MACs of the CNN.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx-tool==1.0.1 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import onnx_tool
from onnx import TensorProto, checker, helper, numpy_helper

node = helper.make_node


def counted(nodes, x, y, **constants):
    """The multiply-accumulates that onnx-tool counts for each node."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(made, full_check=True)
    model = onnx_tool.Model(made)
    model.graph.shape_infer(None)
    model.graph.profile()
    return [int(model.graph.nodemap[item.name].macs[0]) for item in nodes]


def ones(*shape):
    return np.ones(shape, np.float32)


maps = [1, 16, 8, 8]
adder = [
    node("Sub", ["x", "w"], ["difference"], name="sub"),
    node("Abs", ["difference"], ["distance"], name="abs"),
    node("ReduceSum", ["distance", "axis"], ["y"], name="sum", keepdims=0),
]
rows = {
    "3x3 convolution": (36 * 8 * 144, counted([node("Conv", ["x", "w"], ["y"], name="a")], maps, [1, 8, 6, 6], w=ones(8, 16, 3, 3))),
    "1x1 convolution": (64 * 16 * 16, counted([node("Conv", ["x", "w"], ["y"], name="a")], maps, maps, w=ones(16, 16, 1, 1))),
    "batch norm": (64 * 16, counted([node("BatchNormalization", ["x", *"cccc"], ["y"], name="a")], maps, maps, c=ones(16))),
    "sigmoid": (0, counted([node("Sigmoid", ["x"], ["y"], name="a")], maps, maps)),
    "64 places, 16 filters, 144 taps of |x - w|": (0, counted(adder, [1, 64, 1, 144], [1, 64, 16], w=ones(1, 1, 16, 144), axis=np.array([-1]))),
    "transposed convolution, stride 2": (
        64 * 16 * 8 * 9,
        counted([node("ConvTranspose", ["x", "w"], ["y"], name="a", strides=[2, 2])], maps, [1, 8, 17, 17], w=ones(16, 8, 3, 3)),
    ),
}
print("onnx-tool", importlib.metadata.version("onnx-tool"))
for name, (products, macs) in rows.items():
    print(f"{name}: {products} products, counted {macs}")
expected = [[41472], [16384], [31 * 1024], [32 * 1024], [64 * 16 * 144] * 3, [17 * 17 * 8 * 8 * 9]]
sys.exit(0 if [macs for _, macs in rows.values()] == expected else "the behaviour changed")
PYTHON
