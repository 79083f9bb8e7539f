"""Pooling windows and element-wise addition on integers, NHWC."""

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.kernels.geometry import Geometry


def _windows(x, kernel, geometry):
    """Yields each tap's view of x, one strided slice (N, H', W', C) per kernel element."""
    out_h, out_w = geometry.output_hw(x.shape[1], x.shape[2], *kernel)
    (sh, sw), (dh, dw) = geometry.strides, geometry.dilations
    for a, b in np.ndindex(*kernel):
        row, column = a * dh, b * dw
        yield x[:, row : row + (out_h - 1) * sh + 1 : sh, column : column + (out_w - 1) * sw + 1 : sw]


def _check_input(x):
    if x.ndim != 4 or x.dtype.kind not in "iu":
        raise AdderHwError(f"pooling: found {x.dtype} of shape {x.shape}, expected integers (N, H, W, C)")


def max_pool(x, kernel, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1)):
    """ONNX MaxPool (ceil_mode 0) of x (N, H, W, C), any integer dtype → same dtype; padding is never the maximum.

    kernel, strides, dilations: (h, w); pads: (top, left, bottom, right). Raises AdderHwError where the window does
    not fit, or where a window could lie wholly in padding.
    """
    _check_input(x)
    geometry = Geometry(tuple(strides), tuple(pads), tuple(dilations))
    geometry.check()
    if any(pad >= size for pad, size in zip(pads, (*kernel, *kernel), strict=True)):
        raise AdderHwError(f"max_pool: found pads {pads}, expected each below the kernel {kernel}")
    geometry.output_hw(x.shape[1], x.shape[2], *kernel)
    if any(pads):
        top, left, bottom, right = pads
        lowest = np.iinfo(x.dtype).min
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=lowest)
    unpadded = geometry._replace(pads=(0, 0, 0, 0))
    out = None
    for window in _windows(x, kernel, unpadded):
        out = np.maximum(out, window, out=out) if out is not None else window.copy()
    return np.ascontiguousarray(out)


def sum_pool(x, kernel, strides=(1, 1), out_dtype=None):
    """Sum over kernel (h, w) windows of x (N, H, W, C) without padding → int32, or int64 where int32 may overflow.

    The choice rests on the dtype's exact bound kh·kw·max|x|. Raises AdderHwError where the window does not fit or
    `out_dtype` cannot hold the bound.
    """
    _check_input(x)
    info = np.iinfo(x.dtype)
    bound = kernel[0] * kernel[1] * max(int(info.max), -int(info.min))
    needed = np.int32 if bound < 2**31 else np.int64
    out_dtype = np.dtype(out_dtype or needed)
    if out_dtype not in (np.int32, np.int64):
        raise AdderHwError(f"sum_pool: found out_dtype {out_dtype}, expected int32 or int64")
    if tuple(kernel) == x.shape[1:3]:
        pixels = x.reshape(x.shape[0], -1, x.shape[3])  # one axis to reduce: half the time of two
        return np.add.reduce(pixels, axis=1, dtype=out_dtype, keepdims=True)[:, None]
    geometry = Geometry(tuple(strides))
    geometry.check()
    out = np.zeros((x.shape[0], *geometry.output_hw(x.shape[1], x.shape[2], *kernel), x.shape[3]), out_dtype)
    for window in _windows(x, kernel, geometry):
        out += window
    return out


def add(a, b, out_dtype=np.int32):
    """a + b element by element, both widened to out_dtype (int32 or int64) first; shapes must be equal.

    Raises AdderHwError for unequal shapes.
    """
    if a.shape != b.shape:
        raise AdderHwError(f"add: found shapes {a.shape} and {b.shape}, expected equal shapes")
    return np.add(a, b, dtype=out_dtype, casting="same_kind" if a.dtype.kind == b.dtype.kind == "i" else "unsafe")
