"""Fixed-point multipliers: r·S + t as (S·M + C) / 2^n in each realisation, with stated error bounds."""

from math import frexp
from typing import NamedTuple

import numpy as np

from adderhw.errors import ModelError
from adderhw.fixed import MAX_SHIFT

INT32_LIMIT, INT64_LIMIT = 1 << 31, 1 << (MAX_SHIFT - 1)
# A multiplier of 10 bits or more is worth the int32 path; below, accuracy comes first.
LEAST_MULTIPLIER = 1 << 9
# C keeps at least this many bits below the output's step where M itself would need fewer.
SHIFT_FRACTION = 8


class Multipliers(NamedTuple):
    """m, c, n: int64 (C,); q = (S·m + c) / 2^n."""

    m: np.ndarray
    c: np.ndarray
    n: np.ndarray


def multipliers(ratio, offset, centre, largest, settings):
    """The Multipliers of q ≈ ratio·S + offset, channel by channel.

    ratio, offset, centre: float64 (C,); largest: integers (C,), the exact max|S|. C takes up the multiplier's
    error at S = centre: |q − (ratio·S + offset)| ≤ e·|S − centre| + 2^−(n+1), with e from error_bound.
    Raises ModelError for a ratio that no multiplier of settings.multiplier_bits reaches.
    """
    channels = zip(ratio.tolist(), offset.tolist(), centre.tolist(), [int(v) for v in largest], strict=True)
    m, c, n = zip(*[one_multiplier(*channel, settings) for channel in channels], strict=True)
    return Multipliers(np.array(m, np.int64), np.array(c, np.int64), np.array(n, np.int64))


def one_multiplier(ratio, offset, centre, largest, settings):
    """(M, C, n) of one channel: the largest n that int32 holds while M keeps 10 bits, else the largest of all."""
    if ratio == 0:
        return 0, min(max(round(offset), -INT32_LIMIT // 2), INT32_LIMIT // 2), 0
    candidates = []
    for n in range(largest_shift(ratio, settings), -1, -1):
        m = approximate(ratio, n, settings.signed_digits)
        c = round((offset + (ratio - m / 2**n) * centre) * 2**n)
        candidates.append((m, c, n))
        bound = largest * abs(m) + abs(c) + (1 << n >> 1)
        enough = settings.signed_digits == 1 or abs(m) >= min(LEAST_MULTIPLIER, abs(candidates[0][0]))
        if bound < INT32_LIMIT and enough:
            return reduced(m, c, n)
    for m, c, n in candidates:
        if largest * abs(m) + abs(c) + (1 << n >> 1) < INT64_LIMIT:
            return reduced(m, c, n)
    raise ModelError(
        f"requantisation: found a step ratio {ratio:.3g} and offset {offset:.3g}, expected ones within "
        f"a multiplier of {settings.multiplier_bits} bits"
    )


def largest_shift(ratio, settings):
    """The largest n with |M| < 2^(multiplier_bits − 1); -1 where there is none."""
    limit = 1 << (settings.multiplier_bits - 1)
    n = min(settings.multiplier_bits - 1 - frexp(ratio)[1], MAX_SHIFT - 2)
    if settings.signed_digits == 1:
        n = min(n, max(SHIFT_FRACTION, -frexp(ratio)[1] + 1))
    while n >= 0 and abs(approximate(ratio, n, settings.signed_digits)) >= limit:
        n -= 1
    return n


def approximate(ratio, n, digits):
    """The integer M nearest to ratio·2^n, or its greedy sum of at most `digits` signed powers of two."""
    target = ratio * 2**n
    if digits is None:
        return round(target)
    total = 0
    for _ in range(digits):
        total += nearest_power(target - total)
    return total


def nearest_power(value):
    """The signed power of two (an integer) nearest to `value`, or 0 where that is nearer."""
    size = abs(value)
    if size < 0.5:
        return 0
    mantissa, exponent = frexp(size)
    power = 1 << max(exponent if mantissa >= 0.75 else exponent - 1, 0)
    return power if value > 0 else -power


def reduced(m, c, n):
    """(M, C, n) with the common factors of two taken out: the same quotient, so the same integer in every rounding."""
    while n > 0 and m % 2 == 0 and c % 2 == 0:
        m, c, n = m // 2, c // 2, n - 1
    return m, c, n


def error_bound(ratio, n, digits):
    """The bound on |ratio − M/2^n|: half a unit, and with K signed digits |ratio|/3^K more.

    The nearest power of two is at most a third of a number away from it, so each digit divides the rest by 3.
    """
    half = 2.0 ** -(n + 1)
    return half if digits is None else half + abs(ratio) / 3**digits
