"""The frozen graph: inputs, topologically ordered nodes, parameters and formats; checked whole when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from adderhw.cost.events import LayerWork
from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.ops import BY_NAME
from adderhw.ops.base import REQUIRED, Node, RunOptions
from adderhw.stores import stored_widths
from adderhw.tensor import Tensor

KINDS = {"int": int, "float": float, "string": str}


@dataclass(frozen=True)
class Graph:
    """An integer network. Raises ModelError, naming the node or tensor, unless everything fits.

    inputs: the activations that enter, shape (None, …) in ONNX layout. outputs: tensor names.
    nodes: in topological order. parameters: read-only arrays by name. formats: stated Format by tensor
    name (others follow from the ops). metadata: strings that travel with the model.
    `tensors` maps every name to its Tensor with exact integer bounds.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    parameters: Mapping[str, np.ndarray]
    formats: Mapping[str, Format] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        frozen = {name: read_only(array) for name, array in self.parameters.items()}
        for key, value in (
            ("inputs", tuple(checked_input(tensor) for tensor in self.inputs)),
            ("outputs", tuple(self.outputs)),
            ("nodes", tuple(with_defaults(node) for node in self.nodes)),
            ("parameters", MappingProxyType(frozen)),
            ("formats", MappingProxyType(dict(self.formats))),
            ("metadata", MappingProxyType(dict(self.metadata))),
        ):
            object.__setattr__(self, key, value)
        object.__setattr__(self, "tensors", MappingProxyType(self._infer()))

    def _infer(self):
        if not self.inputs or not self.outputs:
            raise ModelError(
                f"graph {self.name!r}: found {len(self.inputs)} inputs and {len(self.outputs)} outputs, "
                "expected at least one of each"
            )
        tensors = {}
        for name, array in self.parameters.items():
            tensors[name] = self._stated(parameter_tensor(name, array))
        for tensor in self.inputs:
            add_tensor(tensors, self._stated(tensor))
        named = set()
        for node in self.nodes:
            if node.name in named:
                node.fail("another node of that name before it", "a name of its own")
            named.add(node.name)
            args = self._args(node, tensors)
            add_tensor(tensors, self._stated(BY_NAME[node.op].infer(node, args)))
        for name in self.outputs:
            if name not in tensors:
                raise ModelError(f"output {name!r}: found no node that computes it, expected one")
            if tensors[name].value is not None:
                raise ModelError(f"output {name!r}: found a constant, expected what a node computes")
        return tensors

    def _stated(self, tensor):
        """The tensor with the format that the model states for it, checked against its exact bounds."""
        stated = self.formats.get(tensor.name)
        if stated is None:
            return tensor
        where = f"tensor {tensor.name!r}"
        if tensor.is_float:
            raise ModelError(
                f"{where}: found an integer format {stated.name}, expected none on a {tensor.dtype} tensor"
            )
        if tensor.lowest < stated.min or tensor.highest > stated.max:
            raise ModelError(
                f"{where}: found integers from {tensor.lowest} to {tensor.highest}, "
                f"expected its format {stated.name} to hold them"
            )
        return replace(tensor, format=stated)

    def _args(self, node, tensors):
        op = BY_NAME[node.op]
        for name in node.inputs:
            if name and name not in tensors:
                node.fail(f"input {name!r} that nothing before it computes", "nodes in topological order")
        least, most = len(op.inputs) - op.optional, len(op.inputs)
        needed = node.inputs if op.variadic else node.inputs[:least]
        if len(node.inputs) < least or (len(node.inputs) > most and not op.variadic) or "" in needed:
            expected = f"at least {least}" if op.variadic else f"{least} to {most} ({', '.join(op.inputs)})"
            node.fail(f"{len(node.inputs)} inputs", expected)
        for name in node.inputs[: op.activations]:
            if tensors[name].value is not None:
                node.fail(f"a constant input {name!r}", "an activation")
        padded = (*node.inputs, *[""] * (len(op.inputs) - len(node.inputs)))
        return tuple(tensors[name] if name else None for name in padded)

    def args(self, node):
        """The input Tensors of `node`, None for each input left out."""
        return self._args(node, self.tensors)

    def work(self, options=None):
        """A LayerWork per node, per image, in order; `options` may fix the accumulators' width."""
        options = options or RunOptions(path="")
        stored = stored_widths(self)
        return tuple(self._work(node, options, stored.get(node.name, {})) for node in self.nodes)

    def _work(self, node, options, stored) -> LayerWork:
        out = self.tensors[node.output]
        work = BY_NAME[node.op].work(node, self.args(node), out, options)
        return replace(work, **stored)

    @cached_property
    def consumers(self):
        """Tensor name → the nodes that read it, in order."""
        readers = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers

    @property
    def parameter_count(self):
        """How many numbers the weights of adder, convolution and linear layers hold."""
        weights = {node.inputs[1] for node in self.nodes if BY_NAME[node.op].sums}
        return sum(self.parameters[name].size for name in weights)


