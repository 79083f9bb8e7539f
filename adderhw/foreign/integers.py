"""The integers of quantised ops: grids, exact int32 sums by the toolkit's kernels, and one float32 rescaling."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adderhw.errors import ModelError
from adderhw.graph import Graph
from adderhw.kernels import max_pool
from adderhw.ops.base import Node
from adderhw.plan import Plan
from adderhw.tensor import integer_tensor

EXACT_FLOAT32 = 1 << 24


class InexactError(ModelError):
    """A network whose integers are not determined; the message says where and why."""


class Scaled(NamedTuple):
    """A grid: real = scale · (code − zero_point). scale: float32, () or one an output channel. dtype: of the codes."""

    scale: np.ndarray
    zero_point: int
    dtype: np.dtype

    @classmethod
    def of(cls, scale, zero, dtype, refuse):
        """The grid of a scale and a zero point as the file states them; `refuse` says why it cannot be taken."""
        scale = np.asarray(scale)
        if scale.dtype != np.float32 or not (np.isfinite(scale).all() and (scale > 0).all()):
            refuse(f"has a scale of {scale.dtype}, which is no finite float32 above 0")
        zeros = np.unique(np.zeros(1, dtype) if zero is None else zero)
        if len(zeros) != 1:
            refuse("has a zero point for each channel, which is not simulated here")
        kind = np.dtype(dtype) if zero is None else np.asarray(zero).dtype
        if kind not in (np.uint8, np.int8, np.int32):
            refuse(f"has codes of {kind}, which are not simulated here")
        return cls(scale.reshape(()) if scale.size == 1 else scale.reshape(-1), int(zeros[0]), kind)

    @property
    def low(self):
        """The least code."""
        return int(np.iinfo(self.dtype).min)

    @property
    def high(self):
        """The largest code."""
        return int(np.iinfo(self.dtype).max)

    def single(self, refuse):
        """Refuses a grid of more than one scale."""
        if self.scale.ndim:
            refuse("has a scale for each channel of an activation, which is not simulated here")

    def same(self, other):
        """Whether both grids are one."""
        mine, theirs = (grid.scale.tobytes() + bytes([grid.zero_point & 255]) for grid in (self, other))
        return mine == theirs and self.dtype == other.dtype

    def quantised(self, x):
        """Codes of float32 values: x / scale rounded half to even, plus zero point, clipped (ONNX QuantizeLinear)."""
        return self.clipped(np.rint(x / self.scale) + np.float32(self.zero_point))

    def real(self, codes):
        """float32 (code − zero_point) · scale (ONNX DequantizeLinear)."""
        return (codes.astype(np.int32) - self.zero_point).astype(np.float32) * self.scale

    def clipped(self, values):
        """Whole float32 numbers as codes."""
        return np.clip(values, np.float32(self.low), np.float32(self.high)).astype(self.dtype)


class Sums(NamedTuple):
    """Sums that wait for an output grid: exact numbers by run(tensors), and rescale(numbers, grid) → codes."""

    run: Callable
    rescale: Callable

    def rescaled(self, grid):
        """tensors → codes on `grid`."""
        return lambda tensors: self.rescale(self.run(tensors), grid)

    @staticmethod
    def pooled(node, x):
        """The largest code of each window; padding is left out."""
        kernel = tuple(int(k) for k in node.attributes["kernel_shape"])
        strides = tuple(node.attributes.get("strides", (1, 1)))
        pads = tuple(node.attributes.get("pads", (0, 0, 0, 0)))
        image = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        sizes = [(image.shape[1 + d] + pads[d] + pads[2 + d] - kernel[d]) // strides[d] + 1 for d in (0, 1)]
        out = np.empty((len(x), *sizes, x.shape[1]), x.dtype)
        max_pool(image, kernel, strides, pads, out=out)
        return np.ascontiguousarray(np.moveaxis(out, -1, 1))

    @staticmethod
    def added(a, b, refuse):
        """The sum of two quantised tensors; exact in any order where both scales are the output's times 2^k."""
        for view in (a, b):
            view.grid.single(refuse)

        def rescale(values, grid):
            left, right = (np.float32(view.grid.scale) / np.float32(grid.scale) for view in (a, b))
            total = values[0] * left.astype(np.float64) + values[1] * right.astype(np.float64)
            return grid.clipped(np.rint(total) + grid.zero_point)

        def run(tensors):
            return tuple(tensors[v.name].astype(np.float64) - v.grid.zero_point for v in (a, b))

        return AddedSums(run, rescale, a.grid, b.grid, refuse)


