#!/usr/bin/env bash
# Tools that should only rewrite a file drop what ONNX keeps for quantised tensors.
#
# Expected: a simplifier or a converter of opsets that keeps a tensor keeps what the file says of it: quantization_annotation is ONNX's own
#   field for scales and formats, metadata_props exist on models, graphs and nodes since IR 10. What is dropped is told.
# Happens: onnx's version converter drops the annotations and the metadata of graph and nodes, even when it converts to the version that the
#   file has; the model's metadata stay, so the file still says who made it. onnxslim and onnxsim do the same. The inliner,
#   onnx-ir and add_prefix keep all; extract_model refuses a file with annotations.
# Why it matters: 4-bit tensors in int8 containers are only known by their annotation. Afterwards the file passes every check and its tensors
#   are taken for 8 bits: bounds, energy and memory are wrong.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxslim==0.1.98 onnxsim==0.8.1 onnx-ir==1.1.0 onnxruntime==1.32.0 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import os
import sys

import numpy as np
import onnx
import onnx_ir
import onnxsim
import onnxslim
from onnx import TensorProto, checker, compose, helper, inliner, numpy_helper, version_converter


def model():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["positive"], name="relu"), helper.make_node("Add", ["positive", "offset"], ["y"], name="add")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.float32(2), "offset")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    annotation = made.graph.quantization_annotation.add(tensor_name="positive")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="offset")
    for holder in (made, made.graph, *made.graph.node):
        holder.metadata_props.add(key="example.bits", value="4")
    checker.check_model(made, full_check=True)
    return made


def kept(made):
    checker.check_model(made, full_check=True)
    holders = {
        "annotation": made.graph.quantization_annotation,
        "model": made.metadata_props,
        "graph": made.graph.metadata_props,
        "nodes": [prop for node in made.graph.node for prop in node.metadata_props],
    }
    return [name for name, props in holders.items() if any(getattr(p, "key", "example.bits") == "example.bits" for p in props)]


def extracted():
    folder = sys.argv[1]
    whole, part = os.path.join(folder, "whole.onnx"), os.path.join(folder, "part.onnx")
    onnx.save(model(), whole)
    try:
        onnx.utils.extract_model(whole, part, ["x"], ["positive"])
    except ValueError as error:
        return f"refused: {error}"
    return kept(onnx.load(part))


everything = ["annotation", "model", "graph", "nodes"]
found = {
    "as written": kept(model()),
    "version_converter, 21 to 21": kept(version_converter.convert_version(model(), 21)),
    "onnxslim": kept(onnxslim.slim(model())),
    "onnxsim": kept(onnxsim.simplify(model())[0]),
    "inliner": kept(inliner.inline_local_functions(model())),
    "onnx-ir": kept(onnx_ir.serde.serialize_model(onnx_ir.serde.deserialize_model(model()))),
    "compose.add_prefix": kept(compose.add_prefix(model(), "a_")),
    "extract_model": extracted(),
}
print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("onnx", "onnxslim", "onnxsim", "onnx-ir")))
for tool, what in found.items():
    print(f"{tool}: {what}")
refusal = found.pop("extract_model")
expected = {tool: ["model"] if tool in ("version_converter, 21 to 21", "onnxslim", "onnxsim") else everything for tool in found}
sys.exit(0 if found == expected and "len_quantization_annotation" in refusal else "the behaviour changed")
PYTHON
