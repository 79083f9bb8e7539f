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
    x, w, *, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), groups=1, x_zero_point=0, w_zero_point=0, number=int,
    realisation="multiplier",
):  # fmt: skip
    """Σ (x − x_zero_point)(w − w_zero_point), padding contributes 0 (ONNX ConvInteger).

    The zero points are part of how an operand is read, not operations of the array. Without a multiplier a weight is
    a constant, and one that is 0 has no hardware.
    """
    out = np.zeros(conv_output_shape(x, w, strides, pads, dilations), object)
    for n, o, i, j, taps in conv_taps(x, w, strides, pads, dilations, groups, x_zero_point):
        total = number(0)
        for a, b in taps:
            factor, constant = number(a - int(x_zero_point)), b - int(w_zero_point)
            if realisation == "multiplier" or constant:
                total = total + constant_product(factor, constant, realisation, number)
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


def signed_digits(value):
    """[(sign, power)] of the non-adjacent form of `value`, least power first: value = Σ sign·2^power."""
    digits, power, value = [], 0, int(value)
    while value:
        if value % 2:
            sign = 2 - value % 4
            digits.append((sign, power))
            value -= sign
        value, power = value // 2, power + 1
    return digits


def constant_product(factor, constant, realisation, number):
    """factor·constant on a multiplier, or from the constant's signed digits: a shift for each, added up."""
    if realisation == "multiplier":
        return factor * constant
    product = None
    for sign, power in signed_digits(constant):
        # A negative digit is a subtraction: the same adder with inverted operand.
        term = number(sign * int(factor << power))
        product = term if product is None else product + term
    return number(0) if product is None else product


def requantize_executed(s, m, c, n, *, rounding, qmin, qmax, realisation):
    """One value requantised on CountingInt the way the hardware of `realisation` does it; returns the integer.

    The constant of half_up is part of C; half_even and half_away add a correction that depends on t.
    """
    product = constant_product(CountingInt(s), m, realisation, CountingInt)
    half = (1 << int(n)) >> 1
    t = product + (int(c) + (half if rounding == "half_up" else 0))
    if rounding == "half_even":
        floor, rest = divmod(int(t), 1 << int(n))
        t = t + (half if rest != half or floor % 2 else 0)
    if rounding == "half_away":
        t = t + (half - (1 if int(t) < 0 and n else 0))
    q = t >> n
    low, high = q < qmin, q > qmax
    return int(qmin) if low else int(qmax) if high else int(q)


def max_pool(x, *, kernel_shape, strides, pads=(0, 0, 0, 0), number=int):
    """The largest element of each window, elements outside x left out; object array."""
    return pooled(x, kernel_shape, strides, pads, lambda window: largest(window, number))


def sum_pool(x, *, kernel_shape, strides, number=int):
    """The sum of each window; object array."""
    return pooled(x, kernel_shape, strides, (0, 0, 0, 0), lambda window: total(window, number))


def pooled(x, kernel, strides, pads, reduce):
    """reduce(list of elements) of each window (N, C, H', W')."""
    spatial = [(x.shape[2 + d] + pads[d] + pads[d + 2] - kernel[d]) // strides[d] + 1 for d in (0, 1)]
    out = np.zeros((*x.shape[:2], *spatial), object)
    for n, c, i, j in np.ndindex(out.shape):
        rows = range(i * strides[0] - pads[0], i * strides[0] - pads[0] + kernel[0])
        columns = range(j * strides[1] - pads[1], j * strides[1] - pads[1] + kernel[1])
        out[n, c, i, j] = reduce(
            [int(x[n, c, a, b]) for a in rows for b in columns if 0 <= a < x.shape[2] and 0 <= b < x.shape[3]]
        )
    return out


def largest(window, number):
    """The largest element, with one comparison less than there are elements."""
    best = number(window[0])
    for value in window[1:]:
        best = number(value) if best < value else best
    return int(best)


def total(window, number):
    """The sum of the elements, each one accumulated."""
    accumulator = number(0)
    for value in window:
        accumulator = accumulator + value
    return int(accumulator)
