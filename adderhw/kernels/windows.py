"""Machine code of pooling: the largest, or the sum, of each window of an image."""

from functools import cache

import numpy as np
from numba import carray, cfunc

from adderhw.kernels.compiled import FRAME, STEP, pointer


@cache
def window_step(largest, x_dtype, out_dtype):
    """Machine code of the largest (else the sum) of each window's elements inside the image; a unit is an output row.

    Frame: (address, size) of x (N, H, W, C) and out (N, H', W', C), then H, W, C, H', W', and of rows and columns each
    the kernel, stride, dilation and the padding before. First every column of the window's rows becomes one, in loops
    over whole rows, then these become the outputs.
    """
    info = np.iinfo(out_dtype)
    start = out_dtype(info.min if largest else 0)

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        x, out = carray(pointer(f[0]), (f[1],), x_dtype), carray(pointer(f[2]), (f[3],), out_dtype)
        height, width, channels, rows, columns = f[4], f[5], f[6], f[7], f[8]
        taps_down, stride_down, dilation_down, top = f[9], f[10], f[11], f[12]
        taps_across, stride_across, dilation_across, left = f[13], f[14], f[15], f[16]
        size = width * channels
        line = np.empty(size, out_dtype)
        for unit in range(first, last):
            line[:] = start
            image, row = unit // rows, unit % rows
            for tap in range(taps_down):
                y = row * stride_down + tap * dilation_down - top
                if 0 <= y < height:
                    pixels = x[(image * height + y) * size : (image * height + y + 1) * size]
                    for i in range(size):
                        old, new = line[i], out_dtype(pixels[i])
                        if largest:
                            line[i] = new if new > old else old
                        else:
                            line[i] = old + new
            for column in range(columns):
                sums = out[(unit * columns + column) * channels : (unit * columns + column + 1) * channels]
                sums[:] = start
                for tap in range(taps_across):
                    z = column * stride_across + tap * dilation_across - left
                    if 0 <= z < width:
                        pixel = line[z * channels : (z + 1) * channels]
                        for c in range(channels):
                            old, new = sums[c], pixel[c]
                            if largest:
                                sums[c] = new if new > old else old
                            else:
                                sums[c] = old + new

    return step
