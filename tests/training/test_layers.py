"""Adder layers: their parameters, the adaptive learning rate, and the ONNX nodes they write."""

import pytest
import torch
from torch import nn

from adderhw.errors import ModelError
from training.layers import AdderConv2d, AdderLinear, scale_adder_gradients


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
