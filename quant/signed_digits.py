"""Numbers of few signed digits: the nearest one to a real number, and weights made of them."""

from functools import cache

import numpy as np

from adderhw.fixed import Format

# Largest |w| over the largest integer, times these. A factor of 2 only moves the digits, so that one octave covers
# every scale that cuts nothing; below 1 the largest weights are cut.
SCALES = np.linspace(0.8, 2.0, 121)


@cache
def numbers(digits, limit):
    """int32, ascending: every integer from 0 to `limit` of at most `digits` canonical signed digits."""
    values = np.arange(limit + 1, dtype=np.int32)
    return values[np.bitwise_count(values ^ (3 * values)) <= digits]


def nearest(values, digits, limit):
    """int64: the integer nearest to each of the float64 `values` with |v| ≤ limit and at most `digits` signed digits.

    A tie goes towards 0. digits None: any integer. limit: below 2^29.
    """
    if digits is None:
        return np.clip(np.rint(values), -limit, limit).astype(np.int64)
    table, magnitude = numbers(digits, limit), np.abs(values)
    above = np.clip(np.searchsorted(table, magnitude), 1, len(table) - 1)
    lower, upper = table[above - 1], table[above]
    chosen = np.where(magnitude - lower <= upper - magnitude, lower, upper)
    return np.where(np.asarray(values) < 0, -chosen, chosen).astype(np.int64)


def signed_digit_weight(weight, bits, digits):
    """(w_q, s): as grids.symmetric_weight, each w_q of at most `digits` signed digits.

    weight: float64 (O, …). s[o] is the one of SCALES, and then the least-squares scale of its integers, that gives
    the channel the least Σ(w − s·w_q)².
    """
    flat, top = weight.reshape(len(weight), -1), (1 << (bits - 1)) - 1
    largest = np.abs(flat).max(axis=1)
    best, scale, error = np.zeros(flat.shape, np.int64), np.ones(len(flat)), np.full(len(flat), np.inf)
    for factor in SCALES:
        step = np.where(largest > 0, largest, 1.0) * factor / top
        integers = nearest(flat / step[:, None], digits, top)
        fitted = least_squares_scale(flat, integers, step)
        found = ((flat - fitted[:, None] * integers) ** 2).sum(axis=1)
        better = found < error
        best[better], scale[better], error[better] = integers[better], fitted[better], found[better]
    return best.reshape(weight.shape).astype(Format(bits, True).dtype), scale


def least_squares_scale(weight, integers, otherwise):
    """The s of each row that makes Σ(w − s·w_q)² least; `otherwise` where every integer is 0."""
    products, squares = (weight * integers).sum(axis=1), (integers**2).sum(axis=1)
    return np.divide(products, squares, out=otherwise.copy(), where=squares > 0)
