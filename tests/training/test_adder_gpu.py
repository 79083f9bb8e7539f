"""The Triton kernels against float64 and against the CPU's: on a GPU if there is one, else in its interpreter."""

import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read by Triton when it is imported
if "CI" not in os.environ:  # there, a missing Triton is an error
    pytest.importorskip("triton", reason="without a GPU these kernels run in Triton's interpreter: pip install triton")

from hypothesis import given, settings

from tests.training.test_adder_op import CASES, assert_near, definition, layers, operands
from training import adder_gpu
from training.adder_kernels import Geometry
from training.adder_op import adder_conv2d

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PLAIN = Geometry(stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1))


def results(x, weight, grad, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """(Y, ∂L/∂x, ∂L/∂w) of the Triton kernels, as numpy arrays."""
    geometry = Geometry(stride, pads, dilation)
    x, weight, grad = (torch.from_numpy(array).to(DEVICE) for array in (x, weight, grad))
    found = (
        adder_gpu.absolute_differences(x, weight, geometry, groups),
        adder_gpu.input_gradient(grad, x, weight, geometry, groups),
        adder_gpu.weight_gradient(grad, x, weight, geometry, groups),
    )
    return tuple(tensor.numpy(force=True) for tensor in found)


def of_the_cpu(x, weight, grad, options):
    """The same of the Numba kernels, through the operator."""
    x, weight = (torch.from_numpy(array).requires_grad_() for array in (x, weight))
    y = adder_conv2d(x, weight, **options)
    gradients = torch.autograd.grad(y, (x, weight), torch.from_numpy(grad))
    return tuple(tensor.numpy(force=True) for tensor in (y, *gradients))


def gradient_of(x, weight, options):
    """A random gradient of the layer's output."""
    shape = adder_conv2d(torch.from_numpy(x), torch.from_numpy(weight), **options).shape
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def assert_near_definition_and_cpu(x, weight, options):
    grad = gradient_of(x, weight, options)
    found = results(x, weight, grad, **options)
    exact = definition(*(array.astype(np.float64) for array in (x, weight, grad)), **options)
    for ours, expected, cpu in zip(found, exact, of_the_cpu(x, weight, grad, options), strict=True):
        assert_near(ours, expected)
        assert_near(ours, cpu)


@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradients_match_their_definition_and_the_cpu(case):
    options = dict(CASES[case])
    assert_near_definition_and_cpu(*operands(options.pop("shape"), options.pop("weight")), options)


@settings(max_examples=100)
@given(layers())
def test_layers_of_any_kind_match_the_definition_and_the_cpu(layer):
    assert_near_definition_and_cpu(*layer)


def test_more_channels_than_one_tile_holds():
    x, weight = operands((2, 70, 3, 5), (66, 70, 3, 3))
    assert_near_definition_and_cpu(x, weight, {"pads": (1, 1, 1, 1)})


def test_the_weight_gradient_is_the_sum_of_its_parts(monkeypatch):
    x, weight = operands((5, 4, 7, 9), (6, 4, 3, 3))
    grad = gradient_of(x, weight, {})
    whole = results(x, weight, grad)[2]
    monkeypatch.setattr(adder_gpu, "PART_POSITIONS", 40)
    assert_near(results(x, weight, grad)[2], whole)


def test_offsets_of_64_bits_give_the_same(monkeypatch):
    x, weight = operands((2, 5, 6, 7), (3, 5, 3, 3))
    grad = gradient_of(x, weight, {})
    narrow = results(x, weight, grad)
    monkeypatch.setattr(adder_gpu, "INT32_ELEMENTS", 1)
    for array, again in zip(narrow, results(x, weight, grad), strict=True):
        np.testing.assert_array_equal(array, again)


def test_an_empty_batch_has_no_outputs_and_no_slope():
    x, weight = operands((0, 3, 5, 5), (4, 3, 3, 3))
    y, of_x, of_weight = results(x, weight, np.zeros((0, 4, 3, 3), np.float32))
    assert (y.shape, of_x.shape) == ((0, 4, 3, 3), x.shape)
    np.testing.assert_array_equal(of_weight, np.zeros_like(weight))


def test_results_lie_in_channels_last_memory():
    x, weight = (torch.from_numpy(array).to(DEVICE) for array in operands((2, 16, 6, 5), (16, 16, 3, 3)))
    y = adder_gpu.absolute_differences(x, weight, PLAIN)
    assert y.is_contiguous(memory_format=torch.channels_last)
    of_x = adder_gpu.input_gradient(y, x, weight, PLAIN)
    assert of_x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU that PyTorch can use")
def test_the_operator_takes_tensors_of_a_gpu():
    x, weight = operands((2, 4, 7, 6), (6, 2, 3, 2))
    options = {"stride": (2, 1), "pads": (1, 0, 0, 2), "dilation": (1, 2), "groups": 2}
    grad = gradient_of(x, weight, options)
    on_gpu = [torch.from_numpy(array).to(DEVICE).requires_grad_() for array in (x, weight)]
    y = adder_conv2d(*on_gpu, **options)
    found = (y, *torch.autograd.grad(y, on_gpu, torch.from_numpy(grad).to(DEVICE)))
    for ours, cpu in zip(found, of_the_cpu(x, weight, grad, options), strict=True):
        assert_near(ours.numpy(force=True), cpu)
    torch.library.opcheck(torch.ops.adderhw.adder_conv.default, (*on_gpu, [2, 1], [1, 0, 0, 2], [1, 2], 2))
