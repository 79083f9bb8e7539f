"""Where real numbers become integers and integers real numbers."""

import numpy as np

from adderhw.kernels import compiled
from adderhw.kernels.program import make_step


def quantise_step(x, scale, zero_point, low, high, out, *, planar):
    """The Step of out = clip(round_half_even(x / scale) + zero_point, low, high) (ONNX QuantizeLinear, per tensor).

    x: float32, (N, C, …) if planar, else channels last (N, …, C); out: integers of at most 16 bits, channels last; both
    contiguous. scale: float32.
    The quotient is rounded in float32, which holds every integer of 16 bits, so nothing is lost before the cast.
    """
    channels = x.shape[1] if planar else 1  # channels last already: element by element
    pixels = x.size // max(1, len(x) * channels)
    values = x.reshape(-1), out.reshape(-1)
    code, scale = compiled.quantise_step(out.dtype.type), np.array([scale], np.float32)
    units = len(x) * -(-pixels // compiled.BAND)
    return make_step(code, units, *values, pixels, channels, zero_point, low, high, scale)


def dequantise_step(q, scale, zero_point, out):
    """The Step of out = (q − zero_point)·scale (ONNX DequantizeLinear, per tensor); contiguous, of one shape."""
    code, scale = compiled.dequantise_step(q.dtype.type), np.array([scale], np.float32)
    return make_step(code, 1, q.reshape(-1), out.reshape(-1), zero_point, scale)


def copy_step(source, target):
    """The Step that copies one contiguous array's bytes to another of the same size."""
    return make_step(compiled.copy_step(), 1, source.reshape(-1).view(np.uint8), target.reshape(-1).view(np.uint8))
