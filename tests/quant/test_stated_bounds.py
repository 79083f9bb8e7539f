"""What docs/quantisation.md states about clips, grids and multipliers holds for random tensors and every sum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adderhw.errors import ModelError
from adderhw.fixed import Rounding, round_shift
from adderhw.plan import Plan
from quant import Settings, quantise
from quant.counterparts import read_counterparts
from quant.grids import activation_grid, grid_range, guard_grid, input_grid, logits_grid
from quant.multipliers import live_sums, multipliers, stated_bound
from tests.quant.networks import Network, images

REALISATIONS = ("multiplier", "shift", "shift_add:1", "shift_add:2", "shift_add:3", "shift_add:8")
ROUNDINGS = [mode.name.lower() for mode in Rounding]
FEW = hypothesis_settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@given(
    seed=seeds,
    ends=st.tuples(*[st.floats(-100, 100, width=32)] * 2).map(sorted),
    reach=st.floats(0.01, 1e4),
    channels=st.integers(1, 8),
    kernel=st.integers(1, 3),
)
def test_clipping_a_filter_moves_only_a_constant_of_its_sum(seed, ends, reach, channels, kernel):
    random, (low, high) = np.random.default_rng(seed), ends
    x = low + (high - low) * random.random((5, 1, channels, kernel, kernel))
    w = random.normal(0, reach, (4, channels, kernel, kernel))
    clipped = np.clip(w, low, high)
    axes = (2, 3, 4)
    whole, inside = np.abs(x - w).sum(axis=axes), np.abs(x - clipped).sum(axis=axes)
    constant = np.abs(w - clipped).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(whole, inside + constant, rtol=1e-12, atol=1e-12 * (reach + 100) * w[0].size)


@FEW
@given(
    seed=st.integers(0, 99),
    bits=st.integers(2, 12),
    reach=st.sampled_from([0.1, 1.0, 10.0, 1e3, 1e5]),
    attributes=st.sampled_from([{}, {"strides": [2, 1], "pads": [0, 1, 2, 1]}, {"group": 2}]),
)
def test_a_layer_loses_no_more_than_rounding_however_far_its_weights_lie_outside(seed, bits, reach, attributes):
    net = Network(shape=(4, 5, 5), seed=seed)
    model = net.model(net.conv(net.relu("image"), "y", 4, 6, adder=True, **attributes))
    (initializer,) = model.graph.initializer
    weight = np.frombuffer(initializer.raw_data, np.float32) * np.float32(reach)
    initializer.raw_data = weight.astype(np.float32).tobytes()
    pixels = images(4, seed, shape=(4, 5, 5))
    settings = Settings(bits=bits, range="max", bias_correction=False)
    graph = quantise(model, pixels, settings)
    found = Plan(graph, keep_all=True).run({"image": pixels})
    counterpart, scale = read_counterparts(graph)["y_sum"], graph.formats["image_relu_q"].scale
    x = on_grid_of(graph, "image_relu_q", found)
    w = weight.astype(np.float64).reshape(6, -1, 3, 3)
    exact = adder_conv(x, w, {"strides": [1, 1], "pads": [1] * 4, "group": 1, **attributes})
    taps = w[0].size
    error = np.abs(counterpart.real(found["y_sum"]) - exact)
    assert error.max() <= taps * scale / 2 + 1e-9 * np.abs(exact).max()


def on_grid_of(graph, name, tensors):
    """The real numbers that the integers of a tensor stand for."""
    return graph.formats[name].scale * (tensors[name].astype(np.float64) - graph.formats[name].zero_point)


def adder_conv(x, w, attributes):
    """−Σ|x − w| in float64, one window after another."""
    top, left, bottom, right = attributes["pads"]
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    sh, sw = attributes["strides"]
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, ::sh, ::sw]
    per, channels = len(w) // attributes["group"], w.shape[1]
    sums = [
        -np.abs(windows[:, o // per * channels :][:, :channels] - w[o][:, None, None]).sum(axis=(1, 4, 5))
        for o in range(len(w))
    ]
    return np.stack(sums, axis=1)


@given(seed=seeds, ends=st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 2), bits=st.integers(2, 16), source=st.booleans())
def test_a_grid_rounds_by_half_a_step_inside_its_range_and_holds_zero(seed, ends, bits, source):
    low, high = min(*ends, 0.0), max(*ends, 0.0)
    x = (low + (high - low) * np.random.default_rng(seed).random(200)).astype(np.float32).astype(np.float64)
    x = np.concatenate([x, [low, high, 0.0]])
    grid = input_grid(x.astype(np.float32), bits) if source else activation_grid(low, high, bits)
    assert_half_a_step(x, grid)


@given(
    seed=seeds,
    ends=st.tuples(*[st.floats(0, 100, width=32)] * 2).map(lambda ends: (-ends[0], ends[1])),
    step=st.floats(1e-3, 1),
)
def test_the_grids_of_logits_and_residual_branches_round_by_half_a_step_and_hold_zero(seed, ends, step):
    x = ends[0] + (ends[1] - ends[0]) * np.random.default_rng(seed).random(200)
    x = np.concatenate([x, ends, [0.0]])
    assert_half_a_step(x, logits_grid(*ends, 2.0))
    assert_half_a_step(x, guard_grid(*ends, step))


def assert_half_a_step(x, grid):
    """Every x of the range lies within half a step of its integer on the grid; 0 is exact."""
    low, high = grid_range(grid)
    slack = 1e-6 * np.abs(x).max() + grid.scale * 1e-6
    assert ((x >= low - grid.scale / 2 - slack) & (x <= high + grid.scale / 2 + slack)).all()
    q = np.clip(np.rint(x / grid.scale) + grid.zero_point, grid.min, grid.max)
    real = grid.scale * (q - grid.zero_point)
    assert (np.abs(real - x) <= grid.scale / 2 + slack).all()
    assert (real[x == 0] == 0).all()


def rounding_reach(rounding):
    """(below, above): how far a rounded number may lie from the number itself."""
    return (1, 0) if rounding == "floor" else (0.5, 0.5)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("realisation", REALISATIONS)
@hypothesis_settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(1e-4, 4).flatmap(lambda r: st.sampled_from([r, -r])),
    offset=st.floats(-300, 300),
    largest=st.integers(1, 3000),
    share=st.floats(0, 1),
)
def test_every_sum_is_requantised_within_the_stated_bound(realisation, rounding, ratio, offset, largest, share):
    settings, centre = Settings(realisation=realisation, rounding=rounding), share * largest
    arrays = (np.array([value]) for value in (ratio, offset, centre))
    m, c, n = (int(v[0]) for v in multipliers(*arrays, [largest], settings))
    s = np.arange(largest + 1)
    q = round_shift(s * m + c, n, Rounding.parse(rounding))
    bound = stated_bound(ratio, m, n, np.abs(s - centre))
    error, (below, above), slack = q - (ratio * s + offset), rounding_reach(rounding), 1e-9 * (largest + 300)
    assert (error >= -bound - below - slack).all()
    assert (error <= bound + above + slack).all()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("realisation", REALISATIONS)
@hypothesis_settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(1e-3, 3).flatmap(lambda r: st.sampled_from([r, -r])),
    offset=st.floats(-300, 600),
    ends=st.tuples(*[st.integers(-3000, 3000)] * 2).map(sorted),
    share=st.floats(0, 1),
    error=st.sampled_from([0.1, 0.5, 2.0, 20.0]),
    clip=st.sampled_from([(0, 255), (0, 15), (-128, 127)]),
)
def test_an_error_that_is_asked_for_is_kept_by_every_reachable_sum(
    realisation, rounding, ratio, offset, ends, share, error, clip
):
    settings, (low, high) = Settings(realisation=realisation, rounding=rounding), ends
    centre = low + share * (high - low)
    ratios, offsets, centres, lows, highs = (np.array([float(v)]) for v in (ratio, offset, centre, low, high))
    live = live_sums(ratios, offsets, (lows, highs), clip)
    try:
        constants = multipliers(ratios, offsets, centres, [max(-low, high)], settings, live, error)
    except ModelError:
        return
    m, c, n = (int(v[0]) for v in constants)
    s = np.arange(low, high + 1)
    q = np.clip(round_shift(s * m + c, n, Rounding.parse(rounding)), *clip)
    off, (below, above) = q - np.clip(ratio * s + offset, *clip), rounding_reach(rounding)
    assert off.min() >= -error - below - 1e-6
    assert off.max() <= error + above + 1e-6
