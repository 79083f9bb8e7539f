"""Reads a float ONNX model into plain nodes and constants; whatever the lowering does not know is an error."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from adderhw.errors import ModelError
from adderhw.onnx_reader import ONNX_DOMAINS, array_of, attributes_of, load_proto, op_of
from adderhw.ops.base import DOMAIN, DOMAIN_VERSION
from adderhw.ops.float_adder import FLOAT_OPS
from adderhw.tensor import Tensor
from quant.shapes import with_constant_shapes

LEAST_OPSET = 13
MOST_NODES = 5000  # calibration keeps a histogram of 1 MiB for each
CONV = {
    "auto_pad": "NOTSET",
    "dilations": (1, 1),
    "group": 1,
    "kernel_shape": None,
    "pads": (0, 0, 0, 0),
    "strides": (1, 1),
}
WINDOW = {
    "auto_pad": "NOTSET",
    "ceil_mode": 0,
    "dilations": (1, 1),
    "kernel_shape": None,
    "pads": (0, 0, 0, 0),
    "strides": (1, 1),
}
# Each op with its attributes and their ONNX defaults; None: no default, or one that follows from the input.
OPERATORS: Mapping[str, Mapping[str, Any]] = {
    "Conv": CONV,
    "AdderConv": {key: value for key, value in CONV.items() if key != "auto_pad"},
    "AdderGemm": {"transB": 1},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
    "MatMul": {},
    "BatchNormalization": {"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0},
    "Relu": {},
    "Clip": {},
    "MaxPool": {**WINDOW, "storage_order": 0},
    "AveragePool": {**WINDOW, "count_include_pad": 0},
    "GlobalAveragePool": {},
    "ReduceMean": {"axes": None, "keepdims": 1, "noop_with_empty_axes": 0},
    "Add": {},
    "Flatten": {"axis": 1},
    "Reshape": {"allowzero": 0},
    "Identity": {},
}
WEIGHTED = ("Conv", "AdderConv", "AdderGemm", "Gemm", "MatMul")
# Values that an attribute must have, in whichever op it occurs.
REQUIRED = {
    "auto_pad": ("NOTSET",),
    "ceil_mode": (0,),
    "storage_order": (0,),
    "training_mode": (0,),
    "transA": (0,),
    "axis": (1,),
    "noop_with_empty_axes": (0,),
}
POOL_REQUIRED = {"AveragePool": {"pads": (0, 0, 0, 0), "dilations": (1, 1)}, "MaxPool": {"dilations": (1, 1)}}


class FloatNode(NamedTuple):
    """One node: op (without domain), name, input names ('' = left out), output name, attributes with defaults."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]

    def fail(self, found, expected):
        """Raises the ModelError that names this node."""
        raise ModelError(f"node {self.name!r} ({self.op}): found {found}, expected {expected}")


@dataclass(frozen=True)
class FloatGraph:
    """A float network with one input, in topological order.

    inputs: the input Tensor, float32 (None, …). constants: float64 and integer arrays by name. proto: the
    ModelProto that onnxruntime runs, with the functions of the adder ops.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    nodes: tuple[FloatNode, ...]
    constants: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]
    proto: onnx.ModelProto

    @property
    def consumers(self):
        """Tensor name → the nodes that read it, in order."""
        readers = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers


def read_float_graph(model):
    """The FloatGraph of `model`, a path or a ModelProto; raises ModelError naming the node and its op."""
    if isinstance(model, onnx.ModelProto):
        return graph_of(model, "model")
    try:
        return graph_of(load_proto(model), Path(model).stem)
    except ModelError as error:
        where = "" if str(error).startswith(str(model)) else f"{model}: "
        raise ModelError(f"{where}{error}") from None


def graph_of(proto, name):
    """The FloatGraph of a ModelProto; Identity and Constant nodes are gone from it."""
    check_opsets(proto)
    if len(proto.graph.node) > MOST_NODES:
        raise ModelError(f"model: found {len(proto.graph.node):,} nodes, expected at most {MOST_NODES:,} to quantise")
    proto = with_constant_shapes(with_functions(proto))
    constants = {tensor.name: constant(array_of(tensor)) for tensor in proto.graph.initializer}
    aliases, nodes = {}, []
    for raw in proto.graph.node:
        if raw.op_type == "Constant" and raw.domain in ONNX_DOMAINS:
            constants[raw.output[0]] = constant_of(raw)
            continue
        node = node_of(raw, aliases)
        if node.op != "Identity":
            nodes.append(node)
        elif node.inputs[0] in constants:
            constants[node.output] = constants[node.inputs[0]]
        else:
            aliases[node.output] = node.inputs[0]
    for node in nodes:
        if node.op in WEIGHTED and len(node.inputs) > 1 and node.inputs[1] not in constants:
            node.fail(f"weight {node.inputs[1]!r} computed by the graph", "a constant")
    return FloatGraph(
        name=proto.graph.name or name,
        inputs=(input_of(proto, constants),),
        outputs=tuple(value.name for value in proto.graph.output),
        nodes=renamed_outputs(nodes, aliases, proto),
        constants=constants,
        metadata={entry.key: entry.value for entry in proto.metadata_props},
        proto=proto,
    )


def renamed_outputs(nodes, aliases, proto):
    """The nodes, with an output that only an Identity names computed under that name; raises ModelError otherwise."""
    computed = {node.output for node in nodes}
    renames = {aliases[value.name]: value.name for value in proto.graph.output if value.name in aliases}
    for value in proto.graph.output:
        if value.name not in computed and aliases.get(value.name) not in computed:
            raise ModelError(f"output {value.name!r}: found no supported node that computes it, expected one")

    def rename(name):
        return renames.get(name, name)

    return tuple(n._replace(inputs=tuple(map(rename, n.inputs)), output=rename(n.output)) for n in nodes)


def check_opsets(proto):
    """Raises ModelError for an opset that is too old or another version of the adderhw domain."""
    for entry in proto.opset_import:
        if entry.domain in ONNX_DOMAINS and entry.version < LEAST_OPSET:
            raise ModelError(f"opset: found {entry.version}, expected at least {LEAST_OPSET}")
        if entry.domain == DOMAIN and entry.version != DOMAIN_VERSION:
            raise ModelError(f"domain {DOMAIN}: found version {entry.version}, expected {DOMAIN_VERSION}")


def with_functions(proto):
    """The model with the function of each float adder op that it uses: this toolkit's, whatever the file calls so."""
    from adderhw.ops.bodies import OPSET, function_of

    used = {node.op_type for node in proto.graph.node if node.domain == DOMAIN}
    functions = [function_of(op) for op in FLOAT_OPS if op.name in used]
    versions = [entry.version for entry in proto.opset_import if entry.domain in ONNX_DOMAINS]
    brought = {(function.domain, function.name): list(function.node) for function in proto.functions}
    if versions != [OPSET]:
        for function in functions:
            found = brought.get((function.domain, function.name))
            if found != list(function.node):
                raise ModelError(
                    f"op {DOMAIN}::{function.name}: found {'no' if found is None else 'another'} function in a model "
                    f"of opset {versions}, expected its function in the model, or opset {OPSET}"
                )
        return proto
    completed = onnx.ModelProto()
    completed.CopyFrom(proto)
    del completed.functions[:]
    completed.functions.extend(functions)
    return completed


