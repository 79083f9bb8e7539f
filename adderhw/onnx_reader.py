"""Reads an integer ONNX file into a Graph; whatever is not in the contract is an error that names it."""

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from adderhw.annotations import FORMATS_KEY, check_stated, read_formats
from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.function_check import ONNX_DOMAINS, calls_of, check_functions
from adderhw.graph import Graph
from adderhw.ops import OPS
from adderhw.ops.base import DOMAIN, DOMAIN_VERSION, STORAGE_TYPES, Node
from adderhw.ops.float_adder import FLOAT_OPS
from adderhw.tensor import Tensor, integer_tensor

OPS_BY_ONNX = {(op.domain, op.name): op for op in OPS} | {("", op.standard): op for op in OPS if op.standard}
FLOAT_NAMES = {"Conv", "Gemm", "MatMul", "BatchNormalization", "Relu", "Clip", "AveragePool", "GlobalAveragePool"}
INPUT_TYPES = (TensorProto.FLOAT, *STORAGE_TYPES)
MOST_NODES = 50_000
MOST_CALLS = 64
EDGE_DEFAULTS = {"ConvInteger": ("auto_pad",), "MaxPool": ("auto_pad", "ceil_mode", "dilations", "storage_order")}


def load_proto(path):
    """The ModelProto in the file `path`, with its external data; raises ModelError in one line."""
    path = Path(path)
    if path.is_dir():
        raise ModelError(f"{path}: found a folder, expected an ONNX file")
    if not path.exists():
        raise ModelError(f"{path}: found no such file, expected an ONNX file")
    if not path.is_file():
        raise ModelError(f"{path}: found a device, pipe or socket, expected an ONNX file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: found a file that cannot be read ({error.strerror}), expected an ONNX file"
        ) from None
    if not data:
        raise ModelError(f"{path}: found an empty file, expected an ONNX file")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ModelError(
            f"{path}: found bytes that are no ONNX model (truncated or another format), expected an ONNX file"
        ) from None
    if not model.ir_version or not model.graph.node:
        raise ModelError(f"{path}: found no graph in the file (truncated or another format), expected an ONNX file")
    check_text(model, path)
    check_size(model, path)
    load_external(model, path)
    return model


def check_text(message, path):
    """Raises ModelError for a name or other text in a protobuf message that is no UTF-8."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in values:
                check_text(each, path)
        elif field.type == FieldDescriptor.TYPE_STRING:
            for each in values:
                if isinstance(each, bytes):
                    where = f"{path}: {message.DESCRIPTOR.name}, field {field.name}"
                    raise ModelError(f"{where}: found bytes {each[:20]!r}, expected text in UTF-8")


def check_size(model, path):
    """Raises ModelError for a graph or function larger than MOST_NODES with functions inlined, or without end.

    In the graph, the functions of this toolkit's ops count as one node: only onnxruntime inlines them.
    """
    bodies = {(function.domain, function.name): calls_of(function) for function in model.functions}
    sizes = {}
    for _ in range(MOST_CALLS):  # each round knows the functions whose calls are one deeper
        for key, called in bodies.items():
            if key not in sizes and all(each in sizes or each not in bodies for each in called):
                sizes[key] = len(called) + sum(sizes.get(each, 0) for each in called)
    unknown = [name for domain, name in bodies if (domain, name) not in sizes]
    if unknown:
        raise ModelError(
            f"{path}: function {unknown[0]!r}: found calls of itself or more than {MOST_CALLS} deep, expected fewer"
        )
    graph = sum(1 + (sizes.get(each, 0) if each[0] != DOMAIN else 0) for each in calls_of(model.graph))
    nodes = max(graph, *sizes.values(), 0)
    if nodes > MOST_NODES:
        raise ModelError(f"{path}: found {nodes:,} nodes with functions inlined, expected at most {MOST_NODES:,}")


def load_external(model, path):
    """Reads tensors that lie in files beside the model, which may not leave the model's folder."""
    try:
        onnx.load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:  # RuntimeError: a name too long
        reason = str(error).splitlines()[0][:300]
        raise ModelError(
            f"{path}: found external data that cannot be read ({reason}), expected it beside the model"
        ) from None


def read_graph(path, model=None):
    """The Graph in the ONNX file `path`, or of the ModelProto `model` read from it; raises ModelError."""
    model = load_proto(path) if model is None else model
    try:
        graph = graph_of(model, Path(path).stem)
        check_functions(model, graph)
        return graph
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def graph_of(model, name):
    """The Graph of a ModelProto of the integer contract."""
    check_domains(model)
    for node in model.graph.node:
        check_supported(node)
    parameters = {tensor.name: array_of(tensor) for tensor in model.graph.initializer}
    formats = read_formats(model)
    nodes = [node_of(node) for node in model.graph.node]
    inputs = [input_of(value, formats) for value in model.graph.input if value.name not in parameters]
    graph = Graph(
        name=model.graph.name or name,
        inputs=tuple(inputs),
        outputs=tuple(value.name for value in model.graph.output),
        nodes=tuple(nodes),
        parameters=parameters,
        formats=formats,
        metadata={entry.key: entry.value for entry in model.metadata_props if entry.key != FORMATS_KEY},
    )
    check_stated(model, graph)
    return graph


