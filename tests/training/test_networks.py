"""The networks: published sizes, twins, random streams that stay, and refusals."""

import hashlib

import pytest
import torch
from torch import nn

from adderhw.errors import ModelError
from training import networks
from training.layers import AdderConv2d, BinaryConv2d
from training.networks import Bottleneck, Plain, Residual

# Widths of multiples of 8: at 4 and 6, torch 2.13 aborts in oneDNN's jit_1x1:avx2 backward of strided 1×1 layers.
SMALL = {
    "plain": Plain(widths=(4, 4, 6, 6, 8, 8), image_size=16),
    "large_images": Residual(widths=(8, 16), blocks=(2, 1), large_images=True),
    "bottlenecks": Residual(widths=(8, 16), blocks=(2, 1), block=Bottleneck, large_images=True),
}
LAYERS = {"cnn": nn.Conv2d, "ann": AdderConv2d, "bnn": BinaryConv2d}


def build(name="digits_resnet", kind="ann", in_channels=1):
    return networks.build(name, kind, classes=10, in_channels=in_channels)


@pytest.fixture
def small(monkeypatch):
    """Adds networks of the same definitions as VGG-small and the ImageNet ones, but small enough to compute with."""
    monkeypatch.setattr(networks, "ARCHITECTURES", {**networks.ARCHITECTURES, **SMALL})


# Whoever changes these cannot repeat the runs of the model that ships.
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("digits_resnet", "ann", "f7002afaf7f37272"),
        ("digits_resnet", "cnn", "263b67f58b7475d4"),
        ("resnet20", "ann", "80ba87b8e980cad7"),
        ("resnet20", "cnn", "5f3aefe11dba41f6"),
        ("resnet32", "ann", "1f26bd028fe4b78c"),
    ],
)
def test_a_seed_gives_the_weights_that_it_always_gave(name, kind, expected):
    torch.manual_seed(0)
    network = build(name, kind, 1 if name == "digits_resnet" else 3)
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:16] == expected


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
    with torch.device("meta"):
        twins = [build(name, kind, 3) for kind in networks.KINDS]
    shapes = [{key: value.shape for key, value in twin.state_dict().items()} for twin in twins]
    assert shapes[0] == shapes[1] == shapes[2]
    layers = [list(twin.intermediate_layers()) for twin in twins]
    assert layers[0] == layers[1] == layers[2]


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
@pytest.mark.parametrize("kind", networks.KINDS)
def test_the_kind_says_what_lies_between_the_real_first_and_last_layer(name, kind):
    with torch.device("meta"):
        network = build(name, kind, 3)
    layers = {key: m for key, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear, AdderConv2d))}
    assert type(layers.pop("stem")) is nn.Conv2d
    assert type(layers.pop("classifier")) is nn.Linear
    assert layers == network.intermediate_layers()
    assert {type(layer) for layer in layers.values()} == {LAYERS[kind]}


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
def test_every_layer_has_its_own_batch_norm(name):
    with torch.device("meta"):
        network = build(name, "ann", 3)
    norms = [network.batch_norm_of(layer) for layer in network.intermediate_layers()]
    assert len(set(norms)) == len(norms)
    for layer, norm in zip(network.intermediate_layers().values(), norms, strict=True):
        assert network.get_submodule(norm).num_features == layer.out_channels


def test_stages_end_where_the_next_image_is_smaller(small):
    network = build("bottlenecks", "cnn", 3)
    sizes = {}
    for name in network.block_names():
        network.get_submodule(name).register_forward_hook(
            lambda block, inputs, output, name=name: sizes.__setitem__(name, output.shape[2])
        )
    network(torch.zeros(2, 3, 64, 64))
    assert sizes == {"blocks.0": 16, "blocks.1": 16, "blocks.2": 8}
    assert network.stage_names() == ["blocks.1", "blocks.2"]
    assert build("vgg_small", "cnn", 3).stage_names() == ["blocks.0", "blocks.2", "blocks.4"]


@pytest.mark.parametrize("kind", networks.KINDS)
@pytest.mark.parametrize("name", SMALL)
def test_every_kind_gives_scores_and_gradients(small, name, kind):
    torch.manual_seed(0)
    network = build(name, kind, 3)
    side = SMALL[name].image_size if name == "plain" else 32
    scores = network(torch.randn(4, 3, side, side))
    assert scores.shape == (4, 10)
    scores.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters() if parameter.ndim > 1)


def test_binary_layers_see_both_signs():
    torch.manual_seed(0)
    network, shares = build(kind="bnn"), []
    for layer in network.intermediate_layers().values():
        layer.register_forward_hook(lambda m, inputs, output: shares.append(float((inputs[0] >= 0).float().mean())))
    network(torch.randn(16, 1, 8, 8))
    assert len(shares) == 9
    assert all(0.2 < share < 0.8 for share in shares)


def test_vgg_small_refuses_images_that_its_linear_layer_does_not_fit():
    with pytest.raises(ModelError, match="vgg_small: found images of 28x28, expected 32 in both"):
        build("vgg_small")(torch.zeros(1, 1, 28, 28))


def test_intermediate_layers_leave_out_the_first_and_the_last():
    ann = build("resnet20", in_channels=3)
    assert len(ann.intermediate_layers()) == 20
    assert all(isinstance(layer, AdderConv2d) for layer in ann.intermediate_layers().values())


def test_the_digits_network_is_small():
    assert 20_000 < sum(p.numel() for p in build().parameters()) < 80_000


def test_unknown_networks_and_kinds_are_refused():
    known = "digits_resnet, resnet20, resnet32, vgg_small, resnet18, resnet50"
    with pytest.raises(ModelError, match=f"model: found 'vgg', expected one of {known}"):
        build("vgg")
    with pytest.raises(ModelError, match="kind: found 'snn', expected one of cnn, ann, bnn"):
        build(kind="snn")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SMALL)
def test_every_definition_goes_on_through_export_and_quantisation(small, name, tmp_path):
    from export.from_torch import export_module
    from quant import Settings, quantise

    torch.manual_seed(0)
    network = build(name, "ann", 3)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 1.0
    side = SMALL[name].image_size if name == "plain" else 32
    images = torch.randn(16, 3, side, side)
    with torch.no_grad():
        network.train()(images)
    exported = export_module(network, images[:1], tmp_path / "ann.onnx")
    assert 0 < exported.difference < 1e-3
    graph = quantise(exported.model, images.numpy(), Settings(bits=8))
    ops = [node.op for node in graph.nodes]
    assert ops.count("AdderConvInteger") == len(network.intermediate_layers())
    assert ops.count("MaxPoolInteger") == (3 if name == "plain" else 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_binary_network_is_refused_by_export(tmp_path):
    from export.from_torch import export_module

    with pytest.raises(ModelError, match="found op adderhw::BinaryConv, expected a module that needs only"):
        export_module(build(kind="bnn"), torch.zeros(1, 1, 8, 8), tmp_path / "bnn.onnx")
