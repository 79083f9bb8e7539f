"""MaxPoolInteger and SumPool: the exact halves of max and average pooling."""

from math import prod

import numpy as np

from adderhw.cost.events import event
from adderhw.kernels import Geometry, max_pool_step, sum_pool_step
from adderhw.ops.base import Attribute, Op, integer_input, other_work, rank4, sum_type
from adderhw.ops.convolution import geometry
from adderhw.tensor import integer_tensor

POOL = {
    "kernel_shape": Attribute("ints"),
    "strides": Attribute("ints", (1, 1)),
    "pads": Attribute("ints", (0, 0, 0, 0)),
}


def pool_geometry(node, x):
    """(kernel, strides, pads, (H', W')); raises ModelError for a window that is empty or larger than the image."""
    _, height, width = rank4(node, x)
    extra = {"dilations": (1, 1), "group": 1, "pads": (0, 0, 0, 0)}
    geo = geometry(type(node)(node.op, node.name, node.inputs, node.output, {**extra, **node.attributes}))
    kernel = tuple(int(k) for k in node.attributes["kernel_shape"])
    out_hw = geo.output_hw(height, width, *kernel)
    if min(out_hw) < 1 or any(pad >= kernel[i % 2] for i, pad in enumerate(geo.pads)):
        node.fail(
            f"kernel {list(kernel)} and pads {list(geo.pads)} on {height}x{width}", "windows that touch the image"
        )
    return kernel, geo.strides, geo.pads, out_hw


class MaxPoolInteger(Op):
    """x (N, C, H, W) of 8- or 16-bit storage → the largest of each window; padding is left out (ONNX MaxPool)."""

    name = "MaxPoolInteger"
    standard = "MaxPool"
    attributes = POOL
    types = {"x": ("T", "integer8or16"), "y": ("T", "integer8or16")}
    body = """
  x_f = Cast <to = 1> (x)
  y_f = MaxPool <kernel_shape : ints = @kernel_shape, strides : ints = @strides, pads : ints = @pads> (x_f)
  y = CastLike (y_f, x)
"""

    def infer(self, node, args):
        """The range and dtype of the input."""
        (x,) = args
        integer_input(node, x)
        *_, out_hw = pool_geometry(node, x)
        return integer_tensor(node.output, (None, x.shape[1], *out_hw), x.dtype, x.low, x.high)

    def compile(self, node, args, out, options, fusion=None):
        """A row of outputs at a time."""
        kernel, strides, pads, _ = pool_geometry(node, args[0])

        def bind(arrays, target, threads, stats):
            return max_pool_step(arrays[0], kernel, Geometry(strides, pads), target)

        return bind

    def work(self, node, args, out, options):
        """One comparison less than there are elements inside each window."""
        (x,) = args
        kernel, strides, pads, out_hw = pool_geometry(node, x)
        inside = np.outer(*(window_sizes(x.shape[2 + d], kernel[d], strides[d], pads[d], out_hw[d]) for d in (0, 1)))
        return other_work(node, out, {event("cmp", x.format.bits): out.shape[1] * int((inside - 1).sum())})


def window_sizes(size, kernel, stride, pad, outputs):
    """int64 (outputs,): how many elements of one axis lie inside each window."""
    starts = np.arange(outputs) * stride - pad
    return np.minimum(starts + kernel, size) - np.maximum(starts, 0)


class SumPool(Op):
    """x (N, C, H, W) → the sum of each window; its Requantize divides (average pooling). No padding."""

    name = "SumPool"
    output = "s"
    attributes = {"kernel_shape": POOL["kernel_shape"], "strides": POOL["strides"], "output_dtype": Attribute("int", 6)}
    types = {"x": ("T", "integer8or16"), "s": ("S", "sum")}
    body = """
  x_shape = Shape (x)
  i0 = Constant <value_ints = [0]> ()
  i1 = Constant <value_ints = [1]> ()
  i2 = Constant <value_ints = [2]> ()
  i4 = Constant <value_ints = [4]> ()
  minus1 = Constant <value_ints = [-1]> ()
  front = Slice (x_shape, i0, i2)
  image = Slice (x_shape, i2, i4)
  plane_shape = Concat <axis = 0> (minus1, i1, image)
  x_f = Cast <to = 1> (x)
  planes = Reshape (x_f, plane_shape)
  window = Constant <value_ints : ints = @kernel_shape> ()
  ones_shape = Concat <axis = 0> (i1, i1, window)
  ones = ConstantOfShape <value = float[1] {{1.0}}> (ones_shape)
  pooled = Conv <strides : ints = @strides> (planes, ones)
  pooled_shape = Shape (pooled)
  out_hw = Slice (pooled_shape, i2, i4)
  out_shape = Concat <axis = 0> (front, out_hw)
  shaped = Reshape (pooled, out_shape)
  s = Cast <to : int = @output_dtype> (shaped)
"""

    def infer(self, node, args):
        """Window area times the input's range."""
        (x,) = args
        integer_input(node, x)
        kernel, *_, out_hw = pool_geometry(node, x)
        low, high = x.low * prod(kernel), x.high * prod(kernel)
        if max(-low.min(), high.max()) >= 1 << 24:
            node.fail(f"a window sum from {low.min()} to {high.max()}", "a magnitude below 2^24 (overflowing bound)")
        dtype = sum_type(node, int(low.min()), int(high.max()))
        return integer_tensor(node.output, (None, x.shape[1], *out_hw), dtype, low, high)

    def compile(self, node, args, out, options, fusion=None):
        """A row of outputs at a time."""
        kernel, strides, _, _ = pool_geometry(node, args[0])

        def bind(arrays, target, threads, stats):
            return sum_pool_step(arrays[0], kernel, Geometry(strides), target)

        return bind

    def work(self, node, args, out, options):
        """An accumulation per element of each window."""
        taps = out.elements * prod(node.attributes["kernel_shape"])
        return other_work(node, out, {event("add", out.format.bits): taps})
