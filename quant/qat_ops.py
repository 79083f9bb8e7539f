"""The integer ops as differentiable PyTorch functions: exact integers forward, straight-through gradients back.

An activation on a grid is a float32 tensor of integers q that stands for x̂ = s·(q − z); a sum is one of integers S,
below 2^24 so that float32 is exact. The gradient that travels with q is ∂L/∂q = s·∂L/∂x̂ at a constant s; what the
step s itself gets is gathered where q is rounded (S. K. Esser, J. L. McKinstry, D. Bablani, R. Appuswamy and
D. S. Modha, "Learned Step Size Quantization", ICLR 2020, equation 3).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from adderhw.fixed import Rounding
from adderhw.kernels.convolution import adder_conv, pack_adder_conv
from adderhw.kernels.geometry import Geometry
from quant import qat_kernels

ROW = 512  # elements that a row of the kernels should have at least


def quantise_input(images, grid):
    """float32 images → integers on their grid, as QuantizeLinear: round half even of the float32 quotient."""
    return (torch.round(images / np.float32(grid.scale).item()) + grid.zero_point).clamp(grid.min, grid.max)


def dequantise(q, grid):
    """(q − z)·s in float32, as DequantizeLinear."""
    return (q - grid.zero_point) * np.float32(grid.scale).item()


def adder_weight(weight, integers, grid, step):
    """float32 (O, …): the weight ŵ that an adder layer computes with; its value is on the grid, or outside it exact.

    weight: the parameter. integers: float32, its w_q. step: scalar tensor whose value is grid.scale. Straight through
    the rounding, ∂ŵ/∂w = 1 everywhere; ∂ŵ/∂s = w_q − z − w/s inside the grid, and 0 outside, where ŵ = w.
    """
    exact, offsets = weight.detach(), integers - grid.zero_point
    low, high = (grid.scale * (end - grid.zero_point) for end in (grid.min, grid.max))
    inside = (exact >= low) & (exact <= high)
    residual = torch.where(inside, offsets - exact / grid.scale, 0.0)
    return weight + (residual * grid.scale).detach() + residual * (step - step.detach())


def product_weight(weight, integers, step, top):
    """float32 (O, …): the integers w_q of a multiplying layer, whose gradient is that of ŵ/s with ŵ = s·w_q.

    weight: the parameter. integers: float32, |w_q| ≤ top. step: float32 (O,). Straight through the rounding:
    ∂ŵ/∂w = 1 and ∂ŵ/∂s = w_q − w/s, but 0 and w_q where the weight is clipped.
    """
    s = step.reshape(-1, *[1] * (weight.ndim - 1))
    ratio = weight / s.detach()
    exact = ratio.detach()
    inside = exact.abs() <= top + 0.5
    through = torch.where(inside, ratio, exact)
    residual = integers - torch.where(inside, exact, 0.0)
    return integers + (through - exact) + residual * ((s - s.detach()) / s.detach())


def differences(q, integers, grid, options):
    """S = Σ|x_q − w_q| by the simulator's own kernel, padding being the zero point. Operands as AdderSum takes them."""
    strides, pads, dilations, groups = options
    geometry = Geometry(tuple(strides), tuple(pads), tuple(dilations), groups)
    packed = pack_adder_conv(integers.numpy().astype(grid.dtype), geometry, x_range=(grid.min, grid.max))
    last = q.detach().permute(0, 2, 3, 1).contiguous().numpy().astype(grid.dtype)
    sums = adder_conv(last, packed, grid.zero_point, threads=torch.get_num_threads())
    return torch.from_numpy(sums.astype(np.float32)).permute(0, 3, 1, 2)


class AdderSum(torch.autograd.Function):
    """S = Σ|x_q − w_q| (N, O, H', W'), with AdderNet's gradients (Chen 2020) of Y = −Σ|x̂ − ŵ| = −s·S − K."""

    @staticmethod
    def forward(ctx, q, weight, integers, grid, options):
        """q: float32 (N, C, H, W); weight: ŵ; integers: w_q; options: stride, pads, dilation, groups."""
        ctx.save_for_backward(q, weight)
        ctx.grid, ctx.options = grid, options
        return differences(q, integers, grid, options)

    @staticmethod
    def backward(ctx, grad):
        """∂L/∂q = −Σ g·clip(ŵ − x̂, −1, 1) and ∂L/∂ŵ = −1/s·Σ g·(x̂ − ŵ), for g = ∂L/∂S."""
        q, weight = ctx.saved_tensors
        operands = (-grad, (q - ctx.grid.zero_point) * ctx.grid.scale, weight, *ctx.options)
        of_q = torch.ops.adderhw.adder_conv_input_gradient(*operands) if ctx.needs_input_grad[0] else None
        of_weight = torch.ops.adderhw.adder_conv_weight_gradient(*operands) / ctx.grid.scale
        return of_q, of_weight, None, None, None


def conv_sum(q, weight, zero_point, attributes):
    """Σ (x_q − z)·w_q of a convolution, in float64, which is exact for every sum that a model may have."""
    top, left, bottom, right = attributes["pads"]
    x = functional.pad((q - zero_point).double(), (left, right, top, bottom))
    strides, dilations = attributes["strides"], attributes["dilations"]
    return functional.conv2d(x, weight.double(), None, strides, 0, dilations, attributes["group"]).float()


