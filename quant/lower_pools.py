"""Pools: the largest of each window on the grid of the input, or its sum."""

import numpy as np

from quant import counterparts
from quant.fold import Quantised
from quant.lower_shapes import flatten


def lower_max_pool(state, node):
    """MaxPoolInteger on the input's own grid."""
    x = state.quantised(node.inputs[0])
    attributes = {key: node.attributes[key] for key in ("kernel_shape", "strides", "pads")}
    output = state.builder.unique(f"{node.output}_q")
    state.builder.emit("MaxPoolInteger", node.name, (x.name,), output, attributes, x.format)
    state.counterparts[output] = counterparts.stated(node.output)
    state.values[node.output] = Quantised(output, x.format)


def lower_average_pool(state, node):
    """SumPool; the division by the window's area folds into a."""
    sum_pool(state, node, node.attributes["kernel_shape"], node.attributes["strides"])


def lower_global_average_pool(state, node):
    """SumPool over the whole image."""
    sum_pool(state, node, image_size(state, node), (1, 1))


def lower_reduce_mean(state, node):
    """The mean over height and width, as exporters write a global average pool."""
    axes = node.attributes["axes"]
    axes = state.constant(node, 1, "axes") if axes is None else axes
    size = image_size(state, node)
    if axes is None or sorted(int(axis) % 4 for axis in np.reshape(axes, -1)) != [2, 3]:
        node.fail(f"axes {axes}", "height and width, [2, 3]")
    sum_pool(state, node, size, (1, 1))
    if not node.attributes["keepdims"]:
        flatten(state, node, state.values[node.output], "Flatten")


def image_size(state, node):
    """(H, W) of the node's input; raises ModelError for another rank."""
    shape = state.shape(node.inputs[0])
    if len(shape) != 3:
        node.fail(f"an input of rank {len(shape) + 1}", "rank 4 (N, C, H, W)")
    return shape[1:]


def sum_pool(state, node, kernel, strides):
    """SumPool of the quantised input: mean = s·(S/area − z)."""
    x = state.quantised(node.inputs[0])
    total = state.sum("SumPool", node, (x.name,), {"kernel_shape": tuple(kernel), "strides": tuple(strides)})
    state.set_pending(node, total, x.format.scale / np.prod(kernel), -x.format.scale * x.format.zero_point)