def check_domains(model):
    """Raises ModelError for a version of the adderhw domain that this reader does not know."""
    for entry in model.opset_import:
        if entry.domain == DOMAIN and entry.version != DOMAIN_VERSION:
            raise ModelError(f"domain {DOMAIN}: found version {entry.version}, expected {DOMAIN_VERSION}")


def check_supported(node):
    """Raises ModelError for a node that is not of the integer contract, with a hint where the model is a float one."""
    if op_of(node) is not None:
        return
    where = f"node {node.name or node.output[0]!r}" if node.output else f"node {node.name!r}"
    is_float = (node.domain == DOMAIN and node.op_type in {op.name for op in FLOAT_OPS}) or (
        node.domain in ONNX_DOMAINS and node.op_type in FLOAT_NAMES
    )
    if is_float:
        raise ModelError(
            f"{where}: found the float op {node.op_type}, "
            "expected an integer model (quantise it first: python -m quant)"
        )
    known = ", ".join(op.name for op in OPS)
    domain = node.domain or "ai.onnx"
    raise ModelError(f"{where}: found op {domain}::{node.op_type}, expected one of {known}")


def op_of(node):
    """The Op of a NodeProto, or None."""
    return OPS_BY_ONNX.get(("" if node.domain in ONNX_DOMAINS else node.domain, node.op_type))


def name_of(proto):
    """A NodeProto's name; where it has none, that of its first output, or of its op."""
    return proto.name or (proto.output[0] if proto.output else proto.op_type)


def attributes_of(raw):
    """{name: value} of a NodeProto's attributes: bytes as text, lists as tuples; raises ModelError, naming the node."""
    values = {}
    for attribute in raw.attribute:
        where = f"node {name_of(raw)!r} ({raw.op_type}): attribute {attribute.name!r}"
        if attribute.name in values:
            raise ModelError(f"{where}: found it twice, expected it once")
        try:
            value = helper.get_attribute_value(attribute)
            value = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            raise ModelError(f"{where}: found bytes that are no UTF-8, expected text") from None
        except ValueError as error:
            raise ModelError(f"{where}: found no value ({error}), expected one") from None
        values[attribute.name] = tuple(value) if isinstance(value, (list, tuple)) else value
    return values


def node_of(proto):
    """The Node of a NodeProto, its attributes by the contract."""
    op, attributes = op_of(proto), attributes_of(proto)
    node = Node(
        op.name, name_of(proto), tuple(proto.input), proto.output[0] if len(proto.output) == 1 else "", attributes
    )
    if not node.output:
        node.fail(f"{len(proto.output)} outputs", "one")
    return standard_form(node, proto)


def standard_form(node, proto):
    """A node of ONNX's own domain without the attributes that say what the contract says anyway."""
    neutral = {"auto_pad": "NOTSET", "ceil_mode": 0, "storage_order": 0, "dilations": (1, 1)}
    kept = dict(node.attributes)
    for key in EDGE_DEFAULTS.get(proto.op_type, ()) if proto.domain in ONNX_DOMAINS else ():
        if key in kept and kept.pop(key) != neutral[key]:
            node.fail(f"attribute {key} {node.attributes[key]!r}", repr(neutral[key]))
    return Node(node.op, node.name, node.inputs, node.output, kept)


def array_of(tensor, *, empty=False):
    """The numpy array of a TensorProto, `empty` or not; raises ModelError where bytes and shape do not fit."""
    if any(size < 0 or (size == 0 and not empty) for size in tensor.dims):
        raise ModelError(f"tensor {tensor.name!r}: found shape {list(tensor.dims)}, expected no dimension of size 0")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"tensor {tensor.name!r}: found unreadable data ({error}), expected {list(tensor.dims)} elements"
        ) from None


def input_of(value, formats):
    """The Tensor of a graph input; the first axis is the batch, whatever size the file gives it."""
    where = f"input {value.name!r}"
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type == TensorProto.UNDEFINED or not kind.HasField("shape"):
        raise ModelError(f"{where}: found no tensor type and shape, expected both")
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    if len(dims) < 2 or None in dims[1:] or any(size is not None and size <= 0 for size in dims[1:]):
        raise ModelError(f"{where}: found shape {dims}, expected a batch axis and sizes above 0 after it")
    if kind.elem_type not in INPUT_TYPES:
        expected = ", ".join(TensorProto.DataType.Name(each).lower() for each in INPUT_TYPES)
        raise ModelError(f"{where}: found element type {kind.elem_type}, expected one of {expected}")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype.kind == "f":
        return Tensor(value.name, (None, *dims[1:]), dtype)
    stated = formats.get(value.name) or Format(8 * dtype.itemsize, dtype.kind == "i")
    return integer_tensor(value.name, (None, *dims[1:]), dtype, stated.min, stated.max)
