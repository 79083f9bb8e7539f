"""The kernels on numpy arrays: sizes that do not fill tiles or lanes, and more threads than there is work."""

import numpy as np
import pytest

from training.adder_kernels import LANES, TILE, Geometry, absolute_differences, input_gradient

PLAIN = Geometry(stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1))


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_the_output_size_is_that_of_a_convolution():
    geometry = Geometry(stride=(2, 1), pads=(1, 0, 2, 3), dilation=(1, 2))
    assert geometry.output_size((7, 9), (3, 3)) == ((7 + 3 - 3) // 2 + 1, 9 + 3 - 5 + 1)


@pytest.mark.parametrize("positions", [1, TILE - 1, TILE, TILE + 1])
@pytest.mark.parametrize("outputs", [1, LANES, LANES + 1])
@pytest.mark.parametrize("threads", [1, 5])
def test_partly_filled_tiles_and_lanes_are_exact(positions, outputs, threads):
    x, weight, grad = random(1, 1, positions, 3), random(outputs, 3, 1, 1), random(1, 1, positions, outputs)
    differences = weight[:, :, 0, 0] - x[0, 0, :, None]
    y = absolute_differences(x, weight, PLAIN, threads=threads)
    np.testing.assert_allclose(y[0, 0], -np.abs(differences).sum(2), rtol=1e-5)
    dx = input_gradient(grad, x, weight, PLAIN, threads=threads)
    expected = np.einsum("po,poc->pc", grad[0, 0], np.clip(differences, -1, 1))
    np.testing.assert_allclose(dx[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_nothing_is_written_outside_the_result():
    x, weight = random(2, 5, 5, LANES), random(LANES, LANES, 3, 3)
    before = x.copy()
    absolute_differences(x, weight, PLAIN)
    input_gradient(random(2, 3, 3, LANES), x, weight, PLAIN)
    np.testing.assert_array_equal(x, before)
