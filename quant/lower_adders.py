"""Adder layers: −Σ|x − w| on one grid of the input and the weight, whole or by groups of filters."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from quant.float_graph import FloatNode
from quant.fold import Quantised
from quant.grids import activation_grid, adder_weight, grid_range
from quant.lower_products import check_rank, convolution_attributes, zero_point


def lower_adder_conv(state, node):
    """−Σ |x − w|: AdderConvInteger on x's grid, real = −(s·S + K)."""
    weight = state.weight(node)
    lower_differences(state, node, "AdderConvInteger", weight, convolution_attributes(node, weight))


def lower_adder_gemm(state, node):
    """−Σ |x − w| of a fully connected layer: AdderGemmInteger on x's grid."""
    weight = state.weight(node)
    check_rank(node, weight, 2)
    weight = weight if node.attributes["transB"] else weight.T
    lower_differences(state, node, "AdderGemmInteger", weight, {})


def lower_differences(state, node, op, weight, attributes):
    """An adder layer with weight float64 (O, …): one node, or one for each group of filters."""
    if node.output in state.choices.groups:
        lower_groups(state, node, op, weight, attributes)
        return
    x = state.quantised(node.inputs[0])
    inputs, constant = adder_operands(state, node, op, weight, x)
    total = state.sum(op, node, inputs, attributes)
    state.set_pending(node, total, -x.format.scale, -constant)
    state.note(node, x, total, x.format, share_clipped(weight, x.format))


def adder_operands(state, node, op, weight, x):
    """(names of the operands, K) of an adder layer on the Quantised x, with its weight on the same grid."""
    w, constant = adder_weight(weight, x.format)
    inputs = [x.name, state.builder.parameter(f"{node.name}_weight_q", w, x.format)]
    if op == "AdderConvInteger":
        inputs.append(zero_point(state, node, "x", x.format))
    return inputs, constant


def share_clipped(weight, grid):
    """The share of an adder layer's weights outside the grid."""
    low, high = grid_range(grid)
    return float(((weight < low) | (weight > high)).mean())


class GroupLayer(NamedTuple):
    """A group's own adder layer: the FloatNode with its name and output, its operands, weight, K and attributes."""

    node: FloatNode
    x: Quantised
    inputs: list[str]
    weight: np.ndarray
    constant: np.ndarray
    attributes: Mapping


def lower_groups(state, node, op, weight, attributes):
    """An adder layer, a node for each group of filters on a grid of its own; the sums come back in their order."""
    groups, builder = state.choices.groups[node.output], state.builder
    layers = [group_layer(state, node, op, weight, attributes, *each) for each in enumerate(groups, 1)]
    # Concat takes one dtype, so all sums are int64 where one of them needs that.
    code = max(builder.sum_code(op, layer.node.name, layer.inputs, layer.attributes) for layer in layers)
    sums = []
    for layer in layers:
        output, kinds = builder.unique(f"{layer.node.output}_sum"), {**layer.attributes, "output_dtype": code}
        sums.append(builder.emit(op, layer.node.name, layer.inputs, output, kinds))
        state.note(layer.node, layer.x, output, layer.x.format, share_clipped(layer.weight, layer.x.format))
    order = np.argsort(np.concatenate([group.filters for group in groups]))
    a = np.concatenate([np.full(len(layer.weight), -layer.x.format.scale) for layer in layers])[order]
    b = np.concatenate([-layer.constant for layer in layers])[order]
    state.set_pending(node, in_order(state, node, sums, order), a, b)


def group_layer(state, node, op, weight, attributes, number, group):
    """The GroupLayer of a FilterGroup."""
    channels, geometry = group_geometry(weight, attributes, group.filters)
    grid = activation_grid(*group.range, state.grid_bits(node.inputs[0]))
    x, weight = state.on_grid(node.inputs[0], grid, channels), weight[group.filters]
    node = node._replace(name=f"{node.name}_group{number}", output=f"{node.output}_group{number}")
    inputs, constant = adder_operands(state, node, op, weight, x)
    return GroupLayer(node, x, inputs, weight, constant, geometry)


def group_geometry(weight, attributes, filters):
    """(channels, attributes) of some of a layer's filters: what of the input they read, None for all, and how.

    Filters of a grouped convolution read the channels of their own convolution groups, which filter_groups keeps whole.
    """
    conv_groups = attributes.get("group", 1)
    if conv_groups == 1:
        return None, attributes
    kept = np.unique(filters // (len(weight) // conv_groups))
    channels = (kept[:, None] * weight.shape[1] + np.arange(weight.shape[1])).reshape(-1)
    return tuple(channels.tolist()), {**attributes, "group": len(kept)}


def in_order(state, node, sums, order):
    """The name of the sums side by side, then in the layer's own order; order: int64 (O,), where each one stands."""
    output = state.builder.unique(f"{node.output}_groups_sum")
    joined = state.builder.emit("Concat", f"{node.name}_concat", sums, output, {"axis": 1})
    if (order == np.arange(len(order))).all():
        return joined
    indices = state.builder.parameter(f"{node.name}_order", order)
    output = state.builder.unique(f"{node.output}_sum")
    return state.builder.emit("Gather", f"{node.name}_gather", (joined, indices), output, {"axis": 1})
