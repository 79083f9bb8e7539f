"""Ranges: extremes, means and quantiles of streamed batches; bad images and models are errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.errors import DataError, ModelError
from quant import Settings
from quant.float_graph import read_float_graph
from quant.ranges import Observed, bin_of, calibrate, edges_of
from tests.quant.networks import Network, images, mixed_cnn, ordinary_cnn

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(value=finite)
def test_a_value_lies_in_its_bin(value):
    lower, upper = edges_of(int(bin_of(np.array([value], np.float32))[0]))
    assert lower <= value <= upper


@given(a=finite, b=finite)
def test_bins_are_in_the_order_of_the_numbers(a, b):
    low, high = bin_of(np.array(sorted((a, b)), np.float32))
    assert low <= high or a == b == 0


def observed(values):
    seen = Observed(values.shape[1:])
    for start in range(0, len(values), 7):
        seen.add(values[start : start + 7])
    return seen


def test_batches_give_what_the_whole_gives():
    values = np.random.default_rng(0).normal(0.3, 2, (200, 5, 6, 6)).astype(np.float32)
    seen = observed(values)
    assert (seen.low, seen.high) == (values.min(), values.max())
    np.testing.assert_allclose(seen.mean, values.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-6)
    for share in (0.0003, 0.1, 0.5, 0.9997):
        assert seen.quantile(share) == pytest.approx(np.quantile(values, share), rel=2**-7, abs=0.005)
    low, high = seen.range(Settings(quantile=0.9997))
    assert seen.share_outside(low, high) == pytest.approx(0.0006, abs=2e-4)
    assert seen.range(Settings(quantile=1)) == seen.range(Settings(range="max")) == (seen.low, seen.high)


def test_after_relu_the_range_starts_at_zero():
    values = np.maximum(np.random.default_rng(0).normal(0, 1, (100, 4)), 0).astype(np.float32)
    assert observed(values).range(Settings())[0] == 0


def test_a_tensor_that_is_hardly_ever_on_keeps_its_extremes():
    values = np.zeros((10000, 1), np.float32)
    values[17] = 3
    assert observed(values).range(Settings()) == (0, 3)


def test_calibration_sees_every_activation():
    graph = read_float_graph(ordinary_cnn())
    seen = calibrate(graph, images(5), batch_size=2)
    assert set(seen) == {"image"} | {node.output for node in graph.nodes}
    assert seen["conv1"].shape == (8, 8, 8)
    assert seen["conv1"].images == 5


@pytest.mark.parametrize("stated", [1, 3, 64])
def test_a_batch_size_in_the_file_changes_nothing(stated):
    model = mixed_cnn()
    expected = calibrate(read_float_graph(model), images(5))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = stated
    seen = calibrate(read_float_graph(model), images(5), batch_size=4)
    for name, each in expected.items():
        assert (seen[name].images, seen[name].counts.sum()) == (5, each.counts.sum())
        np.testing.assert_allclose(seen[name].mean, each.mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose((seen[name].low, seen[name].high), (each.low, each.high), rtol=1e-4)


@pytest.mark.parametrize("bad", [images(2, shape=(3, 9, 9)), images(2).astype(np.float64), images(2)[:0]])
def test_images_that_do_not_fit_are_an_error(bad):
    with pytest.raises(DataError, match="calibration images: found"):
        calibrate(read_float_graph(ordinary_cnn()), bad)


def test_images_that_are_not_finite_are_an_error():
    bad = images(2)
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        calibrate(read_float_graph(ordinary_cnn()), bad)


def test_a_network_that_overflows_is_an_error():
    net = Network()
    net.batch_norm("image", "bn", 3, deviation=1e-30)
    model = net.model("bn")
    for parameter in model.graph.initializer:
        if parameter.name == "bn_scale":
            parameter.raw_data = np.full(3, 3e38, np.float32).tobytes()
    with pytest.raises(ModelError, match="tensor 'bn': found float32 with NaN or infinity"):
        calibrate(read_float_graph(model), images(4))
