"""Sums of two quantised tensors."""

from adderhw.foreign.exact.builder import View
from adderhw.foreign.integers import Sums


def add(builder, node):
    """A sum that waits for its grid."""
    a, b = (builder.view(node, name) for name in node.inputs)
    builder.pending[node.outputs[0]] = (Sums.added(a, b, builder.refusal(node)), False)


def qlinear_add(builder, node):
    """A sum of codes, as codes."""
    names = node.inputs
    a, b = (View(names[i], builder.grid(node, i + 1)) for i in (0, 3))
    builder.step(node.outputs[0], Sums.added(a, b, builder.refusal(node)).rescaled(builder.grid(node, 6)))