def input_of(proto, constants):
    """The Tensor of the model's one input; raises ModelError unless it is float32 with sizes known after the batch."""
    values = [value for value in proto.graph.input if value.name not in constants]
    if len(values) != 1:
        raise ModelError(f"model: found {len(values)} inputs, expected 1")
    kind = values[0].type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    where = f"input {values[0].name!r}"
    if kind.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError(f"{where}: found element type {kind.elem_type}, expected 1 (FLOAT)")
    if len(dims) not in (2, 4) or min(dims[1:]) < 1:
        raise ModelError(f"{where}: found shape {dims}, expected (N, C, H, W) or (N, K) with sizes known after N")
    return Tensor(values[0].name, (None, *dims[1:]), np.dtype(np.float32))


def node_of(raw, aliases):
    """The FloatNode of a NodeProto; raises ModelError for an op or attribute that cannot be quantised."""
    name = raw.name or (raw.output[0] if raw.output else raw.op_type)
    adder = raw.op_type in {op.name for op in FLOAT_OPS}
    domains = (DOMAIN,) if adder else ONNX_DOMAINS
    if raw.op_type not in OPERATORS or raw.domain not in domains:
        known = ", ".join(OPERATORS)
        if op_of(raw) is not None:
            raise ModelError(f"node {name!r}: found the integer op {raw.op_type}, expected a float model")
        raise ModelError(f"node {name!r}: found op {raw.domain or 'ai.onnx'}::{raw.op_type}, expected one of {known}")
    inputs = tuple(aliases.get(value, value) for value in raw.input)
    outputs = [output for output in raw.output if output]
    attributes = {**OPERATORS[raw.op_type], **attributes_of(raw)}
    node = FloatNode(raw.op_type, name, inputs, outputs[0] if outputs else "", attributes)
    if len(outputs) != 1:
        node.fail(f"{len(outputs)} outputs", "one")
    check_attributes(node)
    return node


def check_attributes(node):
    """Raises ModelError for an attribute that is unknown or has a value that cannot be quantised."""
    for key, value in node.attributes.items():
        if key not in OPERATORS[node.op]:
            node.fail(f"attribute {key!r}", f"only {', '.join(OPERATORS[node.op]) or 'none'}")
        allowed = REQUIRED.get(key)
        if allowed and value not in allowed:
            node.fail(f"attribute {key} {value!r}", " or ".join(map(repr, allowed)))
    for key, expected in POOL_REQUIRED.get(node.op, {}).items():
        if node.attributes[key] != expected:
            node.fail(f"attribute {key} {list(node.attributes[key])}", str(list(expected)))


def constant_of(raw):
    """The array of a Constant node."""
    found = [attribute.name for attribute in raw.attribute]
    if len(found) != 1 or not raw.output:
        raise ModelError(f"node {raw.name!r} (Constant): found attributes {found}, expected one, and an output")
    value = helper.get_attribute_value(raw.attribute[0])
    return constant(array_of(value) if isinstance(value, onnx.TensorProto) else np.asarray(value))


def constant(array):
    """The array, floats as float64, in which scales and offsets fold exactly enough."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array
