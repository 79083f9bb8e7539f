"""Layers that multiply: convolutions and matrix products with weights symmetric per output channel."""

import numpy as np

from adderhw.fixed import Format
from quant.grids import whole
from quant.lower_elementwise import channel_values

GEOMETRY = ("strides", "pads", "dilations", "group")


def lower_conv(state, node):
    """Σ w·x: ConvInteger with symmetric weights per output channel; bias into b."""
    weight, bias = state.weight(node), state.constant(node, 2, "bias")
    attributes = convolution_attributes(node, weight)
    lower_products(state, node, "ConvInteger", weight, 0.0 if bias is None else bias, attributes)


def lower_gemm(state, node):
    """α·x·Wᵀ + β·bias: MatMulInteger."""
    weight, bias = state.weight(node), state.constant(node, 2, "bias")
    check_rank(node, weight, 2)
    weight = weight if node.attributes["transB"] else weight.T
    bias = 0.0 if bias is None else node.attributes["beta"] * channel_values(node, bias, len(weight), 2)
    lower_products(state, node, "MatMulInteger", node.attributes["alpha"] * weight, bias, {})


def lower_matmul(state, node):
    """x·W: MatMulInteger."""
    weight = state.weight(node)
    check_rank(node, weight, 2)
    lower_products(state, node, "MatMulInteger", weight.T, 0.0, {})


def lower_products(state, node, op, weight, bias, attributes):
    """A multiplying layer with weight float64 (O, …): real = s_x·s_w[o]·S + bias[o]."""
    x = state.quantised(node.inputs[0])
    bits = state.settings.edge_bits if node.name in state.edges else state.settings.bits
    w, scale = state.product_weight(node, weight, bits)
    stored = w if op == "ConvInteger" else np.ascontiguousarray(w.T)
    inputs = (
        x.name,
        state.builder.parameter(f"{node.name}_weight_q", stored, Format(bits, True)),
        zero_point(state, node, "x", x.format),
        zero_point(state, node, "w", Format(bits, True)),
    )
    attributes = {**attributes, "realisation": state.settings.weight_realisation}
    total = state.sum(op, node, inputs, attributes)
    state.set_pending(node, total, x.format.scale * scale, bias)
    state.note(node, x, total, Format(bits, True))


def convolution_attributes(node, weight):
    """The attributes of the integer convolution."""
    if weight.ndim != 4:
        node.fail(f"weight of shape {list(weight.shape)}", "rank 4 (O, C/group, kh, kw)")
    kernel = node.attributes["kernel_shape"] or weight.shape[2:]
    return {"kernel_shape": tuple(kernel), **{key: node.attributes[key] for key in GEOMETRY}}


def check_rank(node, weight, rank):
    """Raises ModelError for a weight of another rank."""
    if weight.ndim != rank:
        node.fail(f"weight of shape {list(weight.shape)}", f"rank {rank}")


def zero_point(state, node, operand, grid):
    """The name of the scalar zero point of an operand, in its storage type."""
    value = np.array(grid.zero_point, grid.dtype)
    return state.builder.parameter(f"{node.name}_{operand}_zero_point", value, whole(grid))
