"""Ops that leave codes as they are: in another place or shape, or one chosen among several."""

import numpy as np

from adderhw.foreign.exact.builder import UNSTATED, View
from adderhw.foreign.integers import Sums


def max_pool(builder, node):
    """The largest code of each 2-D window."""
    if len(node.attributes["kernel_shape"]) != 2:
        builder.refuse(node, "is no 2-D window")
    _moving(builder, node, lambda array: Sums.pooled(node, array))


def reshape(builder, node):
    """The same codes in another shape."""
    shape = builder.graph.shapes[node.outputs[0]][1:]
    _moving(builder, node, lambda array: array.reshape(len(array), *shape))


def _moving(builder, node, change):
    """The same codes elsewhere: of a quantised tensor, or of a float one that stands for it."""
    source, output = node.inputs[0], node.outputs[0]
    if source in builder.views:
        view = builder.views[source]
        inner, made = view.name, f"{output} (codes)"
        builder.step(made, lambda tensors: change(tensors[inner]))
        builder.views[output] = View(made, view.grid)
        builder.graph.shapes[made] = builder.graph.shapes[output]
    elif source in builder.known and builder.graph.dtypes.get(source, np.dtype(np.float32)).kind in "iu":
        builder.step(output, lambda tensors: change(tensors[source]))
    else:
        builder.refuse(node, UNSTATED)
