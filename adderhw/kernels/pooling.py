"""Pooling windows and element-wise addition on integers, NHWC."""

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.kernels import compiled
from adderhw.kernels.geometry import Geometry
from adderhw.kernels.program import Program, make_step
from adderhw.kernels.requantise import output


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


def max_pool(x, kernel, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), out=None):
    """ONNX MaxPool (ceil_mode 0) of x (N, H, W, C), any integer dtype → same dtype; padding is never the maximum.

    kernel, strides, dilations: (h, w); pads: (top, left, bottom, right); out: a contiguous array to fill. Raises
    AdderHwError where the window does not fit, could lie wholly in padding, or where `out` does not fit.
    """
    _check_input(x)
    geometry = Geometry(tuple(strides), tuple(pads), tuple(dilations))
    geometry.check()
    if any(pad >= size for pad, size in zip(pads, (*kernel, *kernel), strict=True)):
        raise AdderHwError(f"max_pool: found pads {pads}, expected each below the kernel {kernel}")
    out_hw = geometry.output_hw(x.shape[1], x.shape[2], *kernel)
    if any(pads):
        top, left, bottom, right = pads
        lowest = np.iinfo(x.dtype).min
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=lowest)
    unpadded = geometry._replace(pads=(0, 0, 0, 0))
    out = output(out, (x.shape[0], *out_hw, x.shape[3]), x.dtype)
    first, *others = _windows(x, kernel, unpadded)
    np.copyto(out, first)
    for window in others:
        np.maximum(out, window, out=out)
    return out


def sum_pool(x, kernel, strides=(1, 1), out_dtype=None, out=None):
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
    batch, height, width, channels = x.shape
    if tuple(kernel) == (height, width):
        out = output(out, (batch, 1, 1, channels), out_dtype)
        Program([sum_image_step(np.ascontiguousarray(x), out)]).run()
        return out
    geometry = Geometry(tuple(strides))
    geometry.check()
    out = output(out, (batch, *geometry.output_hw(height, width, *kernel), channels), out_dtype)
    out[:] = 0
    for window in _windows(x, kernel, geometry):
        out += window
    return out


def sum_image_step(x, out):
    """The Step that sums each whole image: x (N, H, W, C), contiguous integers → out (N, 1, 1, C), int32 or int64."""
    batch, height, width, channels = x.shape
    code = compiled.sum_pixels_step(x.dtype.type, out.dtype.type)
    return make_step(code, batch, x.reshape(-1), out.reshape(-1), height * width, channels)


def add(a, b, out_dtype=np.int32, out=None):
    """a + b element by element, both widened to out_dtype (int32 or int64) first; shapes must be equal.

    Raises AdderHwError for unequal shapes, or where `out` does not fit.
    """
    if a.shape != b.shape:
        raise AdderHwError(f"add: found shapes {a.shape} and {b.shape}, expected equal shapes")
    out = output(out, a.shape, np.dtype(out_dtype))
    return np.add(
        a, b, out=out, dtype=out_dtype, casting="same_kind" if a.dtype.kind == b.dtype.kind == "i" else "unsafe"
    )
