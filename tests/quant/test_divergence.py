"""The divergence of outputs: by hand, never negative, and of any shape."""

from math import log

import numpy as np
import pytest

from quant.divergence import divergence, divergences, kullback_leibler, log_softmax


def test_of_two_classes_by_hand():
    expected = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], np.float32))
    found = np.log(np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    by_hand = 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75)
    np.testing.assert_allclose(kullback_leibler(expected, found), [by_hand, 0], atol=1e-7)


def test_rounding_never_makes_it_negative():
    random = np.random.default_rng(0)
    expected = random.normal(0, 30, (20_000, 10)).astype(np.float32)
    found = expected + random.choice([-1, 1], expected.shape) * np.float32(1e-6)
    p, q = log_softmax(expected), log_softmax(found)
    assert (np.exp(p) * (p - q)).sum(axis=1).min() < 0  # what rounding does to the plain sum
    assert kullback_leibler(expected, found).min() >= 0
    assert kullback_leibler(expected, expected).max() == 0


def test_outputs_of_other_shapes_count_by_their_variance():
    expected = np.array([[[[0.0, 2.0]]], [[[0.0, 2.0]]]], np.float32)
    found = expected + np.array([1.0, 0.0], np.float32)[:, None, None, None]
    np.testing.assert_allclose(divergences({"y": expected}, {"y": found}), [1.0, 0.0])
    assert divergence({"y": expected}, {"y": found}) == pytest.approx(0.5)
