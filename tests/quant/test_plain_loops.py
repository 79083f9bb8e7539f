"""The compiled loops of quantisation against plain definitions; `make coverage` runs them as Python too."""

import numpy as np
import pytest

from adderhw.fixed import Rounding
from quant import qat_kernels
from quant.ranges import BIN_BITS, DROPPED_BITS, count_bins
from tests import naive

RANDOM = np.random.default_rng(0)
ROWS, CHANNELS = 5, 4


def sums():
    return RANDOM.integers(-500, 500, (ROWS, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("rounding", Rounding)
def test_requantise_equals_the_oracle(rounding):
    m, c = RANDOM.integers(-9, 10, CHANNELS), RANDOM.integers(-50, 50, CHANNELS)
    n = np.array([0, 1, 3, 4])
    half = np.where((n == 0) | (rounding == Rounding.FLOOR), 0, (1 << n) >> 1)
    s = np.vstack([sums(), np.arange(CHANNELS * 2).reshape(2, -1).astype(np.float32)])
    found = qat_kernels.requantise(s, m, c, n, half, int(rounding), -128, 127)
    expected = naive.requantize(s, m, c, n, rounding=rounding.name.lower(), qmin=-128, qmax=127)
    assert found.dtype == np.float32
    assert (found == expected.astype(np.int64)).all()


def test_the_gradient_passes_where_the_value_is_inside_and_the_step_learns_outside_too():
    s, grad, q = sums(), sums(), sums()
    gain, offset, (low, high, below, above) = np.array([0.5, -1, 2, 0.1]), np.array([1.0, 0, -3, 2]), (-50, 60, -7, 9)
    u = s.astype(float) * gain + offset
    inside = (u >= low) & (u <= high)
    of_sums, *others = qat_kernels.requantise_gradient(grad, s, q, gain, offset, low, high, below, above)
    passed = grad * inside
    step = np.where(u < low, below, np.where(u > high, above, q - u))
    assert inside.any()
    assert not inside.all()
    np.testing.assert_allclose(of_sums, passed * gain, rtol=1e-6)
    for found, expected in zip(others, ((passed * s).sum(0), passed.sum(0), (grad * step).sum(0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_moments_are_around_the_first_row():
    s = sums()
    first, second = qat_kernels.moments(s)
    d = s.astype(float) - s[0]
    np.testing.assert_allclose(first, d.sum(0))
    np.testing.assert_allclose(second, (d * d).sum(0))


def test_a_line_is_subtracted_in_place():
    values, s, offset, slope = sums(), sums(), np.arange(4.0), np.array([0.5, 1, -2, 0])
    expected = values - (offset + slope * s).astype(np.float32)
    qat_kernels.subtract_line(values, s, offset, slope)
    np.testing.assert_array_equal(values, expected)


def test_bins_are_counted_in_the_order_of_the_values():
    values = np.sort(np.array([-3.5, -1e-3, 0.0, 2.0, 2.0, 7e8], np.float32))
    counts = np.zeros(1 << BIN_BITS, np.int64)
    count_bins(values.view(np.int32), counts)
    filled = np.flatnonzero(counts)
    assert counts[filled].tolist() == [1, 1, 1, 2, 1]
    assert filled[2] == 1 << (BIN_BITS - 1)
    assert filled[3] - filled[2] == int(values[3:4].view(np.int32)[0]) >> DROPPED_BITS
