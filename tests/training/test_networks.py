"""The networks: published sizes, twins, and refusals."""

import pytest
import torch

from adderhw.errors import ModelError
from training import networks
from training.layers import AdderConv2d


def build(name="digits_resnet", kind="ann", in_channels=1):
    return networks.build(name, kind, classes=10, in_channels=in_channels)


@pytest.mark.parametrize(("name", "total"), [("resnet20", 40_813_184), ("resnet32", 69_124_736)])
@pytest.mark.parametrize("kind", networks.KINDS)
def test_taps_of_the_cifar_networks_are_exact(name, kind, total):
    assert sum(networks.taps(build(name, kind, in_channels=3), (3, 32, 32)).values()) == total


def test_taps_leave_the_network_in_its_mode():
    network = build().train()
    networks.taps(network, (1, 8, 8))
    assert network.training


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
def test_twins_have_the_same_parameters(name):
    cnn, ann = (build(name, kind).state_dict() for kind in networks.KINDS)
    assert {key: value.shape for key, value in cnn.items()} == {key: value.shape for key, value in ann.items()}


def test_intermediate_layers_leave_out_the_first_and_the_last():
    ann = build("resnet20", in_channels=3)
    assert len(ann.intermediate_layers()) == 20
    assert all(isinstance(layer, AdderConv2d) for layer in ann.intermediate_layers().values())
    assert list(ann.intermediate_layers()) == list(build("resnet20", "cnn", 3).intermediate_layers())


def test_the_digits_network_is_small():
    assert 20_000 < sum(p.numel() for p in build().parameters()) < 80_000


def test_a_network_gives_one_score_per_class():
    assert build()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_unknown_networks_and_kinds_are_refused():
    with pytest.raises(ModelError, match="model: found 'resnet18', expected one of digits_resnet, resnet20, resnet32"):
        build("resnet18")
    with pytest.raises(ModelError, match="kind: found 'bnn', expected one of cnn, ann"):
        build(kind="bnn")
