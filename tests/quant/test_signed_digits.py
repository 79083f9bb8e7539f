"""Numbers of few signed digits: none is nearer than the one chosen, and weights made of them lose little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.fixed import Format
from adderhw.ops.realisation import signed_digits
from quant.grids import symmetric_weight
from quant.signed_digits import nearest, numbers, signed_digit_weight
from tests import naive


def every_sum(digits, limit):
    """Every integer of at most `digits` signed powers of two, by adding them in every way."""
    found = {0}
    for _ in range(digits):
        found |= {v + sign * (1 << power) for v in found for sign in (1, -1) for power in range(limit.bit_length() + 1)}
    return sorted(v for v in found if abs(v) <= limit)


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
@pytest.mark.parametrize("limit", [1, 7, 100, 127, 512])
def test_the_table_holds_every_sum_of_so_many_powers(digits, limit):
    assert numbers(digits, limit).tolist() == [v for v in every_sum(digits, limit) if v >= 0]


@given(value=st.floats(-140, 140), digits=st.integers(1, 4))
def test_brute_force_finds_no_nearer_number(value, digits):
    (chosen,) = nearest(np.array([value]), digits, 127)
    assert len(naive.signed_digits(chosen)) <= digits
    assert abs(value - chosen) == min(abs(value - other) for other in every_sum(digits, 127))


@given(value=st.floats(-1e6, 1e6), digits=st.integers(1, 7))
def test_a_number_and_its_negative_are_rounded_alike(value, digits):
    there, back = nearest(np.array([value, -value]), digits, 1 << 20)
    assert there == -back


def test_without_a_limit_of_digits_it_is_rounding():
    assert nearest(np.array([-3.4, 2.6, 900.0]), None, 127).tolist() == [-3, 3, 127]


def squared_error(weight, quantised, scale):
    """Σ(w − s·w_q)² of each output channel."""
    return ((weight - quantised * scale.reshape(-1, 1, 1, 1)) ** 2).reshape(len(weight), -1).sum(axis=1)


@given(seed=st.integers(0, 1000), bits=st.integers(3, 10), digits=st.integers(1, 4))
def test_a_weight_keeps_its_width_and_its_digits(seed, bits, digits):
    weight = np.random.default_rng(seed).normal(0, 1, (3, 2, 3, 3))
    weight[1] = 0
    quantised, scale = signed_digit_weight(weight, bits, digits)
    assert quantised.dtype == Format(bits, True).dtype
    assert np.abs(quantised.astype(int)).max() <= 2 ** (bits - 1) - 1
    assert max(signed_digits(v) for v in quantised.flat) <= digits
    assert (scale > 0).all()
    assert not quantised[1].any()


@given(seed=st.integers(0, 1000))
def test_the_chosen_scale_is_no_worse_than_the_largest_weight_on_the_largest_integer(seed):
    weight = np.random.default_rng(seed).normal(0, 1, (4, 3, 3, 3))
    found = squared_error(weight, *signed_digit_weight(weight, 8, 2))
    plain = np.abs(weight).reshape(4, -1).max(axis=1) / 127
    rounded = nearest(weight / plain.reshape(-1, 1, 1, 1), 2, 127)
    assert (found <= squared_error(weight, rounded, plain) * (1 + 1e-12)).all()


@given(seed=st.integers(0, 1000))
def test_four_digits_of_eight_bits_are_no_worse_than_any_integer(seed):
    weight = np.random.default_rng(seed).normal(0, 1, (4, 3, 3, 3))
    found = squared_error(weight, *signed_digit_weight(weight, 8, 4))
    assert (found <= squared_error(weight, *symmetric_weight(weight, 8)) * (1 + 1e-12)).all()


def test_the_same_weight_gives_the_same_integers():
    weight = np.random.default_rng(5).normal(0, 1, (4, 3, 3, 3))
    one, other = (signed_digit_weight(weight, 8, 2) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
