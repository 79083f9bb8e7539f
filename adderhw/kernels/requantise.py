"""Requantisation: clip(round_shift(S·M + C, n), qmin, qmax), and when 32 bits hold all of it."""

from typing import NamedTuple

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.fixed import MAX_SHIFT, Rounding
from adderhw.kernels import compiled

MIN_RUN = 1024  # elements per requantisation loop: its set-up costs 100 ns, its body 0.25 ns per element
MAX_SHIFT_32 = 30


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
    out = np.empty(s.shape, out_dtype) if out is None else out
    if s.size == 0:
        return out
    if isinstance(requant, Requant):
        requant = pack_requant(requant, max(abs(int(s.max())), abs(int(s.min()))), out.dtype)
    compiled.requantise(s, *requant[1:], out)
    return out


def _residual_tables(requant_b, requant):
    """Arguments of compiled.residual between b and out; both tables must repeat after the same channels."""
    if requant_b is None:
        return *NO_REQUANT[1:], *requant[1:]
    channels = len(requant_b.requant.m), len(requant.requant.m)
    if channels[0] != channels[1]:
        raise AdderHwError(f"residual: found requantisations of {channels} channels, expected equal counts")
    return *requant_b[1:], *requant[1:]


def residual(a, b, requant_b, requant, out_dtype, out=None):
    """clip-and-shift of a residual sum in one pass: requantise(a + requantise(b, requant_b), requant).

    a, b: integers (…, channels), contiguous, equal shapes; requant_b (None: b is added as it is) and requant: from
    pack_requant, whose max_abs_s the caller answers for; every partial result must fit int32. One pass costs a
    quarter of three (requantise, add, requantise). Raises AdderHwError for unequal shapes or channel counts.
    """
    if a.shape != b.shape or not (a.flags.c_contiguous and b.flags.c_contiguous):
        raise AdderHwError(f"residual: found shapes {a.shape} and {b.shape}, expected equal ones, contiguous")
    out = np.empty(a.shape, out_dtype) if out is None else out
    compiled.residual(a, b, *_residual_tables(requant_b, requant), out)
    return out


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


def bind_requantise(shape, s_dtype, requant, out_dtype):
    """run(s, out=None) → out, which requantises s_dtype arrays of `shape` as `requantise` does, set up only once.

    requant: from pack_requant. `run` raises AdderHwError for an array of another shape, dtype or layout.
    """
    shape, s_dtype, out_dtype, constants = tuple(shape), np.dtype(s_dtype), np.dtype(out_dtype), requant[1:]
    like = (0,) * len(shape)
    call = compiled.entry_point(compiled.requantise, (np.empty(like, s_dtype), *constants, np.empty(like, out_dtype)))

    def run(s, out=None):
        if s.shape != shape or s.dtype != s_dtype or not s.flags.c_contiguous:
            raise refused("requantise", s, shape, s_dtype)
        out = output(out, shape, out_dtype)
        call(s, *constants, out)
        return out

    return run


def bind_residual(shape, a_dtype, b_dtype, requant_b, requant, out_dtype):
    """run(a, b, out=None) → out, which does what `residual` does to arrays of `shape`, set up only once.

    `run` raises AdderHwError for an array of another shape, dtype or layout.
    """
    shape, a_dtype, b_dtype, out_dtype = tuple(shape), np.dtype(a_dtype), np.dtype(b_dtype), np.dtype(out_dtype)
    constants = _residual_tables(requant_b, requant)
    a, b, out = (np.empty((0,) * len(shape), dtype) for dtype in (a_dtype, b_dtype, out_dtype))
    call = compiled.entry_point(compiled.residual, (a, b, *constants, out))

    def run(a, b, out=None):
        if a.shape != shape or a.dtype != a_dtype or not a.flags.c_contiguous:
            raise refused("residual", a, shape, a_dtype)
        if b.shape != shape or b.dtype != b_dtype or not b.flags.c_contiguous:
            raise refused("residual", b, shape, b_dtype)
        out = output(out, shape, out_dtype)
        call(a, b, *constants, out)
        return out

    return run
