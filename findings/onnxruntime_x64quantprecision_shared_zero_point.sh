#!/usr/bin/env bash
# The session option that makes onnxruntime's u8 x s8 products exact refuses weights that share a zero point.
#
# Expected: session.x64quantprecision ("1") asks onnxruntime for kernels that do not saturate on x86 without VNNI: it turns int8
#   weights beyond -64 to 64 into uint8. It is a matter of numbers, so every file that loads without it loads with it.
# Happens: two layers whose weights name one zero-point initialiser do not load: the rewrite replaces the initialiser for the first
#   layer and finds it taken at the second. An initialiser for each use helps. Seen on x86 with VNNI;
#   on another architecture the option has nothing to do, and the script says so and ends.
# Why it matters: tools that simplify files merge equal constants, so simplified u8 x s8 files are the ones that fail, with a
#   message about an existing tensor that names neither the layer nor the option.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import platform
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper


def model(second_zero):
    constants = {
        "scale": np.float32(0.5),
        "zero": np.uint8(0),
        "first": np.full((1, 1, 1, 1), 100, np.int8),
        "second": np.full((1, 1, 1, 1), -100, np.int8),
        "w_zero": np.int8(0),
        "w_zero_2": np.int8(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["real_1"]),
        helper.make_node("DequantizeLinear", ["first", "scale", "w_zero"], ["weights_1"]),
        helper.make_node("Conv", ["real_1", "weights_1"], ["sum_1"]),
        helper.make_node("QuantizeLinear", ["sum_1", "scale", "zero"], ["code"]),
        helper.make_node("DequantizeLinear", ["code", "scale", "zero"], ["real_2"]),
        helper.make_node("DequantizeLinear", ["second", "scale", second_zero], ["weights_2"]),
        helper.make_node("Conv", ["real_2", "weights_2"], ["sum_2"]),
        helper.make_node("QuantizeLinear", ["sum_2", "scale", "zero"], ["y"]),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, 1, 2, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(made, full_check=True)
    return made.SerializeToString()


def outcome(file, precise):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        onnxruntime.InferenceSession(file, options)
    except Exception as error:
        return "refused: " + str(error).split("graph.cc")[-1].partition(" ")[2].strip()
    return "loads"


if platform.machine().lower() not in ("x86_64", "amd64"):
    sys.exit(print("skipped: the option is for x86"))
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
found = []
for name, zero in (("one zero point each", "w_zero_2"), ("one shared zero point", "w_zero")):
    for precise in (False, True):
        found.append(outcome(model(zero), precise))
        print(f"{name}, x64quantprecision {'on' if precise else 'off'}: {found[-1]}")
as_found = found[:3] == ["loads"] * 3 and found[3].startswith("refused")
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
