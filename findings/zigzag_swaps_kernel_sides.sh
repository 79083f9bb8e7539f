#!/usr/bin/env bash
# ZigZag reads a convolution's kernel with its sides swapped.
#
# Expected: ONNX writes kernel_shape, strides and pads as (height, width). A 9x1 kernel on a map of 10 rows and 100 columns slides down:
#   2 rows and 100 columns of output, each from 9 rows, so that all 3,000 input values of 3 channels are read.
# Happens: the first number becomes the kernel's width (FX), beside an output width that is right (OX 100). The products are counted well,
#   but the loops read other inputs: 600 values instead of 3,000 for 9x1, and 2,760 for 1x9. Square kernels hide it.
# Why it matters: speech networks and one-dimensional convolutions have such kernels (10x4 in the keyword spotting of MLPerf Tiny).
#   Reads, buffer sizes and energy are those of another layer.
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


def layer(kernel):
    """ZigZag's reading of a convolution from 3 to 4 channels on 10 rows and 100 columns."""
    weights = numpy_helper.from_array(np.ones((4, 3, *kernel), np.float32), "weights")
    output = [1, 4, 11 - kernel[0], 101 - kernel[1]]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weights"], ["y"], name="layer", kernel_shape=kernel)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 10, 100])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model, full_check=True)
    path = os.path.join(sys.argv[1], "mapping.yaml")
    with open(path, "w") as file:
        file.write(MAPPING)
    return next(iter(ONNXModelParser(model, path).run().nodes))


print("zigzag-dse", importlib.metadata.version("zigzag-dse"))
found = {}
for kernel in ((3, 3), (9, 1), (1, 9)):
    read = layer(kernel)
    loops = {str(dimension): size for dimension, size in read.layer_dim_sizes.items()}
    inputs = {str(operand): count for operand, count in read.operand_size_elem.items()}["I"]
    found[kernel] = (loops["FX"], loops["FY"], inputs)
    print(f"kernel {kernel[0]} high, {kernel[1]} wide: FX {loops['FX']}, FY {loops['FY']}, OX {loops['OX']}, OY {loops['OY']}; {inputs} of 3000 inputs read")
as_found = found == {(3, 3): (3, 3, 3000), (9, 1): (9, 1, 600), (1, 9): (1, 9, 2760)}
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
