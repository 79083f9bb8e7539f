"""The integers of quantised ops: grids, exact int32 sums by the toolkit's kernels, and one float32 rescaling."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adderhw.errors import ModelError
from adderhw.foreign.taps import stated_pads
from adderhw.graph import Graph
from adderhw.kernels import max_pool
from adderhw.layouts import channels_first, channels_last
from adderhw.ops.base import Node
from adderhw.plan import Plan
from adderhw.tensor import integer_tensor

EXACT_FLOAT32 = 1 << 24
CODE_TYPES = {
    f"{sign}int{bits}": (
        np.dtype(f"{sign}int{max(bits, 8)}"), 0 if sign else -(1 << bits - 1), (1 << (bits if sign else bits - 1)) - 1,
    )
    for bits in (2, 4, 8, 16, 32) for sign in ("u", "") if (bits, sign) != (32, "u")
}  # fmt: skip
"""dtype as ONNX names it → how its codes are held here, the least and the largest one."""


class InexactError(ModelError):
    """A network whose integers are not determined; the message says where and why."""


def held(codes):
    """Codes in a dtype of NumPy's own: those of 2 and 4 bits in 8."""
    codes = np.asarray(codes)
    return codes.astype(CODE_TYPES[str(codes.dtype)][0], copy=False)


class Scaled(NamedTuple):
    """A grid: real = scale · (code − zero_point).

    scale: float32, () or one for each index along `axis`. dtype: of the codes as they are held here. low, high: the
    least and the largest code.
    """

    scale: np.ndarray
    zero_point: int
    dtype: np.dtype
    low: int
    high: int
    axis: int = 0

    @classmethod
    def of(cls, scale, zero, dtype, refuse, axis=0):
        """The grid of a scale and a zero point as the file states them; `refuse` says why it cannot be taken."""
        scale = np.asarray(scale)
        if scale.dtype != np.float32 or not (np.isfinite(scale).all() and (scale > 0).all()):
            refuse(f"has a scale of {scale.dtype}, which is no finite float32 above 0")
        kind = np.dtype(dtype) if zero is None else np.asarray(zero).dtype
        if str(kind) not in CODE_TYPES:
            refuse(f"has codes of {kind}, which are not simulated here")
        if scale.ndim > 1:
            refuse(f"has scales of shape {list(scale.shape)}, for blocks, which are not simulated here")
        zeros = np.unique(np.zeros(1, np.int64) if zero is None else held(zero))
        if len(zeros) != 1:
            refuse("has a zero point for each channel, which is not simulated here")
        container, low, high = CODE_TYPES[str(kind)]
        scale = scale.reshape(()) if scale.size == 1 else scale.reshape(-1)
        return cls(scale, int(zeros[0]), container, low, high, axis)

    @property
    def is_byte(self):
        """Whether its codes have 8 bits."""
        return self.high - self.low == (1 << 8) - 1

    def single(self, refuse):
        """Refuses a grid of more than one scale."""
        if self.scale.ndim:
            refuse("has a scale for each channel of an activation, which is not simulated here")

    def same(self, other):
        """Whether both grids are one."""
        same = self.zero_point == other.zero_point and self.dtype == other.dtype and self.scale.ndim == other.scale.ndim
        return same and (self.low, self.high) == (other.low, other.high) and np.array_equal(self.scale, other.scale)

    def quantised(self, x):
        """Codes of float32 values: x / scale rounded half to even, plus zero point, clipped (ONNX QuantizeLinear)."""
        with np.errstate(over="ignore"):  # a quotient beyond float32 is infinite, and clipped
            return self.clipped(np.rint(x / self.scale) + np.float32(self.zero_point))

    def real(self, codes):
        """float32 (code − zero_point) · scale (ONNX DequantizeLinear)."""
        with np.errstate(over="ignore"):
            return (codes.astype(np.int32) - self.zero_point).astype(np.float32) * self.scale

    def clipped(self, values):
        """Whole float32 numbers as codes."""
        return np.clip(values, np.float32(self.low), np.float32(self.high)).astype(self.dtype)


