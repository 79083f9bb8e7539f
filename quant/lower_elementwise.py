"""Batch norms, clips and sums: folded into the sum before them, or the addition of two branches."""

import numpy as np

from quant.fold import batch_norm, clipped, scaled
from quant.grids import guard_grid


def lower_batch_norm(state, node):
    """Folds into a, b exactly."""
    names = ("scale", "B", "mean", "var")
    gamma, beta, mean, variance = (state.constant(node, at + 1, name) for at, name in enumerate(names))
    value = state.affine(node.inputs[0])
    state.values[node.output] = batch_norm(value, gamma, beta, mean, variance, node.attributes["epsilon"])


def lower_relu(state, node):
    """A clip at 0."""
    state.values[node.output] = clipped(state.affine_or_pending(node.inputs[0]), 0.0, np.inf)


def lower_clip(state, node):
    """A clip at constant bounds."""
    low, high = (state.constant(node, at, what) for at, what in ((1, "min"), (2, "max")))
    low, high = -np.inf if low is None else float(low), np.inf if high is None else float(high)
    state.values[node.output] = clipped(state.affine_or_pending(node.inputs[0]), low, high)


def lower_add(state, node):
    """A bias into b, or the sum of two branches on one grid with guard bits."""
    constants = [name in state.graph.constants for name in node.inputs]
    if any(constants):
        add_constant(state, node, constants.index(True))
    else:
        add_branches(state, node)


def add_constant(state, node, at):
    """Adds the constant input `at` to every channel of the other one."""
    name = node.inputs[1 - at]
    if node.inputs[1 - at] in state.graph.constants:
        node.fail("two constants", "at least one activation")
    value = state.affine(name)
    rank = len(state.shape(name)) + 1
    offset = channel_values(node, state.constant(node, at, "operand"), len(value.a), rank)
    state.values[node.output] = scaled(value, 1.0, offset)


def channel_values(node, constant, channels, rank):
    """A constant that broadcasts along the channels (axis 1 of `rank`) as float64 (C,); raises ModelError otherwise."""
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if (
        len(shape) != rank
        or any(size != 1 for at, size in enumerate(shape) if at != 1)
        or shape[1] not in (1, channels)
    ):
        node.fail(f"a constant of shape {list(constant.shape)}", f"one value, or one for each of {channels} channels")
    return np.broadcast_to(constant.reshape(-1), (channels,))


def add_branches(state, node):
    """Both branches on a grid of 2^guard_bits steps per step of the output's grid, then one integer Add."""
    left, right = node.inputs
    if state.shape(left) != state.shape(right):
        node.fail(f"shapes {list(state.shape(left))} and {list(state.shape(right))}", "one shape")
    scale = state.grid(settled(state, node.output)).scale / (1 << state.settings.guard_bits)
    operands = [guarded(state, name, scale) for name in (left, right)]
    output = state.builder.unique(f"{node.output}_sum")
    state.builder.emit("Add", node.name, operands, output)
    state.set_pending(node, output, scale, 0.0)


def settled(state, name):
    """The tensor that `name` is once the ReLUs that alone read it are done: the one that its sum is requantised to."""
    readers = state.consumers.get(name, ())
    if len(readers) == 1 and readers[0].op in ("Relu", "Clip") and name not in state.graph.outputs:
        return settled(state, readers[0].output)
    return name


def guarded(state, name, scale):
    """The branch `name` of a residual sum on the step `scale`, in the narrowest width that holds all it took.

    Where layers read it too it comes from their grid, or, with wide_residuals, from the sum that it was before.
    """
    if (name, scale) not in state.guards:
        if state.is_quantised(name):
            state.quantised(name)
        seen = state.observed[name]
        grid = guard_grid(seen.low, seen.high, scale)
        whole = state.sums.get(name) if state.settings.wide_residuals else None
        value = whole or state.affine_or_pending(name)
        node = f"{state.producers.get(name, name)}_guard"
        steps = 1 << state.settings.guard_bits
        state.guards[name, scale] = state.requantise(name, value, grid, node, f"{name}_guard", np.int32, steps)
    return state.guards[name, scale]
