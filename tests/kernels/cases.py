"""Random convolutions for hypothesis, and the oracles' layout (NCHW) next to the kernels' (NHWC)."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from adderhw.fixed import Format
from adderhw.kernels import Geometry

WIDTHS = st.integers(2, 16)


class Case(NamedTuple):
    """x (N, C, H, W) and w (O, C/groups, kh, kw) in one format, with the geometry of a window that fits."""

    x: np.ndarray
    w: np.ndarray
    geometry: Geometry
    format: Format


def nhwc(x):
    """(N, C, H, W) → contiguous (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def nchw(y):
    """(N, H, W, C) → (N, C, H, W)."""
    return y.transpose(0, 3, 1, 2)


@st.composite
def values(draw, shape, format):
    """Integers of the format: random, all lowest, all highest, or only the two edges."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    fill = draw(st.sampled_from(["random", "random", "low", "high", "edges"]))
    if fill == "low":
        return np.full(shape, format.min, format.dtype)
    if fill == "high":
        return np.full(shape, format.max, format.dtype)
    if fill == "edges":
        return rng.choice([format.min, format.max], shape).astype(format.dtype)
    return rng.integers(format.min, format.max + 1, shape).astype(format.dtype)


@st.composite
def convolutions(draw, bits=WIDTHS):
    """Small convolutions of every kind: groups, depthwise, strides, dilations, asymmetric pads, tails."""
    small = st.integers(1, 3)
    strides, dilations, kernel = (
        draw(st.tuples(small, small)),
        draw(st.tuples(small, small)),
        draw(st.tuples(small, small)),
    )
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    groups, group_channels = draw(st.sampled_from([(1, 1), (1, 3), (1, 8), (1, 17), (2, 4), (3, 2), (4, 1), (2, 8)]))
    outputs = groups * draw(st.sampled_from([1, 2, 5, 8] if groups > 1 else [1, 3, 8, 9, 16, 19, 61, 64]))
    smallest = [
        max(1, d * (k - 1) + 1 - pads[i] - pads[i + 2]) for i, (d, k) in enumerate(zip(dilations, kernel, strict=True))
    ]
    height, width = (size + draw(st.integers(0, 4)) for size in smallest)
    batch = draw(st.integers(1, 2))
    format = Format(draw(bits), draw(st.booleans()))
    x = draw(values((batch, groups * group_channels, height, width), format))
    w = draw(values((outputs, group_channels, *kernel), format))
    return Case(x, w, Geometry(strides, pads, dilations, groups), format)


@st.composite
def requants(draw, channels, largest, shifts):
    """Per-channel m, c, n with |S·M + C| < 2^62 for |S| ≤ largest, exact ties among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    limit = min(2**20, 2**60 // max(largest, 1))
    n = rng.integers(0, draw(shifts) + 1, channels)
    m = rng.integers(-limit, limit + 1, channels)
    c = rng.integers(-(2**20), 2**20, channels) + (np.int64(1) << n >> 1)
    if draw(st.booleans()):  # small results, so that the clip hides no tie
        return m % 15 - 7, c % 64 - 32, np.minimum(n, 4)
    return m, c, n
