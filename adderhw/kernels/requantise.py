"""Requantisation: clip(round_shift(S·M + C, n), qmin, qmax), and when 32 bits hold all of it."""

from typing import NamedTuple

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.fixed import MAX_SHIFT, Rounding
from adderhw.kernels import compiled
from adderhw.kernels.program import Program, make_step

SHARED_TABLES = 4  # units of a Step that a thread takes at once: a microsecond's work, for taking costs a tenth of one
MIN_RUN = 1024  # elements per requantisation loop: its set-up costs 100 ns, its body 0.25 ns per element
MAX_SHIFT_32 = 30
UNSIGNED = {1: np.uint8, 2: np.uint16}


class Requant(NamedTuple):
    """Per-channel multiplier m, offset c and shift n (int64, shape (channels,)), a Rounding and the clip range."""

    m: np.ndarray
    c: np.ndarray
    n: np.ndarray
    rounding: int
    qmin: int
    qmax: int


class Accumulator(NamedTuple):
    """A sum register: `bits` wide (0: exact), saturating at its largest value or wrapping."""

    bits: int = 0
    saturate: bool = False


class Tables(NamedTuple):
    """A Requant laid out for the compiled loops: int32 or int64 rows m, c, n, half, even mask, away mask;
    the channels repeat so that one loop spans several positions."""

    requant: Requant | None
    mode: int  # 0 none, 1 int32, 2 int64
    corrected: int
    qmin: int
    qmax: int
    table32: np.ndarray
    table64: np.ndarray


def _largest(max_abs_s, requant, halves):
    """Largest |S·M + C| + halves·(2^n / 2) over the channels, as a Python integer."""
    m, c, n = (np.asarray(values).tolist() for values in (requant.m, requant.c, requant.n))
    bounds = np.broadcast_to(np.asarray(max_abs_s, object), (len(m),))
    return max(int(s) * abs(a) + abs(b) + halves * (1 << k >> 1) for s, a, b, k in zip(bounds, m, c, n, strict=True))


def requant_fits_int32(max_abs_s, requant):
    """Whether int32 holds every step of `requant` for sums of at most max_abs_s (one integer or one per channel).

    True where max|S|·|M| + |C| + 2^n / 2 < 2^31 in every channel, n ≤ 30 and S, M, C, the clip range fit int32.
    """
    small = all(-(2**31) <= q < 2**31 for q in (requant.qmin, requant.qmax))
    small &= max(np.asarray(max_abs_s, object).max(initial=0), np.abs(requant.m).max(initial=0)) < 2**31
    return bool(small and np.max(requant.n) <= MAX_SHIFT_32 and _largest(max_abs_s, requant, 1) < 2**31)


def check_requant(requant, channels, max_abs_s, out_dtype):
    """Raises AdderHwError where `requant` is malformed, does not fit int64, or clips outside out_dtype."""
    if requant.rounding not in tuple(Rounding):
        raise AdderHwError(f"requantise: found rounding {requant.rounding!r}, expected a Rounding")
    shapes = [np.shape(values) for values in requant[:3]]
    if shapes != [(channels,)] * 3:
        raise AdderHwError(f"requantise: found shapes {shapes}, expected m, c, n of shape ({channels},)")
    if np.min(requant.n) < 0 or np.max(requant.n) > MAX_SHIFT:
        raise AdderHwError(
            f"requantise: found shifts {requant.n.min()} to {requant.n.max()}, expected 0 to {MAX_SHIFT}"
        )
    largest = _largest(max_abs_s, requant, 0)
    if largest >= 2**62:
        raise AdderHwError(f"requantise: found |S·M + C| up to {largest}, expected less than 2^62")
    info = np.iinfo(out_dtype)
    if not info.min <= requant.qmin <= requant.qmax <= info.max:
        raise AdderHwError(f"requantise: found clip {requant.qmin} to {requant.qmax}, expected a range in {info.dtype}")


NO_TABLE = (np.zeros((6, 1), np.int32), np.zeros((6, 1), np.int64))
NO_REQUANT = Tables(None, 0, 0, 0, 0, *NO_TABLE)


def pack_tables(requant, fits_int32, repeats):
    """Tables of `requant` with its channels repeated, so that one compiled loop spans several positions."""
    m, c, n = (np.asarray(values, np.int64) for values in requant[:3])
    half, shifted = (np.int64(1) << n) >> 1, (n > 0).astype(np.int64)
    zero = np.zeros_like(n)
    even = shifted if requant.rounding == Rounding.HALF_EVEN else zero
    away = -shifted if requant.rounding == Rounding.HALF_AWAY else zero
    corrected = int(requant.rounding in (Rounding.HALF_EVEN, Rounding.HALF_AWAY))
    if requant.rounding == Rounding.HALF_UP:
        c = c + half
    rows = np.tile(np.stack([m, c, n, half - even, even, away]), repeats)
    if fits_int32:
        return Tables(requant, 1, corrected, requant.qmin, requant.qmax, rows.astype(np.int32), NO_TABLE[1])
    return Tables(requant, 2, corrected, requant.qmin, requant.qmax, NO_TABLE[0], rows)


