"""Reads any ONNX model for its tally: batch 1, constants folded, every tensor's shape inferred."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from adderhw.errors import ModelError
from adderhw.foreign.branches import check_no_branches, take_branches
from adderhw.foreign.folding import Folding, sizes_of
from adderhw.foreign.functions import inlined
from adderhw.foreign.proxies import proxies, proxy
from adderhw.onnx_reader import ONNX_DOMAINS, array_of, attributes_of, name_of

MICROSOFT = "com.microsoft"
MOST_STATED = 1024  # elements of a constant whose values shape inference is told; of larger ones, their shape


class ForeignNode(NamedTuple):
    """One node: op (without domain), domain ('' for ONNX's own), name, tensor names ('' = left out), attributes.

    proto: the NodeProto that it was read from.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: onnx.NodeProto

    def fail(self, found, expected, error=ModelError):
        """Raises the error that names this node."""
        raise error(f"node {self.name!r} ({self.op}): found {found}, expected {expected}")


@dataclass(frozen=True)
class ForeignGraph:
    """A network at batch 1 whose nodes depend on its inputs; what does not is among the constants.

    shapes: tensor name → sizes, the batch axis included. dtypes: tensor name → numpy dtype. constants: arrays by
    name. proto: the model as it was read.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[ForeignNode, ...]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype]
    constants: Mapping[str, np.ndarray]
    proto: onnx.ModelProto

    def consumers(self, name):
        """The nodes that read the tensor, in order."""
        return [node for node in self.nodes if name in node.inputs]


def foreign_graph(proto, name, batch=1):
    """The ForeignGraph of a ModelProto; raises ModelError where a size stays unknown, naming the input or node.

    batch: how many images the shapes are of; all that counts or simulates takes them for one.
    """
    constants = {tensor.name: array_of(tensor, empty=True) for tensor in proto.graph.initializer}
    model = inlined(without_weights(proto, constants))
    set_batch(model.graph, constants, batch)
    if not model.graph.output:
        raise ModelError("model: found no outputs, expected one at least")
    check_attributes(model)
    model.graph.ClearField("value_info")
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    nodes = [plain_node(raw) for raw in model.graph.node]
    folding, known, folded = Folding(model, constants), {}, True
    folding.fold(constants, known)
    while folded:
        known = inferred(model, constants)
        folded = folding.fold(constants, known)
        if take_branches(model.graph, constants):
            check_attributes(model)
            nodes, folded = [plain_node(raw) for raw in model.graph.node], True
    check_no_branches(model.graph, constants)
    nodes = tuple(node for node in nodes if not set(node.outputs) <= constants.keys())
    check_order(nodes, {*constants, *(value.name for value in model.graph.input)})
    inputs = tuple(value.name for value in model.graph.input if value.name not in constants)
    leaving = [value.name for value in model.graph.output]
    shapes, dtypes = checked_types(inputs, nodes, known, constants, leaving)
    for name in leaving:
        if name not in shapes:
            raise ModelError(f"output {name!r}: found no node that computes it, expected one")
    return ForeignGraph(
        name=model.graph.name or name,
        inputs=inputs,
        outputs=tuple(value.name for value in model.graph.output),
        nodes=nodes,
        shapes=shapes,
        dtypes=dtypes,
        constants=constants,
        proto=proto,
    )


def check_order(nodes, known):
    """Raises ModelError for a node that reads what no node before it computes; known: names of inputs and constants."""
    for node in nodes:
        missing = [name for name in node.inputs if name and name not in known]
        if missing:
            node.fail(f"input {missing[0]!r}, which no node before it computes", "nodes in topological order")
        known.update(node.outputs)


def without_weights(proto, constants):
    """A copy of the model in which initializers of more than MOST_STATED elements are inputs, known by their shape."""
    model = onnx.ModelProto()
    for field, value in proto.ListFields():
        if field.name != "graph":
            merge(model, field, value)
    for field, value in proto.graph.ListFields():
        if field.name != "initializer":
            merge(model.graph, field, value)
    model.graph.initializer.extend(
        tensor for tensor in proto.graph.initializer if constants[tensor.name].size <= MOST_STATED
    )
    add_large(model.graph, constants)
    return model


def merge(message, field, value):
    """Adds a field's value to a protobuf message."""
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.type == field.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def add_large(graph, constants):
    """Adds an input of the shape of each large constant that the graph does not have among its inputs."""
    present = {value.name for value in graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in constants.items()
        if array.size > MOST_STATED and name not in present
    )


def check_attributes(model):
    """Raises ModelError for an attribute that has no value or another type than its op's schema states.

    ONNX shape inference looks at neither. Ops that ONNX does not define are checked as their proxy, else not at all.
    A version of an opset that is no positive int32 is refused too: there is no schema of it.
    """
    for entry in model.opset_import:
        if not 0 < entry.version < 1 << 31:
            raise ModelError(f"opset of domain {entry.domain!r}: found version {entry.version}, expected 1 to 2^31 - 1")
    opsets = {"" if entry.domain in ONNX_DOMAINS else entry.domain: entry.version for entry in model.opset_import}
    for raw in model.graph.node:
        node = proxy(raw)
        domain = "" if node.domain in ONNX_DOMAINS else node.domain
        stated = stated_attributes(node, opsets.get(domain, 0), domain)
        for attribute in raw.attribute:
            found = onnx.AttributeProto.AttributeType.Name(attribute.type)
            expected = stated[attribute.name].type.name if attribute.name in stated else "a value"
            if attribute.ref_attr_name:
                found = f"a reference to {attribute.ref_attr_name!r}"
            elif found != "UNDEFINED" and expected in (found, "a value"):
                continue
            where = f"node {name_of(raw)!r} ({raw.op_type})"
            raise ModelError(f"{where}: found {found} in attribute {attribute.name!r}, expected {expected}")


def stated_attributes(node, version, domain):
    """{name: attribute} of an op's schema, empty for one that ONNX does not define; raises ModelError where it came
    with a later opset than the model's."""
    if not onnx.defs.has(node.op_type, domain=domain):
        return {}
    try:
        return onnx.defs.get_schema(node.op_type, version, domain).attributes
    except onnx.defs.SchemaError:
        since = onnx.defs.get_schema(node.op_type, domain=domain).since_version
        where = f"node {name_of(node)!r} ({node.op_type})"
        raise ModelError(f"{where}: found opset {version}, expected one that has it (it is of {since})") from None


def set_batch(graph, constants, batch=1):
    """Makes every input's batch axis `batch`; raises ModelError for another size that is open."""
    for value in graph.input:
        if value.name in constants:
            continue
        kind = value.type.tensor_type
        where = f"input {value.name!r}"
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise ModelError(f"{where}: found no tensor with a shape, expected one")
        if kind.elem_type == TensorProto.UNDEFINED:
            raise ModelError(f"{where}: found no element type, expected one of ONNX's")
        sizes = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in kind.shape.dim]
        if sizes and (not isinstance(sizes[0], int) or sizes[0] > 0):
            kind.shape.dim[0].dim_value = batch
        if not all(isinstance(size, int) and size > 0 for size in sizes[1:]):
            raise ModelError(f"{where}: found shape {sizes}, expected sizes above 0 after the batch axis")