class AddedSums(NamedTuple):
    """As Sums, checked when the output's grid is known: every intermediate float32 must be exact."""

    run: Callable
    rescale: Callable
    left: Scaled
    right: Scaled
    refuse: Callable

    def rescaled(self, grid):
        """tensors → codes on `grid`; refuses scales whose float32 arithmetic rounds."""
        ratios = [float(part.scale) / float(grid.scale) for part in (self.left, self.right)]
        mantissas = [np.frexp(ratio)[0] for ratio in ratios]
        finest = min(ratios)
        if any(mantissa != 0.5 for mantissa in mantissas) or 512 * (sum(ratios) + 1) / min(finest, 1) >= EXACT_FLOAT32:
            self.refuse("adds on scales that are not the output's times powers of two, so its float32 sums round")
        if grid.zero_point % 2:
            self.refuse("has an odd zero point, where onnxruntime and ONNX round halves to different codes")
        return lambda tensors: self.rescale(self.run(tensors), grid)


def window_sums(node, name, x, weight, w, bias, shape, threads, refuse):
    """Sums of a convolution (x_name codes of `shape`, weight codes (O, C/group, kh, kw)); bias int32 (O,) or None."""
    if weight.ndim != 4 or node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        refuse("is no 2-D convolution with stated pads")
    attributes = {
        "kernel_shape": weight.shape[2:],
        "strides": node.attributes.get("strides", (1, 1)),
        "pads": node.attributes.get("pads", (0, 0, 0, 0)),
        "dilations": node.attributes.get("dilations", (1, 1)),
        "group": node.attributes.get("group", 1),
    }
    return _sums("ConvInteger", node, name, x, weight, w, bias, shape, attributes, threads, refuse)


def linear_sums(node, name, x, weight, w, bias, shape, threads, refuse):
    """Sums of a linear layer (x_name codes (N, K), weight codes (O, K)); bias int32 (O,) or None."""
    if weight.ndim != 2 or len(shape) != 2:
        refuse("is no product of (N, K) and a constant (K, O)")
    return _sums("MatMulInteger", node, name, x, np.ascontiguousarray(weight.T), w, bias, shape, {}, threads, refuse)


def _sums(op, node, name, x, weight, w, bias, shape, attributes, threads, refuse):
    x.single(refuse)
    if x.dtype.itemsize > 1 or weight.dtype.itemsize > 1:
        refuse("has operands of more than 8 bits, which are not simulated here")
    parameters = {"w": weight, "xz": np.asarray(x.zero_point, x.dtype), "wz": np.asarray(w.zero_point, weight.dtype)}
    image = integer_tensor("x", (None, *shape[1:]), x.dtype, x.low, x.high)
    layer = Node(op, node.name, ("x", "w", "xz", "wz"), "s", attributes)
    plan = Plan(Graph(node.name, (image,), ("s",), (layer,), parameters), threads=threads)
    rest = (1,) * (2 if op == "ConvInteger" else 0)
    offset = None if bias is None else np.asarray(bias, np.int32).reshape(-1, *rest)

    def run(tensors):
        sums = plan.run({"x": tensors[name]})["s"]
        return sums if offset is None else sums + offset

    def rescale(sums, grid):
        scale = (x.scale * w.scale).astype(np.float32) / grid.scale
        scale = scale.reshape(-1, *rest) if scale.ndim else scale
        scaled = np.rint(sums.astype(np.float32) * scale)
        return grid.clipped(scaled + np.float32(grid.zero_point))

    return Sums(run, rescale)
