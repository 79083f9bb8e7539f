"""The matches' kernels against the formulas in float64, on any number of threads."""

import pytest
import torch

from tests.training.test_fused_match import LIMIT, SHAPES, responses, separate, separate_mmd, value_and_gradients
from training.fused_match import MeanSquaredDifference, SquaredMmd


@pytest.fixture
def torch_threads():
    """Sets PyTorch's number of threads, for this test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def assert_near(found, expected, tolerance):
    """Float32 values against float64 ones, None against None; tolerance: relative to the largest of a tensor."""
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if b is not None and b.numel():
            scale = tolerance * b.abs().max().item()
            torch.testing.assert_close(a, b.float(), rtol=tolerance, atol=scale, equal_nan=True)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (4, 16, 9, 9), (1, 128, 3, 3), (2, 129, 1, 2)])
@pytest.mark.parametrize(("kernel", "mapped"), [(False, False), (False, True), (True, False), (True, True)])
def test_float32_on_the_cpu_is_near_the_formulas_on_any_number_of_threads(
    shape, kernel, mapped, threads, torch_threads
):
    operands = (
        *responses(shape, dtype=torch.float32),
        *(torch.tensor([0.3, -0.8]) if kernel else (None, None)),
        *(torch.randn(2, shape[1], shape[1]) if mapped else (None, None)),
        LIMIT,
    )
    wide = [each.double() if torch.is_tensor(each) else each for each in operands]
    torch_threads(threads)
    found = value_and_gradients(MeanSquaredDifference.apply, operands)
    assert_near(found, value_and_gradients(separate, wide), 2e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (4, 16, 9, 9), (2, 64, 3, 3), (2, 65, 1, 2)])
def test_the_float32_mmd_on_the_cpu_is_near_its_formula_on_any_number_of_threads(shape, threads, torch_threads):
    a, b = responses(shape, dtype=torch.float32)
    operands = [a, torch.cat([b, b.flip(3).square()], dim=1)]
    torch_threads(threads)
    found = value_and_gradients(SquaredMmd.apply, operands)
    expected = value_and_gradients(separate_mmd, [each.double() for each in operands])
    assert_near(found, expected, 5e-6)


def test_kernels_give_the_same_bits_on_any_number_of_threads(torch_threads):
    ann, cnn = responses((7, 16, 8, 8), dtype=torch.float32)
    maps = torch.randn(2, 16, 16)
    calls = (
        lambda: value_and_gradients(MeanSquaredDifference.apply, (ann, cnn, *torch.tensor([0.3, -0.8]), *maps, LIMIT)),
        lambda: value_and_gradients(SquaredMmd.apply, (ann, cnn)),
    )
    results = []
    for threads in (1, 2, 5):
        torch_threads(threads)
        results.append([value for call in calls for value in call() if value is not None])
    for one, other in ((results[0], results[1]), (results[0], results[2])):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_loss_that_is_not_finite_stays_so():
    for bad in (float("nan"), float("inf")):
        ann, cnn = responses((2, 8, 4, 5), dtype=torch.float32)
        ann[1, 3, 2, 2] = bad
        assert not MeanSquaredDifference.apply(ann, cnn, None, None, None, None, LIMIT).isfinite()
        assert not SquaredMmd.apply(ann, cnn).isfinite()
    value = MeanSquaredDifference.apply(ann * float("nan"), cnn, *torch.tensor([0.3, -0.8]), None, None, LIMIT)
    assert value.isnan()
