"""Numba kernels of quantisation-aware training: the exact requantisation of a batch of sums, and its way back.

Rows hold the channels of many positions, one after the other, so that the inner loops are long: with 16 channels the
way back then takes 2.3 ns an element instead of 11. Constants are repeated to the length of a row.
"""

import numpy as np
from numba import njit

HALF_EVEN, HALF_AWAY = 2, 3  # adderhw.fixed.Rounding, which a kernel takes as its number


@njit(nogil=True, cache=True)
def requantise(sums, m, c, n, half, rounding, low, high):
    """clip(round_shift(S·M + C, n), low, high) by docs/numerics.md.

    sums: float32 (R, K), integers. m, c, n, half: int64 (K,), half = 2^(n−1), or 0 where n = 0 or the rounding is
    floor. rounding: the number of adderhw.fixed.Rounding. low, high: integers. Returns float32 (R, K), integers.
    """
    out = np.empty(sums.shape, np.float32)
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            t = np.int64(sums[i, j]) * m[j] + c[j]
            less = np.int64(0)
            if rounding == HALF_EVEN and n[j] > 0:
                less = 1 - ((t >> n[j]) & 1)
            elif rounding == HALF_AWAY and n[j] > 0 and t < 0:
                less = 1
            out[i, j] = np.float32(min(max((t + half[j] - less) >> n[j], low), high))
    return out


@njit(nogil=True, cache=True)
def requantise_gradient(grad, sums, q, gain, offset, low, high, below, above):
    """What requantise passes back, straight through its rounding, for grad = ∂L/∂q.

    grad, q: float32 (R, K), as sums. gain, offset: float64 (K,), M/2^n and C/2^n. With u = gain·S + offset: below and
    above are what counts as ∂(s·(q − z))/∂s where u is outside [low, high]. Returns float32 (R, K) ∂L/∂S = grad·gain
    inside and 0 outside; float64 (K,) each, Σ grad·S and Σ grad over what is inside, and Σ grad·(q − u) inside with
    grad·below and grad·above outside.
    """
    of_sums = np.empty(sums.shape, np.float32)
    of_ratio, of_offset, of_step = np.zeros(len(gain)), np.zeros(len(gain)), np.zeros(len(gain))
    for i in range(sums.shape[0]):
        s, g, integers, out = sums[i], grad[i], q[i], of_sums[i]
        for j in range(len(gain)):
            u = s[j] * gain[j] + offset[j]
            under, over = u < low, u > high
            inside = 0.0 if under or over else np.float64(g[j])
            out[j] = inside * gain[j]
            of_ratio[j] += inside * s[j]
            of_offset[j] += inside
            of_step[j] += g[j] * (below if under else (above if over else integers[j] - u))
    return of_sums, of_ratio, of_offset, of_step


@njit(nogil=True, cache=True)
def moments(sums):
    """float64 (K,) each: Σ d and Σ d² of each column of float32 (R, K), d = S less the column's first one."""
    first, second = np.zeros(sums.shape[1]), np.zeros(sums.shape[1])
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            d = np.float64(sums[i, j]) - sums[0, j]
            first[j] += d
            second[j] += d * d
    return first, second


@njit(nogil=True, cache=True)
def subtract_line(values, sums, offset, slope):
    """values −= offset + slope·sums, in place. values, sums: float32 (R, K); offset, slope: float64 (K,)."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            values[i, j] -= np.float32(offset[j] + slope[j] * sums[i, j])
