"""Pending values: real = a·S + b per channel of integer sums S; batch norm, bias, ReLU and clip fold into them."""

from dataclasses import dataclass, replace

import numpy as np

from adderhw.fixed import Format


@dataclass(frozen=True)
class Quantised:
    """An integer activation on a grid: real ≈ format.scale·(q − format.zero_point)."""

    name: str
    format: Format


@dataclass(frozen=True)
class Pending:
    """Integers that no grid holds yet: real ≈ clip(a·S + b, low, high), per channel (axis 1).

    name: the integer tensor S. a, b, centre: float64 (C,); centre is the mean of S on calibration images.
    """

    name: str
    a: np.ndarray
    b: np.ndarray
    centre: np.ndarray
    low: float = -np.inf
    high: float = np.inf

    @property
    def is_affine(self):
        """Whether nothing was clipped yet, so that more can be folded."""
        return self.low == -np.inf and self.high == np.inf


def pending(name, a, b, mean):
    """A Pending whose real mean per channel is `mean`; a, b: scalars or (C,)."""
    a, b = (np.broadcast_to(np.asarray(v, np.float64), np.shape(mean)).copy() for v in (a, b))
    centre = np.divide(mean - b, a, out=np.zeros_like(a), where=a != 0)
    return Pending(name, a, b, centre)


def corrected(value, correction):
    """value + correction, of a Pending whose mean is right afterwards: S̄ is what it is without the correction."""
    return replace(value, b=value.b + correction, centre=value.centre - correction / np.where(value.a, value.a, np.inf))


def taken(value, name, channels):
    """Some channels of a Pending, whose integers are the tensor `name`."""
    return replace(value, name=name, a=value.a[channels], b=value.b[channels], centre=value.centre[channels])


def scaled(value, factor, offset):
    """factor·value + offset per channel, exactly in float64: y = factor·(a·S + b) + offset."""
    return replace(value, a=value.a * factor, b=value.b * factor + offset)


def batch_norm(value, gamma, beta, mean, variance, epsilon):
    """γ·(x − μ)/√(σ² + ε) + β of a Pending (ONNX BatchNormalization, inference)."""
    factor = gamma / np.sqrt(variance + epsilon)
    return scaled(value, factor, beta - mean * factor)


def clipped(value, low, high):
    """clip(value, low, high), on top of what was clipped before."""
    return replace(value, low=min(max(value.low, low), high), high=max(min(value.high, high), low))