def linear_sum(q, weight, zero_point):
    """Σ (x_q − z)·w_q of a linear layer with weight (O, K), in float64 as conv_sum."""
    return functional.linear((q - zero_point).double(), weight.double()).float()


def max_pool(q, attributes):
    """The largest of each window, padding left out."""
    top, left, bottom, right = attributes["pads"]
    padded = functional.pad(q, (left, right, top, bottom), value=float("-inf"))
    return functional.max_pool2d(padded, attributes["kernel_shape"], attributes["strides"])


def sum_pool(q, attributes):
    """The sum of each window."""
    return functional.avg_pool2d(q, attributes["kernel_shape"], attributes["strides"], divisor_override=1)


class Requantise(torch.autograd.Function):
    """q = clip(round_shift(S·M + C, n), low, high), which stands for clip(a·S + b) on a grid of step s."""

    @staticmethod
    def forward(ctx, sums, a, b, step, scale, constants, batch):
        """sums: float32 (N, C, …). a, b: float64 (C,). step: scalar, or None where none learns; scale: its value.

        constants: Requant, whose arrays are int64 (C,). batch: Moments of the sums where a batch norm was folded and
        ∂L/∂S is to be that of a batch norm of this batch (see normalised), else None.
        """
        rows, back = rows_of(sums)
        repeated = constants.repeated(rows.shape[1] // sums.shape[1])
        half = (np.int64(1) << repeated.n) >> 1
        half = np.zeros_like(half) if repeated.rounding == Rounding.FLOOR else half
        ends = (repeated.low, repeated.high)
        q = qat_kernels.requantise(rows, repeated.m, repeated.c, repeated.n, half, repeated.rounding, *ends)
        ctx.rows, ctx.q, ctx.constants, ctx.scale = rows, q, repeated, scale
        ctx.channels, ctx.batch = sums.shape[1], batch
        return back(q)

    @staticmethod
    def backward(ctx, grad):
        """∂L/∂S, ∂L/∂a, ∂L/∂b and ∂L/∂s."""
        constants, (rows, back) = ctx.constants, rows_of(grad)
        unit = 2.0**-constants.n
        ends = (constants.low, constants.high, constants.below, constants.above)
        of_sums, *others = qat_kernels.requantise_gradient(
            rows, ctx.rows, ctx.q, constants.m * unit, constants.c * unit, *ends
        )
        of_ratio, of_offset, of_step = (each.reshape(-1, ctx.channels).sum(0) for each in others)
        if ctx.batch:
            gain = (constants.m * unit)[: ctx.channels]
            normalise(of_sums, ctx.rows, ctx.batch, gain * of_ratio, gain * of_offset)
        of_a, of_b, of_step = (torch.from_numpy(each) / ctx.scale for each in (of_ratio, of_offset, of_step))
        return back(of_sums), of_a, of_b, of_step.sum() if ctx.needs_input_grad[3] else None, None, None, None


class Moments(NamedTuple):
    """Mean and variance of each channel over a batch and its positions, float64 (C,), and how many values that are."""

    mean: np.ndarray
    variance: np.ndarray
    count: int


def moments(sums):
    """The Moments of float32 (N, C, …)."""
    rows, _ = rows_of(sums)
    channels = sums.shape[1]
    count = sums.numel() // channels
    first, second = qat_kernels.moments(rows)
    # The columns of one channel are each about a value of their own; one about another is a binomial away.
    values, each = rows[0].astype(np.float64).reshape(-1, channels), len(rows)
    first, second = first.reshape(-1, channels), second.reshape(-1, channels)
    shift = values - values[0]
    mean = (first + each * shift).sum(0) / count
    square = (second + 2 * shift * first + each * shift**2).sum(0) / count
    return Moments(values[0] + mean, np.maximum(square - mean**2, 0), count)


def normalise(of_sums, rows, batch, products, total):
    """Makes ∂L/∂S that of a batch norm over the batch: g − mean(g) − d·mean(g·d)/variance with d = S − mean, in place.

    of_sums, rows: float32 (R, K), g and S. batch: Moments. products, total: float64 (C,), Σ g·S and Σ g.
    """
    covariance = (products - batch.mean * total) / batch.count
    slope = np.divide(covariance, batch.variance, out=np.zeros_like(covariance), where=batch.variance > 0)
    offset = total / batch.count - slope * batch.mean
    times = rows.shape[1] // len(slope)
    qat_kernels.subtract_line(of_sums, rows, np.tile(offset, times), np.tile(slope, times))


def rows_of(values):
    """(float32 array (R, K), the way back): the channels of several positions in a row, channels last in memory.

    values: float32 (N, C, …).
    """
    last = values.detach().permute(0, *range(2, values.ndim), 1).contiguous()
    positions, channels = last.numel() // last.shape[-1], last.shape[-1]
    together = next(k for k in range(min(positions, -(-ROW // channels)), 0, -1) if positions % k == 0)

    def back(array):
        tensor = torch.from_numpy(array).view(last.shape)
        return tensor.permute(0, tensor.ndim - 1, *range(1, tensor.ndim - 1))

    return last.numpy().reshape(positions // together, together * channels), back