class Sums(NamedTuple):
    """Sums that wait for an output grid: exact numbers by run(tensors), and rescale(numbers, grid) → codes.

    fused: whether onnxruntime takes the layer's input and weights for those of a quantised one. exact: whether float32
    sums it without rounding, in any order.
    """

    run: Callable
    rescale: Callable
    fused: bool = False
    exact: bool = False

    def rescaled(self, grid):
        """tensors → codes on `grid`."""
        return lambda tensors: self.rescale(self.run(tensors), grid)

    def is_open(self, grid, paired):
        """Whether between quantisers the codes on `grid` depend on the order of float32 sums.

        paired: whether onnxruntime would take the quantiser behind the layer for its own.
        """
        fused = self.fused and paired and grid.is_byte
        return not fused and not (self.exact and is_power_of_two(grid.scale))

    @staticmethod
    def pooled(node, x):
        """The largest code of each window; padding is left out."""
        kernel = tuple(int(k) for k in node.attributes["kernel_shape"])
        strides, dilations = (tuple(node.attributes.get(key, (1, 1))) for key in ("strides", "dilations"))
        pads = stated_pads(node, kernel, x.shape[2:], strides, dilations)
        out = max_pool(np.ascontiguousarray(channels_last(x)), kernel, strides, pads, dilations)
        return np.ascontiguousarray(channels_first(out))

    @staticmethod
    def added(a, b, codes_a, codes_b, refuse):
        """The sum of two tensors on grids a and b; exact in any order where both scales are the output's times 2^k.

        codes_a, codes_b: tensors → the codes of each.
        """
        for grid in (a, b):
            grid.single(refuse)

        def rescale(values, grid):
            left, right = (np.float32(part.scale) / np.float32(grid.scale) for part in (a, b))
            total = values[0] * left.astype(np.float64) + values[1] * right.astype(np.float64)
            return grid.clipped(np.rint(total) + grid.zero_point)

        def run(tensors):
            return tuple(
                codes(tensors).astype(np.float64) - part.zero_point for codes, part in ((codes_a, a), (codes_b, b))
            )

        return AddedSums(run, rescale, a, b, refuse)


class AddedSums(NamedTuple):
    """As Sums, checked when the output's grid is known: every intermediate float32 must be exact."""

    run: Callable
    rescale: Callable
    left: Scaled
    right: Scaled
    refuse: Callable

    def is_open(self, grid, paired):
        """Whether the order of float32 sums decides; `rescaled` refuses those where it does."""
        return False

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
    if weight.ndim != 4:
        refuse("is no 2-D convolution")
    if w.scale.ndim and w.axis != 0:
        refuse(f"has weights with a scale for each index of axis {w.axis}, not for each output channel (axis 0)")
    strides, dilations = (tuple(node.attributes.get(key, (1, 1))) for key in ("strides", "dilations"))
    attributes = {
        "kernel_shape": weight.shape[2:],
        "strides": strides,
        "pads": stated_pads(node, weight.shape[2:], shape[2:], strides, dilations),
        "dilations": dilations,
        "group": node.attributes.get("group", 1),
    }
    return _sums("ConvInteger", node, name, x, weight, w, bias, shape, attributes, threads, refuse)


def linear_sums(node, name, x, weight, w, bias, shape, threads, refuse, output_axis):
    """Sums of a linear layer (x_name codes (N, K), weight codes (O, K)); bias int32 (O,) or None.

    output_axis: which axis of the weight in the file is O.
    """
    if weight.ndim != 2 or len(shape) != 2:
        refuse("is no product of (N, K) and a constant (K, O)")
    if w.scale.ndim and w.axis != output_axis:
        refuse(f"has weights with a scale for each index of axis {w.axis}, not for each output (axis {output_axis})")
    return _sums("MatMulInteger", node, name, x, np.ascontiguousarray(weight.T), w, bias, shape, {}, threads, refuse)


def _sums(op, node, name, x, weight, w, bias, shape, attributes, threads, refuse):
    x.single(refuse)
    if x.dtype.itemsize > 1 or weight.dtype.itemsize > 1:
        refuse("has operands of more than 8 bits, which are not simulated here")
    parameters = {"w": weight, "xz": np.asarray(x.zero_point, x.dtype), "wz": np.asarray(w.zero_point, weight.dtype)}
    if bias is not None and np.asarray(bias).size != (weight.shape[0] if op == "ConvInteger" else weight.shape[1]):
        refuse(f"has a bias of shape {list(np.shape(bias))}, not one number an output channel")
    if w.scale.ndim and w.scale.size != (weight.shape[0] if op == "ConvInteger" else weight.shape[1]):
        refuse(f"has {w.scale.size} scales of weights, not one an output channel")
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

    summed = np.abs(weight.astype(np.int64) - w.zero_point).sum(axis=tuple(range(1, 4)) if rest else 0)
    most = summed.max(initial=0) * max(x.high - x.zero_point, x.zero_point - x.low)
    most = int(most) + (0 if bias is None else int(np.abs(np.asarray(bias, np.int64)).max(initial=0)))
    exact = most < EXACT_FLOAT32 and is_power_of_two(x.scale) and is_power_of_two(w.scale)
    fused = x.is_byte and w.is_byte and (x.low == 0 or w.low < 0)
    return Sums(run, rescale, fused=fused, exact=exact)


def is_power_of_two(scale):
    """Whether each scale is one."""
    return bool(np.all(np.frexp(scale)[0] == 0.5))
