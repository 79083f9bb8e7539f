"""A tensor of the graph as it is known before anything runs: shape, dtype, format and exact integer range."""

from dataclasses import dataclass
from math import prod

import numpy as np

from adderhw.fixed import Format, bits_for


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor.

    shape: ONNX layout; None stands for the batch axis of an activation, parameters have all sizes.
    dtype: numpy dtype it is stored in. format: its fixed-point format, None for float tensors at the edges.
    low, high: int64 arrays, the exact bounds of its integers, of shape () or one entry per channel (axis 1).
    value: the read-only array of a parameter, else None.
    planar: whether an activation of rank 4 lies in memory as ONNX has it (N, C, H, W), as images enter a network;
    all others lie channels last (N, H, W, C), and an op reads a planar one only if it says so (Op.reads_planar).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    format: Format | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    value: np.ndarray | None = None
    planar: bool = False

    @property
    def is_float(self):
        """Whether the tensor lies outside the integer part of the graph."""
        return self.format is None

    @property
    def elements(self):
        """Elements per image (per parameter: in all)."""
        return prod(size for size in self.shape if size is not None)

    @property
    def lowest(self):
        """The exact lower bound over all channels, a Python integer."""
        return int(np.min(self.low))

    @property
    def highest(self):
        """The exact upper bound over all channels, a Python integer."""
        return int(np.max(self.high))


def integer_tensor(name, shape, dtype, low, high, value=None):
    """A Tensor whose format is the narrowest that holds [low, high], with no scale stated."""
    low, high = np.asarray(low, np.int64), np.asarray(high, np.int64)
    bits, signed = bits_for(int(low.min()), int(high.max()))
    return Tensor(name, tuple(shape), np.dtype(dtype), Format(bits, signed), low, high, value)
