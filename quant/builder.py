"""Collects the nodes, parameters and formats of the integer graph, with exact bounds as they come."""

from dataclasses import replace

import numpy as np

from adderhw.graph import Graph, checked_input, parameter_tensor, with_defaults
from adderhw.ops import BY_NAME
from adderhw.ops.base import Node, sum_type_code
from adderhw.tensor import Tensor


class Builder:
    """An integer graph in the making; `tensors` has the Tensor of everything emitted so far."""

    def __init__(self, name, inputs, reserved):
        self.name, self.inputs = name, tuple(checked_input(tensor) for tensor in inputs)
        self.nodes, self.parameters, self.formats = [], {}, {}
        self.tensors: dict[str, Tensor] = {tensor.name: tensor for tensor in self.inputs}
        self.taken, self.node_names = set(reserved), set()

    def unique(self, name):
        """`name` for a new tensor, with a number where another has it already."""
        return unused(name, self.taken)

    def parameter(self, name, array, format=None):
        """Adds a parameter and returns its name; an equal one of that name is used again."""
        known = self.parameters.get(name)
        if known is not None and known.dtype == array.dtype and np.array_equal(known, array):
            return name
        name = self.unique(name)
        self.parameters[name] = array
        self._state(parameter_tensor(name, array), format)
        return name

    def emit(self, op, name, inputs, output, attributes=None, format=None):
        """Adds a node and returns its output's name; raises ModelError, as the op does."""
        node = with_defaults(Node(op, unused(name, self.node_names), tuple(inputs), output, attributes or {}))
        self._state(BY_NAME[op].infer(node, self.args(node)), format)
        self.nodes.append(node)
        return output

    def emit_sum(self, op, name, inputs, output, attributes):
        """Adds a node whose sum is int32, or int64 where its exact bound needs that; returns its output's name."""
        code = self.sum_code(op, name, inputs, attributes)
        return self.emit(op, name, inputs, output, {**attributes, "output_dtype": code})

    def sum_code(self, op, name, inputs, attributes):
        """The output_dtype that a summing node needs: INT32, or INT64 where its exact bound does not fit that."""
        attributes = {**attributes, "output_dtype": sum_type_code(0, 1 << 40)}
        wide = with_defaults(Node(op, name, tuple(inputs), f"{name}:bound", attributes))
        bound = BY_NAME[op].infer(wide, self.args(wide))
        return sum_type_code(bound.lowest, bound.highest)

    def graph(self, outputs, metadata):
        """The checked Graph."""
        return Graph(self.name, self.inputs, outputs, self.nodes, self.parameters, self.formats, metadata)

    def args(self, node):
        """The input Tensors of `node`, None for each input left out."""
        padded = (*node.inputs, *[""] * (len(BY_NAME[node.op].inputs) - len(node.inputs)))
        return tuple(self.tensors[name] if name else None for name in padded)

    def _state(self, tensor, format):
        if format is not None:
            self.formats[tensor.name] = format
            tensor = replace(tensor, format=format)
        self.tensors[tensor.name] = tensor


def unused(name, taken):
    """`name`, with a number where it is in `taken`, to which it is added."""
    found, at = name, 2
    while found in taken:
        found, at = f"{name}_{at}", at + 1
    taken.add(found)
    return found
