"""The adder convolution operator: forward and both gradients against float64 definitions, and its ways in torch."""

import itertools

import numpy as np
import pytest
import torch

from adderhw.errors import ModelError
from tests.naive import conv_output_shape
from training.adder_op import adder_conv2d, adder_linear

CASES = {
    "one_tile": {"shape": (1, 16, 4, 8), "weight": (16, 16, 3, 3), "pads": (1, 1, 1, 1)},
    "odd_everything": {"shape": (3, 5, 7, 9), "weight": (7, 5, 3, 3), "pads": (1, 1, 1, 1)},
    "stride_two": {"shape": (2, 6, 9, 8), "weight": (18, 6, 3, 3), "stride": (2, 2), "pads": (1, 1, 1, 1)},
    "uneven_strides": {"shape": (2, 3, 8, 11), "weight": (4, 3, 3, 2), "stride": (3, 2), "pads": (0, 1, 0, 1)},
    "onnx_pads": {"shape": (2, 3, 6, 7), "weight": (5, 3, 2, 4), "pads": (0, 1, 2, 3)},
    "dilated": {"shape": (1, 2, 9, 9), "weight": (3, 2, 3, 3), "pads": (2, 2, 2, 2), "dilation": (2, 3)},
    "dilated_with_stride": {
        "shape": (2, 2, 10, 9),
        "weight": (3, 2, 3, 3),
        "stride": (2, 3),
        "pads": (2, 1, 0, 2),
        "dilation": (2, 1),
    },
    "grouped": {"shape": (2, 6, 5, 5), "weight": (9, 2, 3, 3), "pads": (1, 1, 1, 1), "groups": 3},
    "pointwise_shortcut": {"shape": (2, 16, 8, 8), "weight": (32, 16, 1, 1), "stride": (2, 2)},
    "input_rows_never_read": {"shape": (1, 2, 8, 8), "weight": (2, 2, 1, 1), "stride": (3, 3)},
    "pads_beyond_the_kernel": {"shape": (1, 2, 3, 3), "weight": (2, 2, 1, 1), "pads": (2, 1, 1, 2)},
}


def definition(x, weight, grad, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """(Y, ∂L/∂x, ∂L/∂w) in float64, one loop over windows: Y = −Σ|x − w|, g·clip(w − x, −1, 1) and g·(x − w)."""
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    y, grad_padded, grad_w = np.zeros(grad.shape), np.zeros(padded.shape), np.zeros(weight.shape)
    outputs, channels, kernel_h, kernel_w = weight.shape
    for n, o, i, j in np.ndindex(grad.shape):
        first = o // (outputs // groups) * channels
        at = (
            n,
            slice(first, first + channels),
            slice(i * stride[0], i * stride[0] + (kernel_h - 1) * dilation[0] + 1, dilation[0]),
            slice(j * stride[1], j * stride[1] + (kernel_w - 1) * dilation[1] + 1, dilation[1]),
        )
        y[n, o, i, j] = -np.abs(padded[at] - weight[o]).sum()
        grad_padded[at] += grad[n, o, i, j] * np.clip(weight[o] - padded[at], -1, 1)
        grad_w[o] += grad[n, o, i, j] * (padded[at] - weight[o])
    bottom, right = padded.shape[2] - pads[2], padded.shape[3] - pads[3]
    return y, grad_padded[:, :, pads[0] : bottom, pads[1] : right], grad_w


def operands(shape, weight, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(np.float32), 2 * rng.normal(size=weight).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradients_match_their_definition(case):
    options = dict(CASES[case])
    x, weight = operands(options.pop("shape"), options.pop("weight"))
    x_tensor, w_tensor = (torch.from_numpy(array).requires_grad_() for array in (x, weight))
    y = adder_conv2d(x_tensor, w_tensor, **options)
    grad = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    y.backward(torch.from_numpy(grad))
    exact = definition(x.astype(np.float64), weight.astype(np.float64), grad.astype(np.float64), **options)
    for found, expected in zip((y, x_tensor.grad, w_tensor.grad), exact, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-4)


def test_the_output_shape_follows_onnx_conv():
    for stride, top, dilation in itertools.product((1, 2, 3), (0, 1, 2), (1, 2)):
        x, weight = operands((1, 2, 9, 8), (3, 2, 3, 2))
        pads = (top, 1, 0, 2)
        found = adder_conv2d(*map(torch.from_numpy, (x, weight)), stride=(stride, 1), pads=pads, dilation=(dilation, 1))
        assert found.shape == conv_output_shape(x, weight, (stride, 1), pads, (dilation, 1))


def test_a_linear_adder_layer_is_the_distance_to_each_row():
    x, weight = torch.randn(5, 11), torch.randn(3, 11)
    torch.testing.assert_close(adder_linear(x, weight), -torch.cdist(x, weight, p=1), rtol=1e-5, atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    x, weight = (torch.from_numpy(array) for array in operands((8, 16, 8, 8), (32, 16, 3, 3)))
    before = torch.get_num_threads()
    try:
        outputs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            outputs.append(adder_conv2d(x, weight, pads=(1, 1, 1, 1)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*outputs)


def test_memory_format_does_not_change_the_result():
    x, weight = (torch.from_numpy(array) for array in operands((2, 16, 6, 5), (16, 16, 3, 3)))
    assert torch.equal(adder_conv2d(x, weight), adder_conv2d(x.to(memory_format=torch.channels_last), weight))


def test_the_operator_passes_torchs_own_checks():
    x, weight = (torch.from_numpy(array).requires_grad_() for array in operands((2, 3, 5, 6), (4, 3, 3, 3)))
    arguments = (x, weight, [2, 1], [1, 1, 0, 1], [1, 1], 1)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.adderhw.adder_conv.default, arguments, test_utils=tests)


@pytest.mark.parametrize(
    ("x", "weight", "groups", "message"),
    [
        (torch.zeros(1, 3, 4, 4), torch.zeros(2, 4, 3, 3), 1, r"found 3 input channels, weight \(2, 4, 3, 3\)"),
        (torch.zeros(1, 4, 4, 4), torch.zeros(3, 2, 3, 3), 2, "expected weight.1.·groups input channels"),
        (torch.zeros(3, 4, 4), torch.zeros(2, 3, 3, 3), 1, r"input: found torch.float32 \(3, 4, 4\) on cpu"),
        (torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 3, 3).double(), 1, "weight: found torch.float64"),
    ],
)
def test_operands_that_do_not_fit_are_refused(x, weight, groups, message):
    with pytest.raises(ModelError, match=message):
        adder_conv2d(x, weight, groups=groups)
