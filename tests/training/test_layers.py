"""Adder and binary layers: parameters, signs and gradients, the adaptive learning rate, and their ONNX nodes."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from adderhw.errors import ModelError
from training.layers import AdderConv2d, AdderLinear, BinaryConv2d, scale_adder_gradients, sign


def test_the_layers_hold_nn_conv2ds_attributes():
    layer, conv = AdderConv2d(4, 8, 3, 2, 1, 1, 2), nn.Conv2d(4, 8, 3, 2, 1, 1, 2)
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(layer, name) == getattr(conv, name)
    assert layer.weight.shape == conv.weight.shape
    assert layer.pads == (1, 1, 1, 1)


def test_asymmetric_padding_keeps_onnxs_order():
    layer = AdderConv2d(1, 1, 1, padding=(0, 1, 2, 3))
    assert layer.pads == (0, 1, 2, 3)
    assert layer(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 6, 8)


def test_weights_start_as_a_standard_normal():
    torch.manual_seed(0)
    weight = AdderConv2d(64, 64, 3).weight.detach()
    assert abs(float(weight.mean())) < 0.02
    assert abs(float(weight.std()) - 1) < 0.02


def test_groups_must_divide_the_channels():
    with pytest.raises(ModelError, match="found 3 groups, expected a divisor of 4 and 6 channels"):
        AdderConv2d(4, 6, 3, groups=3)


def test_the_adaptive_rate_gives_every_adder_weight_the_same_root_mean_square():
    network = nn.Sequential(AdderConv2d(1, 4, 3), nn.Flatten(), AdderLinear(16, 3), nn.Linear(3, 2))
    (1000 * network(torch.randn(2, 1, 4, 4)).square().sum()).backward()
    untouched = network[3].weight.grad.clone()
    direction = network[0].weight.grad / network[0].weight.grad.norm()
    scale_adder_gradients(network, eta=0.2)
    for layer in (network[0], network[2]):
        assert layer.weight.grad.square().mean().sqrt() == pytest.approx(0.2, rel=1e-5)
    torch.testing.assert_close(network[0].weight.grad, 0.2 * 6 * direction)
    assert torch.equal(network[3].weight.grad, untouched)


def test_a_zero_gradient_stays_zero():
    layer = AdderLinear(2, 2)
    layer.weight.grad = torch.zeros(2, 2)
    scale_adder_gradients(layer)
    assert torch.equal(layer.weight.grad, torch.zeros(2, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_layers_write_themselves_to_onnx():
    network = nn.Sequential(AdderConv2d(2, 4, 3, stride=2, padding=1), nn.Flatten(), AdderLinear(16, 3))
    program = torch.onnx.export(network.eval(), (torch.zeros(1, 2, 4, 4),), dynamo=True, verbose=False)
    nodes = {node.op_type: node for node in program.model_proto.graph.node}
    assert nodes["AdderConv"].domain == nodes["AdderGemm"].domain == "adderhw"
    conv = {a.name: list(a.ints) or a.i for a in nodes["AdderConv"].attribute}
    assert conv == {
        "kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1
    }  # fmt: skip
    assert [(a.name, a.i) for a in nodes["AdderGemm"].attribute] == [("transB", 1)]


def test_the_sign_of_zero_is_plus_one_and_its_gradient_is_that_of_the_clip():
    x = torch.tensor([-3.0, -1.0, -0.25, 0.0, 0.7, 1.0, 2.0], requires_grad=True)
    signs = sign(x)
    assert signs.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    (signs * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


def test_a_binary_convolution_counts_equal_signs():
    torch.manual_seed(0)
    layer, x = BinaryConv2d(3, 5, (3, 2), stride=2, padding=(1, 0)), torch.randn(2, 3, 7, 6)
    found = layer(x)
    weight = layer.weight.detach().double()
    padded = torch.where(nn.functional.pad(x, (0, 0, 1, 1), value=9.0) >= 0, 1.0, -1.0)
    real = nn.functional.pad(torch.ones_like(x), (0, 0, 1, 1))
    for n, o, i, j in np.ndindex(*found.shape):
        window = (n, slice(None), slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 2))
        equal = (padded[window] == torch.where(weight[o] >= 0, 1.0, -1.0)) & (real[window] == 1)
        expected = weight[o].abs().mean() * (2 * equal.sum() - real[window].sum())
        assert found[n, o, i, j].item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_binary_convolutions_gradient_is_straight_through_plus_that_of_the_scale():
    torch.manual_seed(0)
    layer, x = BinaryConv2d(2, 3, 2), torch.randn(4, 2, 5, 5, requires_grad=True)
    with torch.no_grad():
        layer.weight.mul_(3)
    out = layer(x)
    seed = torch.randn_like(out)
    out.backward(seed)
    w, signs = layer.weight.detach().double(), sign(layer.weight.detach()).double()
    alpha, patches = w.abs().mean((1, 2, 3)), sign(x.detach()).double().unfold(2, 2, 1).unfold(3, 2, 1)
    correlation = torch.einsum("noij,ncijkl->ockl", seed.double(), patches)
    inside = (w.abs() <= 1).double()
    through_scale = (correlation * signs).sum((1, 2, 3))[:, None, None, None] * signs / w[0].numel()
    expected = alpha[:, None, None, None] * correlation * inside + through_scale
    torch.testing.assert_close(layer.weight.grad.double(), expected, rtol=1e-4, atol=1e-4)
    assert (inside == 0).any()
    assert torch.equal(x.grad == 0, x.detach().abs() > 1)


def difference(x, weight, stride, pads, dilation):
    """−Σ|x − w| by unfolding an input that is padded with zeros."""
    top, left, bottom, right = pads
    padded = nn.functional.pad(x, (left, right, top, bottom))
    columns = nn.functional.unfold(padded, weight.shape[2:], dilation, 0, stride)
    sums = -(columns[:, None] - weight.flatten(1)[None, :, :, None]).abs().sum(2)
    extent = [dilation * (k - 1) + 1 for k in weight.shape[2:]]
    size = [(length - window) // stride + 1 for length, window in zip(padded.shape[2:], extent, strict=True)]
    return sums.reshape(len(x), len(weight), *size)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"bias": False}, {"padding": "valid"}, {"padding": "same"}, {"padding": "same", "dilation": 2},
        {"padding": (2, 1), "padding_mode": "zeros"}, {"padding": 1, "padding_mode": "reflect"},
        {"padding": (1, 2), "padding_mode": "replicate"}, {"padding": 2, "padding_mode": "circular"},
        {"device": "cpu", "dtype": torch.float32},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kernel", [3, (2, 4)])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_convolution_that_is_swapped_for_an_adder_layer_keeps_its_shape_and_padding(options, kernel):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, kernel, **{**options, "bias": False})
    layer = AdderConv2d(3, 5, kernel, **options)
    x = torch.randn(2, 3, 9, 8)
    y = layer(x)
    assert y.shape == conv(x).shape
    mode = options.get("padding_mode", "zeros")
    sides = conv._reversed_padding_repeated_twice  # left, right, top, bottom, as nn.Conv2d pads
    padded = nn.functional.pad(x, sides, "constant" if mode == "zeros" else mode)
    expected = difference(padded, layer.weight, 1, (0, 0, 0, 0), options.get("dilation", 1))
    assert torch.allclose(y, expected, atol=1e-4)


def test_memory_lies_as_it_did_and_an_image_needs_no_batch():
    layer, x = AdderConv2d(3, 5, 3), torch.randn(2, 3, 8, 8)
    assert layer(x).is_contiguous()
    assert layer(x).view(2, -1).shape == (2, 180)
    turned = layer(x.contiguous(memory_format=torch.channels_last))
    assert turned.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(turned, layer(x))
    assert torch.equal(layer(x[0]), layer(x)[0])
    inside = AdderConv2d(3, 5, 3, channels_last_output=True)(x)
    assert inside.is_contiguous(memory_format=torch.channels_last)


def test_code_that_asks_a_convolution_finds_the_same_here():
    layer = AdderConv2d(3, 5, 3, padding=(np.int64(1),))
    assert (layer.padding, layer.pads) == ((1, 1), (1, 1, 1, 1))
    assert layer.bias is None
    before = layer.weight.detach().clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    assert list(layer.state_dict()) == ["weight"]
    with pytest.raises(ModelError, match="found 0 groups"):
        AdderConv2d(4, 4, 3, groups=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bias": True}, "found bias=True, expected False"),
        ({"dtype": torch.float16}, "found dtype torch.float16, expected torch.float32"),
        ({"padding_mode": "wrap"}, "found padding_mode 'wrap'"),
        ({"padding": "same", "stride": 2}, "found padding='same' and stride (2, 2), expected stride 1"),
        ({"padding": "full"}, "found padding 'full', expected 'same', 'valid'"),
        ({"padding": (1, 2, 3)}, "found padding (1, 2, 3)"),
        ({"padding": -1}, "found padding (-1, -1)"),
    ],
)
def test_what_an_adder_layer_cannot_be_is_one_line(options, words):
    with pytest.raises(ModelError, match=re.escape(words)):
        AdderConv2d(3, 5, 3, **options)


def test_a_linear_layer_takes_the_arguments_of_pytorchs():
    assert AdderLinear(4, 3, bias=False, device="cpu", dtype=torch.float32).bias is None
    with pytest.raises(ModelError, match="AdderLinear: found bias=True, expected False"):
        AdderLinear(4, 3, bias=True)
