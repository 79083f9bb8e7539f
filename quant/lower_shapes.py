"""Flatten and Reshape, which keep channels and grid as they are."""

import numpy as np

from quant.fold import Quantised


def lower_reshape(state, node):
    """Flatten and Reshape: a Pending stays one where its channels survive, else it goes on its grid first."""
    name = node.inputs[0]
    extra = ()
    if node.op == "Reshape":
        extra = (state.builder.parameter(f"{node.name}_shape", reshape_sizes(state, node)),)
    keeps_channels = state.shape(name)[1:] == (1, 1) and len(state.shape(node.output)) == 1
    value = state.values[name] if keeps_channels else state.quantised(name)
    flatten(state, node, value, node.op, extra)


def reshape_sizes(state, node):
    """The int64 shape of a Reshape, its batch written as 0: the input's own; raises ModelError where it is no batch."""
    sizes = state.weight(node, "shape").astype(np.int64)
    if sizes.ndim != 1 or not len(sizes) or sizes[0] not in (-1, 0, 1) or (node.attributes["allowzero"] and 0 in sizes):
        node.fail(f"shape {sizes.tolist()}, allowzero {node.attributes['allowzero']}", "one that keeps the batch axis")
    return np.array([0, *sizes[1:]], np.int64)


def flatten(state, node, value, op, extra=()):
    """Emits the Flatten or Reshape of a value; channels and grid stay as they are."""
    suffix, grid = ("q", value.format) if isinstance(value, Quantised) else ("flat", None)
    output = state.builder.unique(f"{node.output}_{suffix}")
    name = node.name if op == node.op else f"{node.name}_flatten"
    state.builder.emit(op, name, (value.name, *extra), output, format=grid)
    state.values[node.output] = type(value)(**{**vars(value), "name": output})