def pack_requant(requant, max_abs_s, out_dtype):
    """`requant` checked and laid out once for sums of at most max_abs_s, for repeated calls of `requantise`.

    Raises AdderHwError for a malformed Requant, |S·M + C| of 2^62 or more or a clip range outside out_dtype.
    """
    channels = len(requant.m)
    check_requant(requant, channels, max_abs_s, out_dtype)
    return pack_tables(requant, requant_fits_int32(max_abs_s, requant), -(-MIN_RUN // channels))


def requantise(s, requant, out_dtype, out=None):
    """Requantised s: integers (…, channels) → out_dtype of the same shape (into `out` where given).

    requant: a Requant, or what pack_requant made of one (the caller then answers for its max_abs_s). Exact: int32
    arithmetic where the largest |s| allows it, else int64. Raises AdderHwError as pack_requant.
    """
    s = np.ascontiguousarray(s)
    out = output(out, s.shape, np.dtype(out_dtype))
    if s.size == 0:
        return out
    if isinstance(requant, Requant):
        requant = pack_requant(requant, max(abs(int(s.max())), abs(int(s.min()))), out.dtype)
    Program([requantise_step(s, requant, out)]).run()
    return out


def requantise_step(s, requant, out):
    """The Step that requantises s into out, contiguous and of one shape; requant: from pack_requant.

    Raises AdderHwError where the arrays do not fit.
    """
    _check_contiguous("requantise", s.shape, s)
    output(out, s.shape, out.dtype)
    tables = requant.table32, requant.table64
    out = unsigned(out)
    code = compiled.requantise_step(s.dtype.type, out.dtype.type)
    flat = s.reshape(-1), out.reshape(-1)
    return make_step(code, _table_lengths(s, requant), *flat, *tables, *requant[1:5], grain=SHARED_TABLES)


def residual_step(a, b, requant_b, requant, out):
    """The Step of a residual sum in one pass: out = requantise(a + requantise(b, requant_b), requant).

    a, b, out: integers (…, channels), contiguous, equal shapes; requant_b (None: b is added as it is) and requant:
    from pack_requant, whose max_abs_s the caller answers for; every partial result must fit int32. One pass costs a
    quarter of three (requantise, add, requantise). Raises AdderHwError for unequal shapes or channel counts.
    """
    _check_contiguous("residual", a.shape, a, b)
    output(out, a.shape, out.dtype)
    requant_b = requant_b or NO_REQUANT
    channels = [len(packed.requant.m) for packed in (requant_b, requant) if packed.requant]
    if len(set(channels)) > 1:
        raise AdderHwError(f"residual: found requantisations of {channels} channels, expected equal counts")
    tables = requant_b.table32, requant_b.table64, requant.table32, requant.table64
    out = unsigned(out)
    code = compiled.residual_step(a.dtype.type, b.dtype.type, out.dtype.type)
    flat = [array.reshape(-1) for array in (a, b, out)]
    units = _table_lengths(a, requant)
    return make_step(code, units, *flat, *tables, *requant_b[1:5], *requant[1:5], grain=SHARED_TABLES)


def residual(a, b, requant_b, requant, out_dtype, out=None):
    """What residual_step does, at once; returns `out`, or a new array of out_dtype."""
    out = output(out, a.shape, np.dtype(out_dtype))
    Program([residual_step(a, b, requant_b, requant, out)]).run()
    return out


def unsigned(array):
    """A view of one- and two-byte integers as unsigned ones, so that the same machine code serves both."""
    return array.view(UNSIGNED[array.dtype.itemsize]) if array.dtype.itemsize in UNSIGNED else array


def _table_lengths(array, requant):
    """How many tables of `requant` it takes to requantise `array`: the units of a Step."""
    return -(-array.size // max(requant.table32.shape[1], requant.table64.shape[1]))


def _check_contiguous(name, shape, *arrays):
    for array in arrays:
        if array.shape != shape or not array.flags.c_contiguous:
            raise refused(name, array, shape, "integers")


def refused(name, array, shape, dtype):
    """The AdderHwError for an array that is not contiguous or not of this shape and dtype."""
    layout = "" if array.flags.c_contiguous else ", not contiguous"
    return AdderHwError(f"{name}: found {array.dtype} {array.shape}{layout}, expected contiguous {dtype} {shape}")


def output(out, shape, dtype):
    """`out`, or a new array where it is None; raises AdderHwError unless it is of this shape and dtype, contiguous
    and writeable."""
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        raise AdderHwError(f"out: found {out.dtype} {out.shape}, expected {dtype} {shape}, contiguous and writeable")
    return out
