"""Flatten and Reshape: the same integers in another shape, at no cost in hardware."""

from math import prod

import numpy as np

from adderhw.kernels import copy_step
from adderhw.layouts import channels_first
from adderhw.ops.base import Attribute, Op, other_work, parameter
from adderhw.tensor import Tensor


class Flatten(Op):
    """x (N, C, H, W) → (N, C·H·W) in ONNX's order (ONNX Flatten, axis 1)."""

    name = "Flatten"
    domain = ""
    attributes = {"axis": Attribute("int", 1)}
    reads_planar = True

    def infer(self, node, args):
        """Axis 1 only: the batch stays an axis of its own."""
        (x,) = args[:1]
        if node.attributes["axis"] != 1:
            node.fail(f"axis {node.attributes['axis']}", "1")
        return reshaped(node, x, (x.elements,))

    def compile(self, node, args, out, options, fusion=None):
        """To ONNX's order where the input lies channels last, then the new shape."""
        shape, planar = out.shape[1:], args[0].planar

        def bind(arrays, target, threads, stats):
            (x,) = arrays
            if (planar or one_order(x)) and one_order(target):
                return copy_step(x, target)
            x, turned = x if planar else channels_first(x), channels_first(target)

            def run():
                turned[...] = x.reshape(len(x), *shape)

            return run

        return bind

    def work(self, node, args, out, options):
        """Wiring: no event."""
        return other_work(node, out, {})


class Reshape(Flatten):
    """x → constant `shape`, whose first entry keeps the batch: 0, or -1 if the others cover an image (ONNX Reshape)."""

    name = "Reshape"
    inputs = ("x", "shape")
    attributes = {"allowzero": Attribute("int", 0)}

    def infer(self, node, args):
        """Only shapes that keep the batch axis."""
        x, shape = args
        stated = parameter(node, shape, "shape")
        if stated.ndim != 1 or stated.dtype != np.int64:
            node.fail(f"shape {shape.name!r} of {stated.dtype} and shape {list(stated.shape)}", "int64 of rank 1")
        sizes = stated.tolist()
        rest = [x.shape[i] if v == 0 and i < len(x.shape) else v for i, v in enumerate(sizes)][1:]
        if -1 in rest:
            known = prod(v for v in rest if v != -1)
            rest[rest.index(-1)] = x.elements // max(known, 1)
        keeps = bool(sizes) and (sizes[0] == 0 or (sizes[0] == -1 and -1 not in sizes[1:]))
        if not keeps or len(rest) not in (1, 3) or min(rest) < 1 or prod(rest) != x.elements:
            node.fail(f"shape {sizes} for an image of {x.elements} elements", "[0 or -1, …] that keeps the batch axis")
        return reshaped(node, x, tuple(rest))


def one_order(array):
    """Whether an NHWC array's elements lie in ONNX's order too."""
    return array.ndim != 4 or array.shape[3] == 1 or array.shape[1:3] == (1, 1)


def reshaped(node, x, shape):
    """The Tensor of x in `shape`; bounds per channel merge, for channels do not survive."""
    low = high = None
    if x.low is not None:
        low, high = np.asarray(x.lowest, np.int64), np.asarray(x.highest, np.int64)
    return Tensor(node.output, (None, *shape), x.dtype, x.format, low, high)
