"""Grids: zero is exact, the range is covered, the weight clip loses nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.fixed import Format
from quant.grids import (
    activation_grid,
    adder_weight,
    float32_above,
    grid_range,
    guard_grid,
    input_grid,
    logits_grid,
    symmetric_weight,
)

reals = st.floats(-1e3, 1e3, width=32)
widths = st.integers(2, 16)


@given(x=reals, w=st.floats(-1e4, 1e4, width=32), ends=st.tuples(reals, reals))
def test_clipping_a_weight_to_the_range_of_x_moves_only_a_constant(x, w, ends):
    low, high = sorted(ends)
    x = min(max(x, low), high)
    clipped = min(max(w, low), high)
    assert abs(x - w) == pytest.approx(abs(x - clipped) + abs(w - clipped), rel=1e-12, abs=1e-9)


@given(low=reals, high=reals, bits=widths)
def test_zero_is_exact_and_the_range_is_covered(low, high, bits):
    grid = activation_grid(min(low, high), max(low, high), bits)
    lowest, highest = grid_range(grid)
    slack = 1e-9 * max(abs(low), abs(high), 1)
    assert lowest <= min(low, high, 0) + slack
    assert highest >= max(low, high, 0) - slack
    assert grid.min <= grid.zero_point <= grid.max
    assert grid.bits == bits


@given(high=st.floats(1e-3, 1e3), bits=widths)
def test_the_grid_after_relu_starts_at_zero(high, bits):
    assert activation_grid(0, high, bits) == Format(bits, False, high / (2**bits - 1), 0)


@given(scale=st.floats(0, 1e30, exclude_min=True))
def test_the_float32_above_is_the_nearest_that_is_not_below(scale):
    found = float32_above(scale)
    assert found >= scale
    assert found == np.float32(found)
    assert float(np.nextafter(np.float32(found), np.float32(0))) < scale


def test_a_tensor_that_is_always_zero_has_a_grid():
    assert activation_grid(0, 0, 8).scale == 1


def test_equally_spaced_inputs_are_exact():
    pixels = np.arange(17, dtype=np.float32) / 16
    assert input_grid(pixels, 8) == Format(8, False, 1 / 16, 0)
    grid = input_grid((np.arange(256) - 128).astype(np.float32) / 255, 8)
    assert grid.zero_point == 128
    assert grid.scale == np.float32(1 / 255)


def test_inputs_without_a_spacing_get_their_range():
    values = np.random.default_rng(0).normal(0, 1, 1000).astype(np.float32)
    grid = input_grid(values, 8)
    assert grid_range(grid)[0] <= values.min()
    assert grid_range(grid)[1] >= values.max()
    assert grid.scale == np.float32(grid.scale)


def test_logits_reach_the_margin():
    grid = logits_grid(-3.0, 2.0, 2.0)
    assert grid.max * grid.scale == pytest.approx(6.0, rel=1e-4)
    assert (grid.bits, grid.signed, grid.zero_point) == (16, True, 0)


@given(low=st.floats(-100, 0), high=st.floats(0, 100))
def test_a_guard_format_is_the_narrowest_that_holds_its_range(low, high):
    grid = guard_grid(low, high, 0.01)
    assert grid.min <= round(low / 0.01)
    assert round(high / 0.01) <= grid.max
    narrower = 1 << max(grid.bits - 2, 0)
    assert grid.bits == 1 or round(low / 0.01) < -narrower or round(high / 0.01) > narrower - 1


@given(seed=st.integers(0, 1000), bits=widths)
def test_an_adder_weight_and_its_constant_give_back_the_distance(seed, bits):
    random = np.random.default_rng(seed)
    grid = activation_grid(-1.0, 3.0, bits)
    weight = random.normal(0, 4, (3, 2, 3, 3))
    quantised, constant = adder_weight(weight, grid)
    assert quantised.dtype == grid.dtype
    x_q = random.integers(grid.min, grid.max + 1, (2, 3, 3))
    x = grid.scale * (x_q - grid.zero_point)
    exact = np.abs(x - weight).reshape(3, -1).sum(axis=1)
    integer = grid.scale * np.abs(x_q - quantised.astype(int)).reshape(3, -1).sum(axis=1) + constant
    assert np.abs(integer - exact).max() <= 18 * grid.scale / 2 + 1e-9


@given(seed=st.integers(0, 1000), bits=widths)
def test_a_symmetric_weight_is_right_to_half_a_step(seed, bits):
    weight = np.random.default_rng(seed).normal(0, 1, (4, 2, 3, 3))
    weight[1] = 0
    quantised, scale = symmetric_weight(weight, bits)
    assert np.abs(quantised.astype(int)).max() <= 2 ** (bits - 1) - 1
    assert (np.abs(weight - quantised * scale.reshape(-1, 1, 1, 1)) <= scale.reshape(-1, 1, 1, 1) / 2 + 1e-12).all()
