#!/usr/bin/env bash
# ZigZag takes every tensor for eight bits, whatever its type.
#
# Expected: an energy model that reads ONNX files reads the types of the tensors, or asks for the widths.
# Happens: inputs and weights have 8 bits and partial sums 16, for half, single and double precision alike, without a
#   word. Only its own attributes on the nodes (weight_size, act_size, output_size), which no exporter writes and which ONNX's checker
#   refuses, change it. An operator without a parser becomes a DummyNode, which has no cost.
# Why it matters: a float network enters the cost model as if it were quantised, so quantising it gains nothing, and 4-bit codes count
#   as 8-bit ones.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check zigzag-dse==3.9.1 six==1.17.0 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import logging
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper
from zigzag.parser.onnx.onnx_model_parser import ONNXModelParser

logging.disable(logging.WARNING)
MAPPING = """
- name: default
  spatial_mapping:
    D1:
      - K, 4
  memory_operand_links:
    O: O
    W: I2
    I: I1
"""


def model(kind, **attributes):
    weights = numpy_helper.from_array(np.ones((4, 3, 3, 3), helper.tensor_dtype_to_np_dtype(kind)), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weights"], ["sum"], name="layer", kernel_shape=[3, 3], **attributes),
            helper.make_node("Exp", ["sum"], ["y"], name="exp"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", kind, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", kind, [1, 4, 6, 6])],
        [weights],
        value_info=[helper.make_tensor_value_info("sum", kind, [1, 4, 6, 6])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def read(made):
    path = os.path.join(sys.argv[1], "mapping.yaml")
    with open(path, "w") as file:
        file.write(MAPPING)
    layer, exp = ONNXModelParser(made, path).run().nodes
    return {str(operand): bits for operand, bits in layer.operand_precision.data.items()}, type(exp).__name__


def valid(made):
    try:
        checker.check_model(made, full_check=True)
    except onnx.checker.ValidationError:
        return False
    return True


print("zigzag-dse", importlib.metadata.version("zigzag-dse"))
found = []
for name in ("FLOAT16", "FLOAT", "DOUBLE"):
    made = model(getattr(TensorProto, name))
    assert valid(made)
    bits, other = read(made)
    found.append((bits, other))
    print(f"{name} convolution: {bits}; the exponential behind it: {other}")
own = model(TensorProto.FLOAT, weight_size=4)
print(f"weight_size=4: {read(own)[0]}; valid ONNX: {valid(own)}")
eight = {"W": 8, "I": 8, "O_final": 8, "O": 16}
as_found = found == [(eight, "DummyNode")] * 3 and read(own)[0] == eight | {"W": 4} and not valid(own)
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
