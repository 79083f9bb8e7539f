"""Exports a torch module to a float ONNX file whose adder layers are adderhw::AdderConv and AdderGemm nodes."""

import copy
import json
import logging
import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import defs, helper, numpy_helper

from adderhw.errors import ModelError
from adderhw.files import check_writable, write_atomic
from adderhw.ops.base import DOMAIN
from adderhw.ops.bodies import OPSET, function_of
from adderhw.ops.float_adder import FLOAT_OPS
from export.schema import register_schemas
from export.writer import BATCH, IR_VERSION

INPUT, OUTPUT = "image", "logits"
LAYERS = {"Conv", "Gemm", "MatMul", "AdderConv", "AdderGemm"}
STANDARD_OPS = {
    *("Conv", "Gemm", "MatMul", "BatchNormalization", "Relu", "Clip", "Add", "MaxPool", "AveragePool"),
    *("GlobalAveragePool", "ReduceMean", "Flatten", "Reshape"),
}
METADATA_KEYS = ("preprocess", "network", "training")
# Both sides sum float32 in their own order; a published ResNet-20 with weights up to 45 differed by 1.7e-4.
RELATIVE_TOLERANCE = 1e-3


class MismatchError(ModelError):
    """onnxruntime computes something else than torch."""


class Exported(NamedTuple):
    """What was written: the model, its size in bytes and the largest |onnxruntime − torch| of its outputs."""

    model: onnx.ModelProto
    size: int
    difference: float


def export_module(module, example_input, path, *, metadata=None) -> Exported:
    """Writes `module` in evaluation mode to the ONNX file `path`, whole or not at all.

    module: one float32 (N, …) in, one float32 (N, …) out; the caller's is left as it is. example_input: float32
    tensor with a batch axis. metadata: a dictionary; its 'preprocess' ({dataset, mean, std} with
    x = (pixel − mean) / std), 'network' and 'training' become JSON in the model's metadata under adderhw.<key>.
    The batch axis is dynamic; batch normalisation is folded into a convolution before it or stays a node.
    Raises ModelError for a module that needs other ops, MismatchError where onnxruntime's outputs differ from
    torch's by more than RELATIVE_TOLERANCE of the largest, AdderHwError where `path` cannot be written.
    """
    check_writable(path)
    # In channels-last memory torch writes a global average pool as a gather of strides that it computes.
    module = copy.deepcopy(module).cpu().eval().to(memory_format=torch.contiguous_format)
    example = example_input.detach().cpu().contiguous()
    model = trace(module, example)
    check_ops(model)
    plain_reshapes(model.graph)
    name_by_modules(model.graph, module)
    strip(model)
    complete(model, metadata or {})
    difference = compare(model, module, example)
    data = model.SerializeToString(deterministic=True)
    write_atomic(path, data)
    return Exported(model, len(data), difference)


def trace(module, example):
    """The ModelProto that torch makes of `module`, constants folded, without the functions of the adder ops."""
    # A batch of one would be taken for a constant.
    batch = torch.cat([example[:1], example[:1]])
    with quiet():
        try:
            program = torch.onnx.export(
                module,
                (batch,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise ModelError(f"{type(module).__name__}: found a module that torch cannot export ({reason})") from error
    return program.model_proto


@contextmanager
def quiet():
    """Without torch's notes about packages it would like and about its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnxscript|onnx_ir)\.")
            yield
    finally:
        logger.setLevel(level)


def check_ops(model):
    """Raises ModelError for a node that float models of this domain do not have."""
    custom = {op.name for op in FLOAT_OPS}
    for node in model.graph.node:
        if node.op_type not in (custom if node.domain == DOMAIN else STANDARD_OPS if not node.domain else ()):
            expected = ", ".join(sorted(STANDARD_OPS | custom))
            op = f"{node.domain or 'ai.onnx'}::{node.op_type}"
            raise ModelError(f"node {node.name!r}: found op {op}, expected a module that needs only {expected}")


def plain_reshapes(graph):
    """Gives every Reshape ONNX's default allowzero 0; torch writes 1, which only matters for a 0 in the new shape."""
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in shapes and shapes[node.input[1]].all():
            node.ClearField("attribute")


def name_by_modules(graph, module):
    """Names nodes, activations and constants after the modules they come from ('blocks.0.conv1')."""
    leaves = {name for name, child in module.named_modules() if not any(child.children())}
    constants = {tensor.name for tensor in graph.initializer} - set(module.state_dict())
    outputs = {value.name for value in graph.output}
    taken = outputs | {value.name for value in (*graph.input, *graph.initializer)}
    new_names = {}
    for node in graph.node:
        node.name = free_name(module_name(node, leaves), taken)
        if node.output[0] not in outputs:
            new_names[node.output[0]] = node.name
        for name, role in zip(node.input, input_roles(node), strict=False):
            if name in constants:
                new_names.setdefault(name, f"{node.name}.{role}")
    rename(graph, new_names)


def module_name(node, leaves):
    """The path of the module that a traced node comes from, with the op's name where the module has children."""
    if node.op_type in LAYERS and node.input[1].endswith(".weight"):
        return node.input[1].removesuffix(".weight")
    scopes = next((entry.value for entry in node.metadata_props if entry.key.endswith("name_scopes")), "['', '']")
    path = json.loads(scopes.replace("'", '"'))[-2]
    return path if path in leaves and path else f"{path}.{node.op_type.lower()}".lstrip(".")


def free_name(name, taken):
    """`name`, or name_1, name_2, … where it is taken; the result is taken from now on."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate


def input_roles(node):
    """What the node's inputs are called in its schema, in lower case."""
    register_schemas()
    return [parameter.name.lower() for parameter in defs.get_schema(node.op_type, node.domain).inputs]


def rename(graph, new_names):
    """Renames tensors everywhere in a GraphProto."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new_names.get(name, name) for name in names]
    for tensor in graph.initializer:
        tensor.name = new_names.get(tensor.name, tensor.name)


def strip(model):
    """Removes torch's stack traces, scopes and notes, which outweigh the weights of a small network."""
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def complete(model, metadata):
    """Adds the functions of the adder ops, the metadata and the inferred shapes; raises where onnx's checker does."""
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    model.functions.extend(function_of(op) for op in FLOAT_OPS if op.name in used)
    model.ir_version = IR_VERSION
    model.producer_name = DOMAIN
    model.ClearField("producer_version")
    model.graph.name = metadata.get("network", {}).get("name", model.graph.name)
    texts = {f"{DOMAIN}.{key}": json.dumps(metadata[key], sort_keys=True) for key in METADATA_KEYS if key in metadata}
    helper.set_model_props(model, texts)
    register_schemas()
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    model.graph.value_info.extend(inferred.graph.value_info)
    onnx.checker.check_model(model, full_check=True)


def compare(model, module, example):
    """The largest |onnxruntime − torch| on the example and two images of noise; raises MismatchError."""
    noise = torch.randn((2, *example.shape[1:]), generator=torch.Generator().manual_seed(0))
    batch = torch.cat([example[:1], noise])
    with torch.no_grad():
        expected = module(batch).numpy()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {INPUT: batch.numpy()})
    difference, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    if not difference <= RELATIVE_TOLERANCE * largest + 1e-6:
        raise MismatchError(
            f"{type(module).__name__}: found outputs of onnxruntime that differ from torch's by {difference:.3g}, "
            f"expected at most {RELATIVE_TOLERANCE:g} of the largest, {largest:.3g}"
        )
    return difference
