"""AdderConvInteger: S = Σ |x_q − w_q| over the taps of a convolution (Chen 2020, on integers)."""

import numpy as np

from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.fixed import bits_for
from adderhw.kernels import Accumulator, conv_step, pack_adder_conv
from adderhw.ops.base import Attribute, Op, scalar, sum_type
from adderhw.ops.convolution import (
    ABSOLUTE_DIFFERENCES,
    ATTRIBUTES,
    UNFOLD,
    conv_shape,
    geometry,
    matching_operands,
    padded_range,
)
from adderhw.tensor import integer_tensor


class AdderConvInteger(Op):
    """x (N, C, H, W) and w (O, C/group, kh, kw) on one integer grid → sums (N, O, H', W'), never negative.

    Padding is x_zero_point (the integer of the value 0) and counts. The float op's Y is −scale·S.
    """

    name = "AdderConvInteger"
    inputs = ("x", "w", "x_zero_point")
    optional = 1
    output = "s"
    attributes = {**ATTRIBUTES, "output_dtype": Attribute("int", 6)}
    types = {
        "x": ("T", "integer8or16"),
        "w": ("T", "integer8or16"),
        "x_zero_point": ("T", "integer8or16"),
        "s": ("S", "sum"),
    }
    sums = True
    body = (
        """
  x_f = Cast <to = 1> (x)
  w_f = Cast <to = 1> (w)
  z_f = Cast <to = 1> (x_zero_point)
  x0 = Sub (x_f, z_f)
  w0 = Sub (w_f, z_f)
"""
        + UNFOLD
        + ABSOLUTE_DIFFERENCES
        + """
  s = Cast <to : int = @output_dtype> (shaped)
"""
    )

    def infer(self, node, args):
        """Σ max(w − low, high − w) bounds the sum of each output channel exactly."""
        x, w, zero_point = args
        matching_operands(node, x, w)
        shared_grid(node, x, w)
        shape = conv_shape(node, x, w)
        bound = adder_bound(w.value, *padded_range(node, x, scalar(node, zero_point, "x_zero_point")))
        return integer_tensor(node.output, shape, sum_type(node, 0, int(bound.max())), np.zeros_like(bound), bound)

    def compile(self, node, args, out, options, fusion=None):
        """One SAD convolution, with the next node's requantisation in the same pass."""
        x, w, zero_point = args
        zero, accumulator = scalar(node, zero_point, "x_zero_point"), accumulator_of(out, options)
        packed = pack_adder_conv(w.value, geometry(node), options.path, x_range=padded_range(node, x, zero))
        requant = fusion.after if fusion else None

        def bind(arrays, target, threads, stats):
            return conv_step(
                packed, arrays[0], zero, target, accumulator=accumulator, requant=requant, stats=stats, threads=threads
            )

        return bind

    def work(self, node, args, out, options):
        """Per tap a subtraction, an absolute value and an accumulation; the paper counts two additions."""
        x, w, _ = args
        return adder_work(node, x, w, out, options, w.value[0].size)

    def float_exact(self, node, args):
        """The largest sum that the body carries in floating point."""
        x, w, zero_point = args
        return int(adder_bound(w.value, *padded_range(node, x, scalar(node, zero_point, "x_zero_point"))).max())


def adder_bound(weight, low, high):
    """int64 (O,): the largest Σ |x − w| of each output channel with every x in [low, high]."""
    w = weight.reshape(len(weight), -1).astype(np.int64)
    return np.maximum(np.abs(w - low), np.abs(high - w)).sum(axis=1)


def shared_grid(node, x, w):
    """Checks that x and w state the same scale and zero point, where both state one."""
    a, b = x.format, w.format
    if a.scale is not None and b.scale is not None and (a.scale, a.zero_point) != (b.scale, b.zero_point):
        grids = [f"(scale {fmt.scale}, zero point {fmt.zero_point})" for fmt in (a, b)]
        node.fail(f"x on grid {grids[0]} and w on grid {grids[1]}", "one shared grid")


def accumulator_of(out, options):
    """The Accumulator to simulate: exact where the chosen width holds the exact bound."""
    if options.accumulator.bits >= out.highest.bit_length():
        return Accumulator(0, False)
    return options.accumulator


def adder_work(node, x, w, out, options, reduction):
    """The LayerWork of an adder layer of `reduction` taps per output."""
    outputs = out.elements
    taps = outputs * reduction
    bits = max(x.format.bits, w.format.bits)
    width = options.accumulator.bits or bits_for(0, out.highest)[0]
    events = Tally({event("sub", bits): taps, event("abs", bits + 1): taps, event("add", width): taps})
    return LayerWork(
        name=node.name,
        op=node.op,
        kind="adder",
        output_shape=tuple(out.shape[1:]),
        taps=taps,
        reduction=reduction,
        outputs=outputs,
        input_bits=x.format.bits,
        weight_bits=w.format.bits,
        accumulator_bits=width,
        events=events,
        paper=PaperCount(add=2 * taps),
    )
