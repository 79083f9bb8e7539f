"""The kernels on numpy arrays: partly filled tiles and lanes, batches, threads, what they must not touch."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training import adder_kernels
from training.adder_kernels import LANES, TILE, Geometry, absolute_differences, input_gradient, weight_gradient

PLAIN = Geometry(stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1))


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def results(x, weight, grad, geometry, **options):
    y = absolute_differences(x, weight, geometry, **options)
    return y, *(gradient(grad, x, weight, geometry, **options) for gradient in (input_gradient, weight_gradient))


def test_the_output_size_is_that_of_a_convolution():
    geometry = Geometry(stride=(2, 1), pads=(1, 0, 2, 3), dilation=(1, 2))
    assert geometry.output_size((7, 9), (3, 3)) == ((7 + 3 - 3) // 2 + 1, 9 + 3 - 5 + 1)


@pytest.mark.parametrize("positions", [1, TILE - 1, TILE, TILE + 1])
@pytest.mark.parametrize("outputs", [1, LANES, LANES + 1])
@pytest.mark.parametrize("channels", [1, 3, LANES, LANES + 3])
@pytest.mark.parametrize("threads", [1, 5])
def test_partly_filled_tiles_and_lanes_are_exact(positions, outputs, channels, threads):
    x, weight, grad = (
        random(1, 1, positions, channels),
        random(outputs, channels, 1, 1),
        random(1, 1, positions, outputs),
    )
    differences = (weight[:, :, 0, 0] - x[0, 0, :, None]).astype(float)
    y, of_x, of_weight = results(x, weight, grad, PLAIN, threads=threads)
    np.testing.assert_allclose(y[0, 0], -np.abs(differences).sum(2), rtol=1e-5)
    expected = np.einsum("po,poc->pc", grad[0, 0], np.clip(differences, -1, 1))
    np.testing.assert_allclose(of_x[0, 0], expected, rtol=1e-4, atol=1e-5)
    expected = np.einsum("po,poc->oc", grad[0, 0], -differences)
    np.testing.assert_allclose(of_weight[:, :, 0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 7, 33])
def test_a_batch_gives_what_its_images_give(batch):
    """Small images are worked on together, here 8 at a time; the weight's gradient is summed in parts."""
    geometry = Geometry(stride=(2, 1), pads=(1, 1, 0, 2), dilation=(1, 1))
    x, weight = random(batch, 5, 4, 3), random(4, 3, 3, 3)
    grad = random(batch, *geometry.output_size((5, 4), (3, 3)), 4)
    y, of_x, of_weight = results(x, weight, grad, geometry, threads=2)
    alone = [results(x[n : n + 1], weight, grad[n : n + 1], geometry) for n in range(batch)]
    np.testing.assert_array_equal(y, np.concatenate([one[0] for one in alone]))
    np.testing.assert_array_equal(of_x, np.concatenate([one[1] for one in alone]))
    np.testing.assert_allclose(of_weight, sum(one[2].astype(float) for one in alone), rtol=1e-4, atol=1e-4)


def test_an_empty_batch_gives_no_outputs_and_zero_gradients():
    y, of_x, of_weight = results(random(0, 4, 4, 3), random(2, 3, 3, 3), random(0, 2, 2, 2), PLAIN, threads=2)
    assert (y.shape, of_x.shape) == ((0, 2, 2, 2), (0, 4, 4, 3))
    np.testing.assert_array_equal(of_weight, np.zeros((2, 3, 3, 3)))


def test_nothing_is_written_outside_the_result(monkeypatch):
    """Results lie inside arrays of a marked value, of which all around them must stay."""
    marked = []

    def framed(shape):
        frame = np.full(np.prod(shape) + 2 * LANES, 7, np.float32)
        marked.append((frame, frame[LANES:-LANES].reshape(shape)))
        return marked[-1][1]

    monkeypatch.setattr(adder_kernels, "_result", framed)
    x, weight = random(2, 5, 5, LANES + 1), random(LANES + 3, LANES + 1, 3, 3)
    absolute_differences(x, weight, PLAIN)
    input_gradient(random(2, 3, 3, LANES + 3), x, weight, PLAIN)
    assert len(marked) == 2
    for frame, inside in marked:
        assert (frame[:LANES] == 7).all()
        assert (frame[-LANES:] == 7).all()
        assert (inside != 7).all()


def test_operands_stay_as_they_are():
    x, weight, grad = random(2, 5, 5, LANES), random(LANES, LANES, 3, 3), random(2, 3, 3, LANES)
    before = [array.copy() for array in (x, weight, grad)]
    results(x, weight, grad, PLAIN)
    for array, copy in zip((x, weight, grad), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_results_do_not_depend_on_the_number_of_threads():
    geometry = Geometry(stride=(1, 2), pads=(1, 1, 1, 1), dilation=(1, 1))
    x, weight, grad = random(19, 6, 6, 18), random(34, 9, 3, 3), random(19, 6, 3, 34)
    one, *others = (results(x, weight, grad, geometry, groups=2, threads=threads) for threads in (1, 2, 3, 16))
    for other in others:
        for array, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, again)


def test_equal_operands_differ_by_exactly_nothing_however_large():
    """The direct sum of |x − w| has no cancellation, which Σ2·max(x, w) − Σx − Σw would have."""
    x = 1000 + random(1, 1, TILE, 1)
    weight = np.broadcast_to(x[0, 0, 0, 0], (1, 1, 1, 1)).astype(np.float32)
    assert absolute_differences(x, weight, PLAIN)[0, 0, 0, 0] == 0


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86 processors")
@pytest.mark.parametrize(
    ("cpu", "features"),
    [("x86-64", "+sse2"), ("haswell", "+sse4.2,+avx,+avx2"), ("haswell", "+sse4.2,+avx,+avx2,+fma")],
)
def test_kernels_compiled_for_lesser_processors_match_the_definition(cpu, features):
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("adder_op", "match_kernels")]
    tests = [*files, "-k", "match_their_definition or near_the_formulas"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
