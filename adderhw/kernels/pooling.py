"""Pooling windows and element-wise addition on integers, NHWC."""

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.kernels.geometry import Geometry
from adderhw.kernels.program import Program, make_step
from adderhw.kernels.requantise import output, refused
from adderhw.kernels.windows import window_step

SHARED_BYTES = 16 * 1024  # of x that a thread pools at once: a microsecond's work, for taking it costs a tenth of one


def _checked(x, kernel, geometry):
    """x (N, H, W, C), contiguous, and the shape of its pooling; raises AdderHwError for what cannot be pooled."""
    if x.ndim != 4 or x.dtype.kind not in "iu":
        raise AdderHwError(f"pooling: found {x.dtype} of shape {x.shape}, expected integers (N, H, W, C)")
    geometry.check()
    return np.ascontiguousarray(x), (len(x), *geometry.output_hw(x.shape[1], x.shape[2], *kernel), x.shape[3])


def max_pool(x, kernel, strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), out=None):
    """ONNX MaxPool (ceil_mode 0) of x (N, H, W, C), any integer dtype → same dtype; padding is never the maximum.

    kernel, strides, dilations: (h, w); pads: (top, left, bottom, right); out: a contiguous array to fill. Raises
    AdderHwError where a pad is as large as the kernel, a window does not fit or lies wholly in padding, or `out` does
    not fit.
    """
    geometry = Geometry(tuple(strides), tuple(pads), tuple(dilations))
    x, shape = _checked(x, kernel, geometry)
    if any(pad >= size for pad, size in zip(pads, (*kernel, *kernel), strict=True)):
        raise AdderHwError(f"max_pool: found pads {pads}, expected each below the kernel {kernel}")
    for axis in (0, 1):
        starts = np.arange(shape[1 + axis])[:, None] * strides[axis] - pads[axis]
        elements = starts + np.arange(kernel[axis]) * dilations[axis]
        if not ((elements >= 0) & (elements < x.shape[1 + axis])).any(axis=1).all():
            raise AdderHwError(f"max_pool: found pads {pads}, expected an element of the image in each window")
    out = output(out, shape, x.dtype)
    Program([max_pool_step(x, kernel, geometry, out)]).run()
    return out


def max_pool_step(x, kernel, geometry, out):
    """The Step of max_pool; x, out: contiguous, of one dtype. The caller answers for windows that reach the image."""
    return _window_step(True, x, kernel, geometry, out)


def sum_pool(x, kernel, strides=(1, 1), out_dtype=None, out=None):
    """Sum over kernel (h, w) windows of x (N, H, W, C) without padding → int32, or int64 where int32 may overflow.

    The choice rests on the dtype's exact bound kh·kw·max|x|. Raises AdderHwError where the window does not fit or
    `out_dtype` cannot hold the bound.
    """
    geometry = Geometry(tuple(strides))
    x, shape = _checked(x, kernel, geometry)
    info = np.iinfo(x.dtype)
    bound = kernel[0] * kernel[1] * max(int(info.max), -int(info.min))
    needed = np.int32 if bound < 2**31 else np.int64
    out_dtype = np.dtype(out_dtype or needed)
    if out_dtype not in (np.int32, np.int64):
        raise AdderHwError(f"sum_pool: found out_dtype {out_dtype}, expected int32 or int64")
    out = output(out, shape, out_dtype)
    Program([sum_pool_step(x, kernel, geometry, out)]).run()
    return out


def sum_pool_step(x, kernel, geometry, out):
    """The Step of sum_pool; x: contiguous; out: contiguous, int32 or int64, whose range the caller answers for."""
    return _window_step(False, x, kernel, geometry, out)


def _window_step(largest, x, kernel, geometry, out):
    shape = (len(x), *geometry.output_hw(*x.shape[1:3], *kernel), x.shape[3])
    if not x.flags.c_contiguous:
        raise refused("pooling", x, x.shape, "integers")
    output(out, shape, x.dtype if largest else out.dtype)
    axes = zip(kernel, geometry.strides, geometry.dilations, geometry.pads[:2], strict=True)
    numbers = [number for axis in axes for number in axis]
    code = window_step(largest, x.dtype.type, out.dtype.type)
    arrays, sizes = (x.reshape(-1), out.reshape(-1)), (*x.shape[1:], *shape[1:3])
    units = shape[0] * shape[1]
    grain = max(1, SHARED_BYTES * units // max(x.nbytes, 1))
    return make_step(code, units, *arrays, *sizes, *numbers, grain=grain)


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