def read_only(array):
    """A read-only, contiguous copy-if-needed of a parameter."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    if array.flags.writeable:
        array = array.copy()
        array.setflags(write=False)
    return array


def parameter_tensor(name, array):
    """The Tensor of a parameter: integers get the full width of their dtype, until the model states another."""
    if array.size == 0:
        raise ModelError(f"tensor {name!r}: found shape {list(array.shape)}, expected no dimension of size 0")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ModelError(f"tensor {name!r}: found NaN or infinity, expected finite numbers")
        return Tensor(name, array.shape, array.dtype, value=array)
    if array.dtype.kind not in "iu":
        raise ModelError(f"tensor {name!r}: found dtype {array.dtype}, expected integers or floats")
    full = Format(8 * array.dtype.itemsize, array.dtype.kind == "i")
    low, high = np.asarray(array.min()).astype(np.int64), np.asarray(array.max()).astype(np.int64)
    return Tensor(name, array.shape, array.dtype, full, low, high, array)


def checked_input(tensor):
    """The input Tensor, checked to be a batch of float32 or of integers with sizes known beyond the batch."""
    where = f"input {tensor.name!r}"
    rest = tensor.shape[1:]
    if len(tensor.shape) not in (2, 4) or not all(isinstance(size, int) and size > 0 for size in rest):
        raise ModelError(
            f"{where}: found shape {list(tensor.shape)}, expected (N, C, H, W) or (N, K) with sizes above 0"
        )
    if tensor.dtype != np.float32 and tensor.dtype not in (np.uint8, np.int8, np.uint16, np.int16):
        raise ModelError(f"{where}: found dtype {tensor.dtype}, expected float32, uint8, int8, uint16 or int16")
    return replace(tensor, shape=(None, *rest), planar=tensor.is_float and len(rest) == 3)


def add_tensor(tensors, tensor):
    """Adds `tensor`; raises ModelError where its name is taken."""
    if tensor.name in tensors:
        raise ModelError(f"tensor {tensor.name!r}: found it defined twice, expected one definition")
    tensors[tensor.name] = tensor


def with_defaults(node):
    """The node with every attribute of its op's contract; raises ModelError for an unknown op or attribute."""
    op = BY_NAME.get(node.op)
    if op is None:
        raise ModelError(f"node {node.name!r}: found op {node.op!r}, expected one of {', '.join(BY_NAME)}")
    for key in node.attributes:
        if key not in op.attributes:
            node.fail(f"attribute {key!r}", f"only {', '.join(op.attributes) or 'none'}")
    values = {}
    for key, (kind, default) in op.attributes.items():
        value = node.attributes.get(key, default)
        if value is REQUIRED:
            node.fail(f"no attribute {key!r}", f"{key} ({kind})")
        values[key] = attribute_value(node, key, kind, value)
    return Node(node.op, node.name, node.inputs, node.output, values)


def attribute_value(node, key, kind, value):
    """The attribute as int, float, str or a tuple of ints; raises ModelError for another type."""
    if kind == "ints":
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, int) for v in value):
            node.fail(f"attribute {key} {value!r}", "a list of integers")
        return tuple(value)
    if not isinstance(value, KINDS[kind]) or isinstance(value, bool):
        node.fail(f"attribute {key} {value!r}", f"one {kind}")
    return value
