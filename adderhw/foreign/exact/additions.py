"""Sums of two quantised tensors, of which one may be constant."""

import numpy as np

from adderhw.foreign.exact.builder import View
from adderhw.foreign.integers import Sums


def add(builder, node):
    """A sum that waits for its grid."""
    views = [builder.view(node, name) for name in node.inputs]
    builder.pending[node.outputs[0]] = (_sum(builder, node, *views), False)


def qlinear_add(builder, node):
    """A sum of codes, as codes."""
    names = node.inputs
    views = [View(names[i], builder.grid(node, i + 1)) for i in (0, 3)]
    builder.step(node.outputs[0], _sum(builder, node, *views).rescaled(builder.grid(node, 6)))


def _sum(builder, node, a, b):
    if all(view.name in builder.constants for view in (a, b)):
        builder.refuse(node, "adds two constants, which is not simulated here")
    rank = len(builder.shapes[node.outputs[0]])
    for view in (a, b):
        shape = np.shape(builder.constants[view.name]) if view.name in builder.constants else builder.shapes[view.name]
        constant = view.name in builder.constants
        fits = len(shape) < rank or (len(shape) == rank and shape[0] == 1) if constant else len(shape) == rank
        if not fits:
            what = "a constant" if constant else "an activation"
            builder.refuse(node, f"adds {what} of shape {list(shape)}, whose first axis is not the batch of the sum")
    return Sums.added(a.grid, b.grid, *(builder.codes_of(view.name) for view in (a, b)), builder.refusal(node))
