"""Fixed-point formats, the four rounding modes and exact integer bounds (the numeric contract, docs/numerics.md)."""

from dataclasses import dataclass
from enum import IntEnum
from math import isfinite

import numpy as np

from adderhw.errors import ModelError

MIN_BITS, MAX_BITS = 2, 16
MAX_SHIFT = 62


class Rounding(IntEnum):
    """How t / 2^n becomes an integer; the truth tables are in docs/numerics.md."""

    FLOOR = 0
    HALF_UP = 1
    HALF_EVEN = 2
    HALF_AWAY = 3

    @classmethod
    def parse(cls, text):
        """The mode called `text` ('floor', 'half_up', 'half_even', 'half_away'); raises ModelError."""
        names = [mode.name.lower() for mode in cls]
        if text not in names:
            raise ModelError(f"rounding: found {text!r}, expected one of {', '.join(names)}")
        return cls[text.upper()]


@dataclass(frozen=True)
class Format:
    """An integer tensor format: real = scale * (integer - zero_point).

    bits: width, 2…16 for tensors between layers, up to 64 for sums. signed: two's complement.
    scale: float64 > 0, or None where the file states none. zero_point: integer inside the range.
    Raises ModelError for a width, scale or zero point outside its range.
    """

    bits: int
    signed: bool
    scale: float | None = None
    zero_point: int = 0

    def __post_init__(self):
        if not 1 <= self.bits <= 64:
            raise ModelError(f"format: found {self.bits} bits, expected 1 to 64")
        if self.scale is not None and not (isfinite(self.scale) and self.scale > 0):
            raise ModelError(f"format: found scale {self.scale}, expected a finite number above 0")
        if not self.min <= self.zero_point <= self.max:
            raise ModelError(f"format: found zero point {self.zero_point}, expected {self.min} to {self.max}")

    @property
    def min(self):
        """The smallest integer of the format."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self):
        """The largest integer of the format."""
        return (1 << (self.bits - 1 if self.signed else self.bits)) - 1

    @property
    def dtype(self):
        """The smallest numpy dtype of uint8, int8, uint16, int16, int32, int64 that holds the format."""
        return storage_dtype(self.min, self.max)

    @property
    def name(self):
        """'uint8', 'int12', …: signedness and width, as QONNX writes them."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"


def storage_dtype(low, high):
    """The smallest of uint8, int8, uint16, int16, int32, int64 that holds every integer in [low, high]."""
    for dtype in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64):
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return np.dtype(dtype)
    raise ModelError(f"integers from {low} to {high}: found no storage of 64 bits or fewer that holds them")


def bits_for(low, high):
    """(bits, signed) of the narrowest format that holds every integer in [low, high]."""
    if low >= 0:
        return max(1, int(high).bit_length()), False
    return max(max(0, int(high)).bit_length(), (-int(low) - 1).bit_length()) + 1, True


def round_shift(t, n, rounding):
    """t / 2^n rounded to an integer; t: int64 array, n: int64 array or int in [0, 62], |t| < 2^62.

    Exact for every t in range; `rounding` is a Rounding. Returns int64 of the broadcast shape.
    """
    t, n = np.asarray(t, np.int64), np.asarray(n, np.int64)
    if rounding == Rounding.FLOOR:
        return t >> n
    half = (np.int64(1) << n) >> 1
    if rounding == Rounding.HALF_UP:
        return (t + half) >> n
    shifted = (n > 0).astype(np.int64)
    if rounding == Rounding.HALF_EVEN:
        return (t + half - shifted + (shifted & (t >> n))) >> n
    if rounding == Rounding.HALF_AWAY:
        return (t + half - (shifted & (t < 0))) >> n
    raise ModelError(f"rounding: found {rounding!r}, expected a Rounding")
