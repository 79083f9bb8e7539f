"""The adder convolution operator: forward and both gradients against float64 definitions, and its ways in torch."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

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
    "depthwise": {"shape": (2, 5, 6, 6), "weight": (5, 1, 3, 3), "pads": (1, 1, 1, 1), "groups": 5},
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


def assert_near(found, exact, tolerance=1e-5):
    """Equal to within `tolerance` of the largest value."""
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance * max(1e-3, np.abs(exact).max(initial=0)))


def assert_matches_definition(x, weight, options):
    """Forward and both gradients, against float64 sums over windows."""
    x_tensor, w_tensor = (torch.from_numpy(array).requires_grad_() for array in (x, weight))
    y = adder_conv2d(x_tensor, w_tensor, **options)
    grad = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    y.backward(torch.from_numpy(grad))
    exact = definition(*(array.astype(np.float64) for array in (x, weight, grad)), **options)
    for found, expected in zip((y, x_tensor.grad, w_tensor.grad), exact, strict=True):
        assert_near(found.detach().numpy(), expected)


@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradients_match_their_definition(case):
    options = dict(CASES[case])
    assert_matches_definition(*operands(options.pop("shape"), options.pop("weight")), options)


@st.composite
def layers(draw):
    """(x, weight, options) of a small layer of any kind whose window fits the padded input."""
    small, pad = st.integers(1, 3), st.integers(0, 3)
    groups, kernel, dilation = draw(small), (draw(small), draw(small)), (draw(small), draw(small))
    pads = tuple(draw(pad) for _ in range(4))
    size = [draw(st.integers(max(1, dilation[d] * (kernel[d] - 1) + 1 - pads[d] - pads[d + 2]), 9)) for d in (0, 1)]
    channels, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    shapes = (draw(small), channels * groups, *size), (outputs * groups, channels, *kernel)
    options = {"stride": (draw(small), draw(small)), "pads": pads, "dilation": dilation, "groups": groups}
    return *operands(*shapes, seed=draw(st.integers(0, 9))), options


@settings(max_examples=60)
@given(layers())
def test_layers_of_any_kind_match_the_definition(layer):
    assert_matches_definition(*layer)


@pytest.mark.slow
@settings(max_examples=1000)
@given(layers())
def test_a_thousand_layers_match_the_definition(layer):
    assert_matches_definition(*layer)


@pytest.mark.parametrize("case", CASES)
def test_the_gradients_are_slopes_of_the_surrogates(case):
    """Σ g·(x − w) is the slope in w of −Σ g·(x − w)²/2, Σ g·clip(w − x, −1, 1) that in x of −Σ g·huber(x − w).

    Finite differences in float64 along random directions, as gradcheck takes them.
    """
    options = dict(CASES[case])
    x, weight = (
        torch.from_numpy(array).requires_grad_() for array in operands(options.pop("shape"), options.pop("weight"))
    )
    y = adder_conv2d(x, weight, **options)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    gradients = torch.autograd.grad(y, (x, weight), grad)
    x, weight = x.detach().double(), weight.detach().double()
    for position, surrogate in ((0, _huber), (1, _half_square)):
        direction = torch.randn((x, weight)[position].shape, generator=torch.Generator().manual_seed(3)).double()

        def value(step, position=position, surrogate=surrogate, direction=direction):
            moved = [x, weight]
            moved[position] = moved[position] + step * direction
            return -float((grad.double() * _window_sums(surrogate, *moved, **options)).sum())

        slope = (value(1e-6) - value(-1e-6)) / 2e-6
        found = float((gradients[position].double() * direction).sum())
        assert found == pytest.approx(slope, rel=1e-4, abs=1e-4)


def _huber(differences):
    return functional.huber_loss(differences, torch.zeros_like(differences), reduction="none", delta=1.0)


def _half_square(differences):
    return differences**2 / 2


def _window_sums(term, x, weight, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """Σ term(x − w) over the taps of each window, by unfolding: float64 (N, O, H'·W') as (N, O, H', W')."""
    top, left, bottom, right = pads
    padded = functional.pad(x, (left, right, top, bottom))
    size = [(padded.shape[2 + d] - dilation[d] * (weight.shape[2 + d] - 1) - 1) // stride[d] + 1 for d in (0, 1)]
    columns = functional.unfold(padded, weight.shape[2:], dilation=dilation, stride=stride)
    columns = columns.reshape(len(x), groups, 1, -1, columns.shape[-1])
    filters = weight.reshape(1, groups, len(weight) // groups, -1, 1)
    return term(columns - filters).sum(3).reshape(len(x), len(weight), *size)


def test_the_output_shape_follows_onnx_conv():
    for stride, top, dilation in itertools.product((1, 2, 3), (0, 1, 2), (1, 2)):
        x, weight = operands((1, 2, 9, 8), (3, 2, 3, 2))
        pads = (top, 1, 0, 2)
        found = adder_conv2d(*map(torch.from_numpy, (x, weight)), stride=(stride, 1), pads=pads, dilation=(dilation, 1))
        assert found.shape == conv_output_shape(x, weight, (stride, 1), pads, (dilation, 1))


def test_a_linear_adder_layer_is_the_distance_to_each_row():
    x, weight = torch.randn(5, 11), torch.randn(3, 11)
    torch.testing.assert_close(adder_linear(x, weight), -torch.cdist(x, weight, p=1), rtol=1e-5, atol=1e-5)


def test_results_do_not_depend_on_pytorchs_threads():
    x, weight = (torch.from_numpy(array).requires_grad_() for array in operands((8, 16, 8, 8), (32, 16, 3, 3)))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = adder_conv2d(x, weight, pads=(1, 1, 1, 1))
            results.append((y, *torch.autograd.grad(y, (x, weight), torch.ones_like(y))))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


def test_memory_format_does_not_change_the_result():
    x, weight = (torch.from_numpy(array) for array in operands((2, 16, 6, 5), (16, 16, 3, 3)))
    assert torch.equal(adder_conv2d(x, weight), adder_conv2d(x.to(memory_format=torch.channels_last), weight))
    assert torch.equal(adder_conv2d(x, weight), adder_conv2d(x, weight.to(memory_format=torch.channels_last)))


def test_results_lie_in_channels_last_memory():
    x, weight = (torch.from_numpy(array).requires_grad_() for array in operands((2, 16, 6, 5), (16, 16, 3, 3)))
    y = adder_conv2d(x, weight)
    (of_x,) = torch.autograd.grad(y.sum(), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert of_x.is_contiguous(memory_format=torch.channels_last)


OPERATORS = ("adder_conv", "adder_conv_input_gradient", "adder_conv_weight_gradient")


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_operators_pass_torchs_own_checks(name, groups, channels_last):
    x, weight = (torch.from_numpy(a) for a in operands((2, 4, 7, 6), (6, 4 // groups, 3, 2)))
    if channels_last:
        x, weight = (tensor.to(memory_format=torch.channels_last) for tensor in (x, weight))
    options = ([2, 1], [1, 0, 0, 2], [1, 2], groups)
    arguments = (x.requires_grad_(), weight.requires_grad_(), *options)
    if name != "adder_conv":
        grad = torch.randn_like(torch.ops.adderhw.adder_conv(*arguments))
        arguments = (grad.detach(), x.detach(), weight.detach(), *options)
    torch.library.opcheck(getattr(torch.ops.adderhw, name).default, arguments)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_function_has_the_operators_whole(backend):
    compiled = torch.compile(_layer_and_relu, backend=backend, fullgraph=True)
    operands_ = [torch.from_numpy(array).requires_grad_() for array in operands((2, 4, 7, 6), (6, 4, 3, 3))]
    expected, found = (_value_and_gradients(f, operands_) for f in (_layer_and_relu, compiled))
    assert all(map(torch.equal, found, expected))


def test_a_compiled_function_takes_batches_of_any_size():
    torch.compiler.reset()
    compiled = torch.compile(_layer_and_relu, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (2, 3, 5):
        operands_ = [torch.from_numpy(array).requires_grad_() for array in operands((batch, 4, 7, 6), (6, 4, 3, 3))]
        expected, found = (_value_and_gradients(f, operands_) for f in (_layer_and_relu, compiled))
        assert all(map(torch.equal, found, expected))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor compiles C++ and finds no g++")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # inductor's own import
def test_inductor_compiles_around_the_operators(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled = torch.compile(_layer_and_relu, backend="inductor", fullgraph=True)
    operands_ = [torch.from_numpy(array).requires_grad_() for array in operands((2, 4, 7, 6), (6, 4, 3, 3))]
    expected, found = (_value_and_gradients(f, operands_) for f in (_layer_and_relu, compiled))
    for value, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(value, exact, rtol=1e-5, atol=1e-4)


def _layer_and_relu(x, weight):
    return torch.relu(adder_conv2d(x, weight, pads=(1, 1, 1, 1)) + 30)


def _value_and_gradients(function, operands_):
    y = function(*operands_)
    return y, *torch.autograd.grad(y.square().sum(), operands_)


def test_under_autocast_the_sum_is_one_of_float32():
    x, weight = (torch.from_numpy(array) for array in operands((2, 3, 5, 5), (4, 3, 3, 3)))
    narrow = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = adder_conv2d(narrow, weight)
    assert torch.equal(y, adder_conv2d(narrow.float(), weight))
    y.sum().backward()
    assert narrow.grad.dtype == torch.bfloat16


def test_an_empty_batch_has_empty_outputs_and_no_slope():
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    y = adder_conv2d(torch.zeros(0, 3, 5, 5), weight)
    y.sum().backward()
    assert y.shape == (0, 4, 3, 3)
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_a_window_beyond_the_padded_input_is_refused():
    message = r"found a window of \(3, 3\) with dilation \(1, 1\), expected one inside the input of \(2, 9\) with pads"
    with pytest.raises(ModelError, match=message):
        adder_conv2d(torch.zeros(1, 1, 2, 9), torch.zeros(1, 1, 3, 3))


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
