"""Folding: batch norm, bias and clips on pending sums equal the float ops."""

import numpy as np

from quant.fold import batch_norm, clipped, pending, scaled


def real(value, s):
    return np.clip(value.a * s + value.b, value.low, value.high)


def test_batch_norm_folds_exactly():
    random = np.random.default_rng(0)
    s = random.integers(0, 1000, (50, 4))
    value = pending("s", -0.01, random.normal(0, 1, 4), np.zeros(4))
    gamma, beta, mean = random.normal(0, 1, (3, 4))
    variance = random.uniform(0.1, 2, 4)
    expected = gamma * (value.a * s + value.b - mean) / np.sqrt(variance + 1e-5) + beta
    folded = batch_norm(value, gamma, beta, mean, variance, 1e-5)
    np.testing.assert_allclose(real(folded, s), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(folded.centre, value.centre)


def test_the_centre_is_where_the_mean_lies():
    value = pending("s", [2.0, 0.0], 1.0, np.array([5.0, 1.0]))
    np.testing.assert_array_equal(value.centre, [2.0, 0.0])


def test_clips_follow_each_other():
    value = pending("s", 1.0, 0.0, np.zeros(1))
    s = np.arange(-10, 11)
    for bounds in ([(0, np.inf), (-3, 6)], [(-3, 6), (0, np.inf)], [(0, 2), (5, 8)], [(5, 8), (0, 2)]):
        folded, expected = value, s.astype(float)
        for low, high in bounds:
            folded, expected = clipped(folded, low, high), np.clip(expected, low, high)
        np.testing.assert_array_equal(real(folded, s), expected)


def test_only_a_value_without_clip_is_affine():
    value = pending("s", 1.0, 0.0, np.zeros(1))
    assert scaled(value, 2.0, 1.0).is_affine
    assert not clipped(value, 0.0, np.inf).is_affine
