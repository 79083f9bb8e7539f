"""Slow oracles on Python integers, obviously right: one loop per definition, no numpy arithmetic.

Every oracle takes nested data as numpy integer arrays in ONNX layout (N, C, H, W) and computes with the elements
turned into `number` (int, or CountingInt to record what was executed).
"""

from collections import Counter

import numpy as np


class CountingInt:
    """An integer that records each operation executed on it in `CountingInt.executed` by kind."""

    executed = Counter()
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = int(value)

    def _do(self, kind, value):
        CountingInt.executed[kind] += 1
        return CountingInt(value)

    def __sub__(self, other):
        return self._do("sub", self.value - int(other))

    def __add__(self, other):
        return self._do("add", self.value + int(other))

    def __mul__(self, other):
        return self._do("mul", self.value * int(other))

    def __lshift__(self, n):
        return self._do("shift", self.value << int(n))

    def __rshift__(self, n):
        return self._do("shift", self.value >> int(n))

    def __abs__(self):
        return self._do("abs", abs(self.value))

    def __lt__(self, other):
        CountingInt.executed["cmp"] += 1
        return self.value < int(other)

    def __gt__(self, other):
        CountingInt.executed["cmp"] += 1
        return self.value > int(other)

    def __int__(self):
        return self.value


def conv_taps(x, w, strides, pads, dilations, groups, padding):
    """Yields (n, o, i, j, [(x element, w element) of every tap]); pads are ONNX's (top, left, bottom, right).

    Positions outside x read `padding`, and count as taps.
    """
    batch, channels, height, width = x.shape
    outputs, group_channels, kernel_h, kernel_w = w.shape
    out_h = (height + pads[0] + pads[2] - dilations[0] * (kernel_h - 1) - 1) // strides[0] + 1
    out_w = (width + pads[1] + pads[3] - dilations[1] * (kernel_w - 1) - 1) // strides[1] + 1
    for n, o, i, j in np.ndindex(batch, outputs, out_h, out_w):
        first = o // (outputs // groups) * group_channels
        taps = []
        for c, a, b in np.ndindex(group_channels, kernel_h, kernel_w):
            row = i * strides[0] - pads[0] + a * dilations[0]
            column = j * strides[1] - pads[1] + b * dilations[1]
            inside = 0 <= row < height and 0 <= column < width
            taps.append((int(x[n, first + c, row, column]) if inside else int(padding), int(w[o, c, a, b])))
        yield n, o, i, j, taps


def conv_output_shape(x, w, strides, pads, dilations):
    """(N, O, H', W') of a convolution of x by w (ONNX Conv's rule)."""
    spatial = [
        (x.shape[2 + d] + pads[d] + pads[d + 2] - dilations[d] * (w.shape[2 + d] - 1) - 1) // strides[d] + 1
        for d in (0, 1)
    ]
    return (x.shape[0], w.shape[0], *spatial)


def adder_conv(x, w, *, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), groups=1, zero_point=0, number=int):
    """S = Σ |x − w| over the taps, padding reads zero_point; object array of Python integers (N, O, H', W')."""
    out = np.zeros(conv_output_shape(x, w, strides, pads, dilations), object)
    for n, o, i, j, taps in conv_taps(x, w, strides, pads, dilations, groups, zero_point):
        total = number(0)
        for a, b in taps:
            total = total + abs(number(a) - b)
        out[n, o, i, j] = int(total)
    return out


def integer_conv(
    x, w, *, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), groups=1, x_zero_point=0, w_zero_point=0, number=int
):
    """Σ (x − x_zero_point)(w − w_zero_point), padding contributes 0 (ONNX ConvInteger).

    The zero points are part of how an operand is read, not operations of the array.
    """
    out = np.zeros(conv_output_shape(x, w, strides, pads, dilations), object)
    for n, o, i, j, taps in conv_taps(x, w, strides, pads, dilations, groups, x_zero_point):
        total = number(0)
        for a, b in taps:
            total = total + number(a - int(x_zero_point)) * (b - int(w_zero_point))
        out[n, o, i, j] = int(total)
    return out


def round_shift(t, n, rounding):
    """t / 2^n rounded, from the definition, on exact fractions; `rounding` is the mode's name."""
    whole, rest = divmod(int(t), 1 << int(n))
    twice, unit = 2 * rest, 1 << int(n)
    if rounding == "floor" or twice < unit:
        return whole
    if twice > unit:
        return whole + 1
    return {"half_up": whole + 1, "half_even": whole + whole % 2, "half_away": whole + (int(t) > 0)}[rounding]


def requantize(s, m, c, n, *, rounding, qmin, qmax):
    """clip(round_shift(s·m + c, n), qmin, qmax) element by element; m, c, n broadcast against s; object array."""
    s, m, c, n = np.broadcast_arrays(s, m, c, n)
    out = np.zeros(s.shape, object)
    for at in np.ndindex(s.shape):
        q = round_shift(int(s[at]) * int(m[at]) + int(c[at]), int(n[at]), rounding)
        out[at] = min(max(q, int(qmin)), int(qmax))
    return out
