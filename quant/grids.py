"""Grids: the fixed-point format of an activation from its range, and weights put on a grid."""

import numpy as np

from adderhw.fixed import Format

SPACING_TOLERANCE = 1e-4


def activation_grid(low, high, bits):
    """The unsigned `bits`-wide Format that covers [low, high] and represents 0 exactly.

    scale = (high − low)/(2^bits − 1) where one end is 0. Where 0 lies inside, the zero point is rounded, and the
    scale is the least one that still covers both ends.
    """
    low, high, top = min(float(low), 0.0), max(float(high), 0.0), (1 << bits) - 1
    if low == high:
        return Format(bits, False, 1.0, 0)
    if low == 0:
        return Format(bits, False, high / top, 0)
    if high == 0:
        return Format(bits, False, -low / top, top)
    zero = min(max(round(-low * top / (high - low)), 1), top - 1)
    return Format(bits, False, max(-low / zero, high / (top - zero)), zero)


def input_grid(values, bits):
    """The Format of the network's input from sample values: their own spacing where they have one.

    Where all values are whole multiples of one step, and no more than 2^bits steps apart, that step is the scale
    and every value is exact; else activation_grid of their range. The scale is a float32, as QuantizeLinear has it.
    """
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    step = spacing(values, (1 << bits) - 1)
    if step is None:
        grid = activation_grid(low, high, bits)
        return Format(bits, False, float32_above(grid.scale), grid.zero_point)
    return Format(bits, False, float(np.float32(step)), round(-low / step))


def spacing(values, most):
    """The step of which all `values` are whole multiples, at most `most` of them in all; None without one."""
    found = np.unique(np.append(values.reshape(-1), 0).astype(np.float64))
    if not 2 <= len(found) <= most + 1:
        return None
    step = np.diff(found).min()
    steps = found / step
    whole = np.abs(steps - np.rint(steps)).max() <= SPACING_TOLERANCE
    if not whole or np.rint(steps[-1] - steps[0]) > most:
        return None
    largest = np.abs(steps).argmax()
    return float(found[largest] / np.rint(steps[largest]))


def logits_grid(low, high, margin):
    """The signed 16-bit Format whose range is `margin` times the larger end of [low, high]; float32 scale."""
    reach = max(abs(float(low)), abs(float(high))) or 1.0
    return Format(16, True, float32_above(margin * reach / ((1 << 15) - 1)), 0)


def guard_grid(low, high, scale):
    """The narrowest signed Format of step `scale` that holds [low, high]."""
    low, high = round(min(low, 0.0) / scale), round(max(high, 0.0) / scale)
    return Format(max(high.bit_length(), (-low - 1).bit_length() if low else 0) + 1, True, scale, 0)


def float32_above(scale):
    """The smallest float32 that is not below `scale`, as a Python float."""
    value = np.float32(scale)
    return float(value if float(value) >= scale else np.nextafter(value, np.float32(np.inf)))


def grid_range(grid):
    """(lowest, highest) real value of a Format."""
    return grid.scale * (grid.min - grid.zero_point), grid.scale * (grid.max - grid.zero_point)


def adder_weight(weight, grid):
    """(w_q, K): the weight on the activation's grid, and what the lossless clip moves into the constant.

    weight: float64 (O, …). w_q: the grid's dtype. K: float64 (O,), Σ|w − clip(w)|, so that for x on the grid
    Σ|x − w| = s·Σ|x_q − w_q| + K, up to the rounding of w.
    """
    clipped = np.clip(weight, *grid_range(grid))
    quantised = np.rint(clipped / grid.scale).astype(np.int64) + grid.zero_point
    constant = np.abs(weight - clipped).reshape(len(weight), -1).sum(axis=1)
    return np.clip(quantised, grid.min, grid.max).astype(grid.dtype), constant


def symmetric_weight(weight, bits):
    """(w_q, s): each output channel (axis 0) on its own signed grid, |w_q| < 2^(bits−1), w ≈ s[o]·w_q."""
    top = (1 << (bits - 1)) - 1
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = np.where(largest > 0, largest, 1.0) / top
    quantised = np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return quantised.astype(Format(bits, True).dtype), scale


def whole(grid):
    """The bare integer format of a zero point."""
    return Format(grid.bits, grid.signed)


def clip_bound(real, grid):
    """The integer at which a ReLU or Clip at `real` cuts: the grid's end where it lies beyond."""
    if np.isinf(real):
        return grid.min if real < 0 else grid.max
    return min(max(round(real / grid.scale) + grid.zero_point, grid.min), grid.max)
