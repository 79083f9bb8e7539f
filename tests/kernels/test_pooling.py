"""Pooling and addition equal plain Python loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adderhw.errors import AdderHwError
from adderhw.kernels import Geometry, Program, add, max_pool, max_pool_step, sum_pool, sum_pool_step


def windows(x, kernel, strides, pads, dilations):
    """Yields (n, i, j, c, [elements inside x])."""
    batch, height, width, channels = x.shape
    out_h = (height + pads[0] + pads[2] - dilations[0] * (kernel[0] - 1) - 1) // strides[0] + 1
    out_w = (width + pads[1] + pads[3] - dilations[1] * (kernel[1] - 1) - 1) // strides[1] + 1
    for n, i, j, c in np.ndindex(batch, out_h, out_w, channels):
        rows = [i * strides[0] - pads[0] + a * dilations[0] for a in range(kernel[0])]
        columns = [j * strides[1] - pads[1] + b * dilations[1] for b in range(kernel[1])]
        inside = [(r, k) for r in rows for k in columns if 0 <= r < height and 0 <= k < width]
        yield (n, i, j, c), [int(x[n, r, k, c]) for r, k in inside]


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999), kernel=pairs, strides=pairs, dilations=pairs, data=st.data(),
    dtype=st.sampled_from([np.uint8, np.int8, np.int16, np.int32]),
)  # fmt: skip
def test_max_pool_ignores_padding(seed, kernel, strides, dilations, data, dtype):
    pads = tuple(data.draw(st.integers(0, kernel[side % 2] - 1)) for side in range(4))
    info = np.iinfo(dtype)
    x = np.random.default_rng(seed).integers(info.min, info.max + 1, (2, 8, 7, 3)).astype(dtype)
    pooled = max_pool(x, kernel, strides, pads, dilations)
    assert pooled.dtype == dtype
    for at, elements in windows(x, kernel, strides, pads, dilations):
        assert pooled[at] == max(elements)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), kernel=pairs, strides=pairs, dtype=st.sampled_from([np.uint8, np.int16, np.int32]))
def test_sum_pool_equals_the_definition(seed, kernel, strides, dtype):
    info = np.iinfo(dtype)
    x = np.random.default_rng(seed).integers(info.min, info.max + 1, (2, 5, 6, 3)).astype(dtype)
    pooled = sum_pool(x, kernel, strides)
    for at, elements in windows(x, kernel, strides, (0, 0, 0, 0), (1, 1)):
        assert pooled[at] == sum(elements)


def test_sum_pool_over_the_whole_image_is_one_pixel():
    x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert (sum_pool(x, (4, 4))[:, 0, 0] == x.astype(int).sum((1, 2))).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(2, 3, 5, 37), (1, 8, 8, 64), (0, 2, 2, 3)])
def test_sum_pool_over_the_whole_image_equals_numpy(dtype, shape):
    info = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(info.min // 64, info.max // 64, shape).astype(dtype)
    pooled = sum_pool(x, shape[1:3])
    assert (pooled == x.sum((1, 2), dtype=np.int64, keepdims=True)).all()
    assert pooled.dtype == (np.int32 if x.itemsize < 4 else np.int64)
    assert (sum_pool(x.swapaxes(1, 2), shape[2:0:-1]) == pooled).all()


def test_preallocated_outputs_are_filled_and_returned():
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    for kernel in ((4, 4), (2, 2)):
        for pool in (sum_pool, max_pool):
            expected = pool(x, kernel)
            out = np.full_like(expected, 77)
            assert pool(x, kernel, out=out) is out
            assert (out == expected).all()
            with pytest.raises(AdderHwError, match="out: found"):
                pool(x, kernel, out=out[:1])
    out = np.empty(x.shape, np.int32)
    assert add(x, x, out=out) is out
    assert (out == 2 * x.astype(int)).all()
    with pytest.raises(AdderHwError, match="out: found"):
        add(x, x, np.int64, out=out)


def test_addition_widens_first_and_refuses_unequal_shapes():
    a, b = np.array([255, 255], np.uint8), np.array([127, -128], np.int8)
    assert add(a, b).tolist() == [382, 127]
    assert add(a, b).dtype == np.int32
    with pytest.raises(AdderHwError, match="expected equal shapes"):
        add(a, b[:1])


def test_pools_refuse_windows_that_do_not_fit():
    x = np.zeros((1, 2, 2, 1), np.uint8)
    with pytest.raises(AdderHwError, match="expected one the window fits in"):
        max_pool(x, (3, 3))
    with pytest.raises(AdderHwError, match="below the kernel"):
        max_pool(x, (2, 2), pads=(2, 0, 0, 0))
    with pytest.raises(AdderHwError, match="pooling: found float64"):
        sum_pool(x.astype(float), (1, 1))


@pytest.mark.parametrize("shape", [(1, 37, 21, 64), (3, 8, 8, 5), (0, 4, 4, 2)])
def test_rows_shared_by_threads_give_the_same_pools(shape):
    x = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    geometry = Geometry((2, 1), (1, 0, 1, 1))
    expected = max_pool(x, (3, 2), *geometry[:2])
    out = np.zeros_like(expected)
    Program([max_pool_step(x, (3, 2), geometry, out)], threads=3).run()
    assert (out == expected).all()
    sums = np.zeros(sum_pool(x, (2, 2)).shape, np.int32)
    Program([sum_pool_step(x, (2, 2), Geometry(), sums)], threads=3).run()
    assert (sums == sum_pool(x, (2, 2))).all()


def test_a_pool_made_ready_refuses_an_array_that_is_not_contiguous():
    x = np.zeros((1, 3, 2, 4), np.uint8).swapaxes(1, 2)
    with pytest.raises(AdderHwError, match="not contiguous"):
        sum_pool_step(x, (2, 2), Geometry(), np.zeros((1, 1, 2, 4), np.int32))


def test_a_maximum_has_the_type_of_its_input():
    with pytest.raises(AdderHwError, match="out: found int32"):
        max_pool_step(np.zeros((1, 2, 2, 1), np.uint8), (2, 2), Geometry(), np.zeros((1, 1, 1, 1), np.int32))


def test_a_window_that_lies_between_the_elements_of_the_image_is_refused():
    with pytest.raises(AdderHwError, match="an element of the image in each window"):
        max_pool(np.zeros((1, 2, 2, 1), np.uint8), (2, 1), pads=(1, 0, 1, 0), dilations=(3, 1))
