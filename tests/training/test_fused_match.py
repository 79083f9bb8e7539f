"""The fused matches against their formulas as separate PyTorch operations: values and gradients, whole and in parts."""

from math import exp

import pytest
import torch
from torch.nn import functional

from training import fused_match
from training.fused_match import MeanSquaredDifference, SquaredMmd

SHAPES = [(2, 3, 4, 5), (5, 16, 6, 7), (1, 1, 1, 1), (3, 4, 1, 9)]
LIMIT = 2.0


@pytest.fixture(params=[1, 100, 1 << 16], ids="parts of {} bytes".format, autouse=True)
def part_bytes(request, monkeypatch):
    """Also parts of one place or one image, and parts that do not divide the batch."""
    monkeypatch.setattr(fused_match, "PART_BYTES", request.param)


def responses(shape, memory_format=torch.channels_last, dtype=torch.float64):
    torch.manual_seed(0)
    return [2 * torch.randn(shape, dtype=dtype).to(memory_format=memory_format) for _ in range(2)]


def separate(ann, cnn, k_ann, k_cnn, map_ann, map_cnn, limit):
    """The match by separate operations."""
    sides = []
    for side, k, matrix in ((ann, k_ann, map_ann), (cnn, k_cnn, map_cnn)):
        if k is not None:
            side = (side * k).clamp(-limit, limit).exp()
        sides.append(side if matrix is None else functional.conv2d(side, matrix[:, :, None, None]))
    return functional.mse_loss(*sides)


def separate_mmd(a, b):
    a, b = (functional.normalize(maps.flatten(2), dim=2) for maps in (a, b))
    means = [(x @ y.mT).square().mean() for x, y in ((a, a), (b, b), (a, b))]
    return means[0] + means[1] - 2 * means[2]


def value_and_gradients(function, operands):
    operands = [each.clone().requires_grad_() if torch.is_tensor(each) else each for each in operands]
    operands[1].requires_grad_(False)
    value = function(*operands)
    (3 * value).backward()
    return [value.detach(), *(each.grad for each in operands if torch.is_tensor(each))]


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kernel", "mapped"), [(False, False), (False, True), (True, False), (True, True)])
def test_value_and_gradients_are_those_of_separate_operations(shape, memory_format, kernel, mapped):
    ann, cnn = responses(shape, memory_format)
    ks = torch.tensor([0.3, -0.8], dtype=torch.float64) if kernel else (None, None)
    maps = torch.randn(2, shape[1], shape[1], dtype=torch.float64) if mapped else (None, None)
    operands = (ann, cnn, *ks, *maps, LIMIT)
    found = value_and_gradients(MeanSquaredDifference.apply, operands)
    for a, b in zip(found, value_and_gradients(separate, operands), strict=True):
        torch.testing.assert_close(a, b)


def test_beyond_the_bound_the_kernel_stands_still_and_nothing_flows_back():
    ann, cnn = torch.full((1, 1, 1, 2), -1e6), torch.zeros(1, 1, 1, 2)
    ann[..., 1] = -1.0
    ann.requires_grad_()
    value = MeanSquaredDifference.apply(ann, cnn, torch.tensor(0.5), torch.tensor(-0.5), None, None, 10.0)
    assert value.item() == pytest.approx(((exp(-10) - 1) ** 2 + (exp(-0.5) - 1) ** 2) / 2)
    value.backward()
    assert ann.grad.flatten().tolist() == [0.0, pytest.approx((exp(-0.5) - 1) * exp(-0.5) / 2)]


def test_what_is_not_learnt_gets_no_gradient():
    ann, cnn = responses((2, 3, 4, 5))
    ks, maps = torch.tensor([0.3, -0.8], dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    ann.requires_grad_()
    MeanSquaredDifference.apply(ann, cnn, *ks, maps, maps, LIMIT).backward()
    assert ann.grad is not None
    assert cnn.grad is ks.grad is maps.grad is None


def test_autocast_changes_nothing():
    ann, cnn = responses((2, 3, 4, 5), dtype=torch.float32)
    operands = (ann, cnn, None, None, torch.randn(3, 3), torch.randn(3, 3), LIMIT)
    expected = MeanSquaredDifference.apply(*operands), SquaredMmd.apply(ann, cnn)
    with torch.autocast("cpu", torch.bfloat16):
        found = MeanSquaredDifference.apply(*operands), SquaredMmd.apply(ann, cnn)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_responses_of_fewer_bits_are_widened():
    ann, cnn = responses((2, 3, 4, 5), dtype=torch.float32)
    options = (None, None, None, None, LIMIT)
    found = MeanSquaredDifference.apply(ann, cnn.bfloat16(), *options)
    torch.testing.assert_close(found, MeanSquaredDifference.apply(ann, cnn.bfloat16().float(), *options))
    torch.testing.assert_close(SquaredMmd.apply(ann, cnn.bfloat16()), SquaredMmd.apply(ann, cnn.bfloat16().float()))


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_mmd_and_its_gradient_are_those_of_separate_operations(shape, memory_format):
    operands = responses(shape, memory_format)
    operands[1] = torch.cat([operands[1], operands[1].flip(3).square()], dim=1)
    for a, b in zip(*(value_and_gradients(each, operands) for each in (SquaredMmd.apply, separate_mmd)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_channel_that_is_silent_everywhere_gets_no_gradient(dtype):
    a, b = responses((2, 3, 4, 5), dtype=dtype)
    a[:, 1] = 0
    a.requires_grad_()
    SquaredMmd.apply(a, b).backward()
    assert a.grad.isfinite().all()
    assert (a.grad[:, 1] == 0).all()
    assert (a.grad[:, 0] != 0).any()


def test_the_backward_pass_can_be_repeated():
    for function, options in ((MeanSquaredDifference.apply, (None, None, None, None, LIMIT)), (SquaredMmd.apply, ())):
        ann, cnn = responses((2, 3, 4, 5))
        ann.requires_grad_()
        value = function(ann, cnn, *options)
        first, second = (torch.autograd.grad(value, ann, retain_graph=True)[0] for _ in range(2))
        torch.testing.assert_close(first, second, rtol=0, atol=0)
