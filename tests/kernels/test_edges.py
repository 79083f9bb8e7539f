"""Real numbers become integers and real numbers again as in ONNX, whatever the shape, the type and the threads."""

import numpy as np
import pytest

from adderhw.kernels import Program, dequantise_step, quantise_step

SCALE = np.float32(0.037)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("shape", [(2, 3, 23, 45), (3, 1, 1, 512), (1, 5, 513, 1), (2, 4), (1, 1, 1, 1)])
def test_quantisation_rounds_half_to_even_and_clips(threads, dtype, shape):
    info = np.iinfo(dtype)
    zero_point, low, high = (info.min + info.max) // 2, info.min + 1, info.max - 3
    rng = np.random.default_rng(len(shape))
    x = (rng.integers(2 * low, 2 * high, shape) / np.float32(2) * SCALE).astype(np.float32)
    x.flat[0], x.flat[-1] = 1e30, -1e30
    out = np.zeros((*shape[:1], *shape[2:], shape[1]), dtype)
    step = quantise_step(x, SCALE, zero_point, low, high, out, planar=True)
    Program([step], threads).run()
    quotients = np.rint(x / SCALE).astype(np.float64)
    expected = np.clip(quotients + zero_point, low, high).astype(dtype)
    assert (np.moveaxis(out, -1, 1) == expected).all()
    assert {low, high} >= {out.flat[0], out.flat[-1]} or out.size == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_dequantisation_is_a_difference_times_the_scale(dtype):
    q = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 7)).astype(dtype)
    out = np.empty(q.shape, np.float32)
    Program([dequantise_step(q, SCALE, 5, out)]).run()
    assert (out == (q.astype(np.int32) - 5).astype(np.float32) * SCALE).all()