def plain_node(raw):
    """The ForeignNode of a NodeProto; raises ModelError for one without output."""
    domain = "" if raw.domain in ONNX_DOMAINS else raw.domain
    node = ForeignNode(raw.op_type, domain, name_of(raw), tuple(raw.input), tuple(raw.output), attributes_of(raw), raw)
    if not node.outputs or not node.outputs[0]:
        node.fail("no first output", "one")
    return node


def inferred(model, constants):
    """{tensor name: its TypeProto.Tensor} by ONNX shape inference, with what was folded so far as constants.

    Ops of onnxruntime's own domain and the adder ops, which ONNX cannot infer, stand as standard ops of the same shape.
    """
    shadow = onnx.ModelProto()
    shadow.CopyFrom(model)
    del shadow.graph.node[:]
    shadow.graph.node.extend(
        made for node in model.graph.node if not set(node.output) <= constants.keys() for made in proxies(node)
    )
    stated = {entry.domain for entry in shadow.opset_import}
    for domain in sorted({node.domain for node in shadow.graph.node} - stated - set(ONNX_DOMAINS)):
        shadow.opset_import.add(domain=domain, version=1)
    present = {tensor.name for tensor in shadow.graph.initializer}
    shadow.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in constants.items()
        if name not in present and array.size <= MOST_STATED
    )
    add_large(shadow.graph, constants)
    try:
        result = onnx.shape_inference.infer_shapes(shadow, data_prop=True)
    except Exception as error:  # besides InferenceError what its C++ raises: bad sizes, no memory
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"model: found shapes that do not fit ({reason}), expected a valid model") from None
    values = (*result.graph.input, *result.graph.value_info, *result.graph.output)
    return {value.name: value.type.tensor_type for value in values}


def checked_types(inputs, nodes, known, constants, leaving):
    """({name: sizes}, {name: dtype}) of inputs and every tensor of the nodes; raises ModelError for an unknown one.

    A further output that nothing reads may stay unknown. leaving: names of the network's outputs.
    """
    shapes = {name: array.shape for name, array in constants.items()}
    dtypes = {name: array.dtype for name, array in constants.items()}
    needed = {name for node in nodes for name in (*node.inputs, *node.outputs[:1])} | {*leaving}
    reading = [(node.fail, name) for node in nodes for name in (*node.inputs, *node.outputs) if name]
    for fail, name in [*((fail_input(name), name) for name in inputs), *reading]:
        if name in shapes:
            continue
        kind = known.get(name)
        sizes = sizes_of(kind, None)
        if sizes is None and name not in needed and name not in inputs:
            continue
        if sizes is None:
            fail(f"no shape for {name!r}", "sizes that ONNX shape inference finds (is the op a standard one?)")
        shapes[name] = sizes
        if kind.elem_type not in TensorProto.DataType.values():
            fail(f"element type {kind.elem_type} of {name!r}", "one of ONNX's")
        if kind.elem_type != TensorProto.UNDEFINED:
            dtypes[name] = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return shapes, dtypes


def fail_input(name):
    """What raises the ModelError of an input."""

    def fail(found, expected):
        raise ModelError(f"input {name!r}: found {found}, expected {expected}")

    return fail
