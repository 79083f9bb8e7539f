"""Convolutions and matrix products: their taps, widths and geometry, whatever ONNX op states them."""

from math import prod
from typing import NamedTuple

import numpy as np

from adderhw.cost.baselines import ceil_log2
from adderhw.cost.operands import Operands
from adderhw.foreign.values import FLOAT, SUM, Value, arithmetic


class Taps(NamedTuple):
    """The multiply-accumulates of a node. operands: the geometry, None but for 2-D convolutions and linear layers."""

    count: int
    reduction: int
    input_bits: int
    weight_bits: int
    accumulator_bits: int
    floating: bool
    operands: Operands | None


def convolution(node, x, w, out_shape):
    """(Taps, Value of the sums) of a convolution of any rank."""
    reduction = prod(w.shape[1:])
    return _taps(reduction, x, w, out_shape, _geometry(node, x, w) if len(w.shape) in (3, 4) else None)


def transposed(x, w, out_shape):
    """(Taps, Value of the sums) of a transposed convolution; an output sums at most every tap of its group."""
    groups = x.shape[1] // w.shape[0] or 1
    taps, value = _taps(w.shape[0] // groups * prod(w.shape[2:]), x, w, out_shape, None)
    return taps._replace(count=prod(x.shape) * prod(w.shape[1:])), value


def product(x, w, out_shape, *, trans_a=False, trans_b=False):
    """(Taps, Value of the sums) of a matrix product; a constant 2-D matrix is a linear layer of each row."""
    reduction = x.shape[-2] if trans_a else x.shape[-1]
    linear = w.constant and len(w.shape) == 2
    outputs = w.shape[0] if trans_b else w.shape[-1]
    rows = prod(out_shape) // max(1, outputs)
    return _taps(
        reduction, x, w, out_shape, _operands((reduction, rows, 1), (outputs, reduction, 1, 1), x) if linear else None
    )


def _taps(reduction, x, w, out_shape, operands):
    floating = arithmetic((x, w)) == FLOAT
    if floating:
        bits = max(value.bits for value in (x, w) if value.kind == FLOAT)
        widths = (bits, bits, bits)
    else:
        widths = (x.bits, w.bits, x.bits + w.bits + ceil_log2(reduction))
    taps = Taps(prod(out_shape) * reduction, reduction, *widths, floating, operands)
    return taps, Value(out_shape, FLOAT if floating else SUM, widths[-1])


def _geometry(node, x, w):
    """The Operands of a 2-D convolution; a 1-D one is a row."""
    kernel, image = w.shape[2:], x.shape[2:]
    axes = len(kernel)
    strides, dilations = (tuple(node.attributes.get(key, (1,) * axes)) for key in ("strides", "dilations"))
    pads = stated_pads(node, kernel, image, strides, dilations)
    if axes == 1:
        kernel, image, strides, dilations = (1, *kernel), (1, *image), (1, *strides), (1, *dilations)
        pads = (0, pads[0], 0, pads[1])
    shape = (w.shape[0], w.shape[1], *kernel)
    group = int(node.attributes.get("group", 1))
    return _operands((x.shape[1], *image), shape, x, strides=strides, pads=pads, dilations=dilations, groups=group)


def stated_pads(node, kernel, image, strides, dilations):
    """The pads as numbers, also where the node says SAME_UPPER, SAME_LOWER or VALID."""
    how = node.attributes.get("auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        return tuple(node.attributes.get("pads", (0,) * (2 * len(kernel))))
    if how == "VALID":
        return (0,) * (2 * len(kernel))
    totals = [
        max((-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        for size, taps, stride, dilation in zip(image, kernel, strides, dilations, strict=True)
    ]
    less = [total // 2 for total in totals]
    more = [total - half for total, half in zip(totals, less, strict=True)]
    return (*less, *more) if how == "SAME_UPPER" else (*more, *less)


def _operands(input_shape, weight_shape, x, **geometry):
    """Operands whose weights are not known: only their shape says something (no rival that wires them in is built)."""
    high = (1 << x.bits) - 1 if x.fixed else 1
    return Operands(input_shape, np.broadcast_to(np.int64(0), weight_shape), (-high, high), **geometry)
