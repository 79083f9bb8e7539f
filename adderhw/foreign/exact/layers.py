"""Convolutions and products with constant weights.

A layer of taps is an exact int32 sum, an int32 bias, one float32 product with x_scale · w_scale / y_scale (evaluated in
that order in float32), rounded half to even, offset and clipped: what onnxruntime computes for QLinearConv,
QLinearMatMul and QGemm, and for DequantizeLinear → Conv or Gemm → QuantizeLinear, which it fuses into these.
"""

import numpy as np

from adderhw.foreign.exact.builder import UNSTATED, View
from adderhw.foreign.integers import held, linear_sums, window_sums


def conv(builder, node):
    """Sums that wait for their grid."""
    x, w = builder.moving_view(node, node.inputs[0]), builder.view(node, node.inputs[1])
    builder.pending[node.outputs[0]] = (_fused(x, _window(builder, node, x, w, _bias(builder, node, x, w))), False)


def gemm(builder, node):
    """Sums that wait for their grid."""
    x, w = builder.moving_view(node, node.inputs[0]), builder.view(node, node.inputs[1])
    builder.pending[node.outputs[0]] = (_fused(x, _linear(builder, node, x, w, _bias(builder, node, x, w))), False)


def matmul(builder, node):
    """Sums that wait for their grid."""
    x, w = builder.moving_view(node, node.inputs[0]), builder.view(node, node.inputs[1])
    builder.pending[node.outputs[0]] = (_fused(x, _linear(builder, node, x, w, None)), False)


def qlinear_conv(builder, node):
    """Codes of a convolution."""
    x, w, y = _operands(builder, node)
    builder.step(node.outputs[0], _window(builder, node, x, w, builder.optional(node, 8)).rescaled(y))


def qlinear_matmul(builder, node):
    """Codes of a product."""
    x, w, y = _operands(builder, node)
    builder.step(node.outputs[0], _linear(builder, node, x, w, None).rescaled(y))


def qgemm(builder, node):
    """Codes of a product with a bias; without an output scale it gives floats and is refused."""
    if len(node.inputs) < 9 or not node.inputs[7]:
        builder.refuse(node, UNSTATED)
    x, w, y = _operands(builder, node, output=7)
    builder.step(node.outputs[0], _linear(builder, node, x, w, builder.optional(node, 6)).rescaled(y))


def _fused(view, sums):
    """The Sums of a layer that reads the View, which onnxruntime fuses or not."""
    return sums._replace(fused=sums.fused and view.fused)


def _operands(builder, node, output=6):
    names = node.inputs
    x = View(names[0], builder.grid(node, 1))
    if names[0] in builder.constants:
        builder.refuse(node, f"reads {names[0]!r}, a constant, where an activation is expected")
    axis = 0 if node.op == "QLinearConv" or node.attributes.get("transB", 0) else 1  # of the outputs
    w = View(names[3], builder.grid(node, 4, dtype=builder.constant(node, names[3]).dtype, axis=axis))
    y = builder.grid(node, output)
    y.single(builder.refusal(node))
    return x, w, y


def _window(builder, node, x, w, bias):
    builder.check_pads(node)
    return window_sums(
        node, x.name, x.grid, held(builder.constant(node, w.name)), w.grid, bias, builder.shapes[x.name],
        builder.threads, builder.refusal(node),
    )  # fmt: skip


def _linear(builder, node, x, w, bias):
    weight = held(builder.constant(node, w.name))
    if not node.attributes.get("transB", 0):
        weight = weight.T
    return linear_sums(
        node, x.name, x.grid, weight, w.grid, bias, builder.shapes[x.name], builder.threads, builder.refusal(node),
        output_axis=0 if node.attributes.get("transB", 0) else 1,
    )  # fmt: skip


def _bias(builder, node, x, w):
    """int32 (O,) of a bias whose scale is the product of both scales, as onnxruntime's quantiser writes it."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    if not name:
        return None
    if name not in builder.views:
        builder.refuse(node, f"has a bias {name!r} of floats, which is not determined")
    view = builder.views[name]
    product = np.float32(x.grid.scale) * w.grid.scale
    if view.grid.dtype != np.int32:
        builder.refuse(node, f"has a bias {name!r} of {view.grid.dtype}, not of int32")
    if view.grid.scale.size not in (1, product.size, np.size(builder.constant(node, view.name))):
        builder.refuse(node, f"has a bias {name!r} with {view.grid.scale.size} scales")
    if product.size not in (1, np.size(builder.constant(node, view.name))):
        builder.refuse(node, f"has a bias {name!r} that does not fit its weights")
    if view.grid.zero_point != 0 or not np.allclose(view.grid.scale, product, rtol=1e-6, atol=0):
        builder.refuse(node, f"has a bias {name!r} on another scale than its sums")
    return builder.constant(node, view.name)
