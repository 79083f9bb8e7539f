"""Fixed-point multipliers: r·S + t as (S·M + C) / 2^n in each realisation, with stated error bounds."""

from math import frexp
from typing import NamedTuple

import numpy as np

from adderhw.errors import ModelError
from adderhw.fixed import MAX_SHIFT
from quant.signed_digits import nearest

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


def multipliers(ratio, offset, centre, largest, settings, live=None, tolerance=None):
    """The Multipliers of q ≈ ratio·S + offset, channel by channel.

    ratio, offset, centre: float64 (C,); largest: integers (C,), the exact max|S|. C takes up the multiplier's
    error at S = centre: |q − (ratio·S + offset)| ≤ e·|S − centre| + 2^−(n+1), with e from error_bound. With a
    tolerance, a channel gets the fewest digits, and then the smallest n, for which stated_bound is within it over
    the sums between `live`, (first, last) float64 (2, C), into which the centre is moved.
    Raises ModelError for a ratio or a tolerance that no multiplier of settings.multiplier_bits reaches.
    """
    largest = [int(v) for v in largest]
    channels = zip(ratio.tolist(), offset.tolist(), centre.tolist(), largest, strict=True)
    if tolerance is None:
        found = [one_multiplier(*channel, settings) for channel in channels]
    else:
        ends = zip(channels, live.T.tolist(), strict=True)
        found = [smallest_multiplier(*channel, *between, tolerance, settings) for channel, between in ends]
    m, c, n = zip(*found, strict=True)
    return Multipliers(np.array(m, np.int64), np.array(c, np.int64), np.array(n, np.int64))


def one_multiplier(ratio, offset, centre, largest, settings):
    """(M, C, n) of one channel: the largest n that int32 holds while M keeps 10 bits, else the largest of all."""
    if ratio == 0:
        return switched_off(offset)
    candidates = []
    for n in range(largest_shift(ratio, settings), -1, -1):
        m = approximate(ratio, n, settings)
        c = constant(ratio, offset, centre, m, n)
        candidates.append((m, c, n))
        enough = settings.signed_digits == 1 or abs(m) >= min(LEAST_MULTIPLIER, abs(candidates[0][0]))
        if largest_product(largest, m, c, n) < INT32_LIMIT and enough:
            return reduced(m, c, n)
    for m, c, n in candidates:
        if largest_product(largest, m, c, n) < INT64_LIMIT:
            return reduced(m, c, n)
    raise ModelError(
        f"requantisation: found a step ratio {ratio:.3g} and offset {offset:.3g}, expected ones within "
        f"a multiplier of {settings.multiplier_bits} bits"
    )


def smallest_multiplier(ratio, offset, centre, largest, first, last, tolerance, settings):
    """(M, C, n) of one channel: of the fewest digits, and then of the smallest n, within the tolerance."""
    if ratio == 0:
        return switched_off(offset)
    centre = min(max(centre, first), last)
    reach = max(centre - first, last - centre)
    shifts = range(largest_shift(ratio, settings) + 1)
    for digits in (None,) if settings.signed_digits is None else range(1, settings.signed_digits + 1):
        for n, m in zip(shifts, approximations(ratio, shifts, digits, settings), strict=True):
            c = constant(ratio, offset, centre, m, n)
            fits = largest_product(largest, m, c, n) < INT64_LIMIT and abs(m) < width_limit(settings)
            if fits and stated_bound(ratio, m, n, reach) <= tolerance:
                return reduced(m, c, n)
    raise ModelError(
        f"requantisation: found no {settings.realisation} of {settings.multiplier_bits} bits within {tolerance:.3g} "
        f"steps for a step ratio {ratio:.3g} and offset {offset:.3g}, expected a larger max_error or multiplier_bits"
    )


def stated_bound(ratio, m, n, reach):
    """The bound on |(S·M + C)/2^n − (ratio·S + offset)| over every S with |S − centre| ≤ reach."""
    return abs(ratio - m / 2**n) * reach + 2.0 ** -(n + 1)


def live_sums(ratio, offset, ends, clip):
    """(first, last) float64 (2, C) of the sums S between `ends` whose output the clip does not decide.

    ends: (low, high) of S, each (C,). clip: (qmin, qmax). S·M + C only rises or only falls, as ratio·S + offset does,
    so that an error within a bound where the clip begins stays within it, once clipped, beyond.
    """
    bounds = np.array(clip, np.float64)[:, None] - offset
    cuts = np.divide(bounds, ratio, out=np.zeros_like(bounds), where=ratio != 0)
    return np.sort(np.clip(cuts, *ends), axis=0)


def switched_off(offset):
    """(M, C, n) of a channel that does not depend on S."""
    return 0, min(max(round(offset), -INT32_LIMIT // 2), INT32_LIMIT // 2), 0


def constant(ratio, offset, centre, m, n):
    """C, which takes up the error of M at the centre."""
    return round((offset + (ratio - m / 2**n) * centre) * 2**n)


def largest_product(largest, m, c, n):
    """The largest |S·M + C| with its rounding constant."""
    return largest * abs(m) + abs(c) + (1 << n >> 1)


def width_limit(settings):
    """The integer that |M| of settings.multiplier_bits stays below."""
    return 1 << (settings.multiplier_bits - 1)


def largest_shift(ratio, settings):
    """The largest n with |M| < 2^(multiplier_bits − 1); -1 where there is none."""
    n = min(settings.multiplier_bits - 1 - frexp(ratio)[1], MAX_SHIFT - 2)
    if settings.signed_digits == 1:
        n = min(n, max(SHIFT_FRACTION, -frexp(ratio)[1] + 1))
    while n >= 0 and abs(approximate(ratio, n, settings)) >= width_limit(settings):
        n -= 1
    return n


def approximate(ratio, n, settings):
    """The integer M nearest to ratio·2^n that has no more signed digits than the settings allow."""
    if settings.signed_digits is None:  # what approximations gives, without an array: lowering calls it most
        limit = 2 * width_limit(settings)
        return min(max(round(ratio * 2.0**n), -limit), limit)
    return approximations(ratio, [n], settings.signed_digits, settings)[0]


def approximations(ratio, shifts, digits, settings):
    """[M] nearest to ratio·2^n for each of the shifts; one bit wider than M may be, for none is to be cut."""
    targets = ratio * 2.0 ** np.asarray(shifts, np.float64)
    return nearest(targets, digits, 2 * width_limit(settings)).tolist()


def reduced(m, c, n):
    """(M, C, n) with the common factors of two taken out: the same quotient, so the same integer in every rounding."""
    while n > 0 and m % 2 == 0 and c % 2 == 0:
        m, c, n = m // 2, c // 2, n - 1
    return m, c, n


def error_bound(ratio, n, digits):
    """The bound on |ratio − M/2^n|: half a unit, and with K signed digits |ratio|/3^K more.

    The nearest power of two is at most a third of a number away from it, so each digit divides the rest by 3, and the
    nearest number of K digits is no farther.
    """
    half = 2.0 ** -(n + 1)
    return half if digits is None else half + abs(ratio) / 3**digits
