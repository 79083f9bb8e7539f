"""Weights of the published AdderNet code: what is converted computes the same, and other files are refused."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.test_main import call
from training import checkpoint, convert, evaluate, networks

OUTSIDE = Path(os.environ.get("ADDERHW_OUTSIDE_MODEL", "nowhere"))


def outside():
    """(state under that code's names, our network of the same layers, its last convolution and batch norm)."""
    torch.manual_seed(0)
    network = networks.build(**convert.describe("resnet20", "cifar10"))
    last = nn.Sequential(nn.Conv2d(64, 10, 1, bias=False), nn.BatchNorm2d(10))
    for norm in (m for part in (network, last) for m in part.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.load_state_dict({name: value + torch.rand(value.shape) for name, value in norm.state_dict().items()})
    state = {outside_name(name): value for name, value in network.state_dict().items() if "classifier" not in name}
    state["fc.weight"] = last[0].weight.detach()
    return {**state, **{f"bn2.{name}": value for name, value in last[1].state_dict().items()}}, network, last


def outside_name(name):
    """The name in huawei-noah/AdderNet's resnet20.py of one of our tensors."""
    name = {"stem.weight": "conv1.weight"}.get(name, name.replace("bn.", "bn1.", 1) if name.startswith("bn.") else name)
    if name.startswith("blocks."):
        _, block, rest = name.split(".", 2)
        name = f"layer{int(block) // 3 + 1}.{int(block) % 3}.{rest.replace('shortcut', 'downsample')}"
        if rest.endswith(("conv1.weight", "conv2.weight", "shortcut.0.weight")):
            name = name.removesuffix("weight") + "adder"
    return name


def test_a_converted_network_computes_what_the_outside_one_computes():
    state, network, last = outside()
    converted = convert.convert(state, convert.describe("resnet20", "cifar10"), "a file")
    network.classifier, x = nn.Identity(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = network.eval()(x)
        expected = last.eval()(features[:, :, None, None]).flatten(1)
        torch.testing.assert_close(converted(x), expected, rtol=1e-5, atol=1e-4)


def test_the_folded_layer_is_exact_up_to_one_rounding():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(7, 5, 1, bias=False).double(), nn.BatchNorm2d(5).double().eval()
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var.mul_(0).add_(0.3)):
            values.add_(torch.rand(5))
        operands = [conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
        weight, bias = convert.fold_last_layer(*operands)
        x = torch.randn(3, 7, dtype=torch.double)
        expected = norm(conv(x[:, :, None, None])).flatten(1)
    torch.testing.assert_close(x @ weight.T.double() + bias.double(), expected, rtol=1e-6, atol=1e-6)


def test_the_command_writes_a_checkpoint_with_that_codes_preprocessing(tmp_path, monkeypatch, capsys):
    torch.save(outside()[0], tmp_path / "outside.pt")
    assert call(convert, monkeypatch, tmp_path / "outside.pt", "-o", tmp_path / "ours.pt") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'ours.pt'}: resnet20 with 272,474 parameters\n"
    _, metadata = checkpoint.load_network(tmp_path / "ours.pt")
    assert metadata["preprocess"]["mean"] == pytest.approx([125.307, 122.961, 113.8575])
    assert metadata["preprocess"]["dataset"] == "cifar10"


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda state: state.pop("fc.weight"), [], "found a state that is not that of resnet20 ('fc.weight')"),
        (
            lambda state: state.pop("conv1.weight"),
            [],
            "found a state that is not that of resnet20 (Error(s) in loading",
        ),
        (lambda state: state.update(more=torch.zeros(1)), [], "found a state that is not that of resnet20"),
        (lambda state: None, ["--model", "resnet32"], "found a state that is not that of resnet32"),
        (lambda state: None, ["--model", "vgg"], "model: found 'vgg', expected one of resnet20, resnet32"),
        (lambda state: None, ["--data", "digits"], "data: found 'digits', expected one of cifar10, cifar100"),
    ],
)
def test_another_state_is_refused_in_one_line(change, arguments, message, tmp_path, monkeypatch, capsys):
    state = outside()[0]
    change(state)
    torch.save(state, tmp_path / "outside.pt")
    assert call(convert, monkeypatch, tmp_path / "outside.pt", "-o", tmp_path / "ours.pt", *arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "ours.pt").exists()


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_without_weights_is_named(content, tmp_path, monkeypatch, capsys):
    if content is not None:
        (tmp_path / "outside.pt").write_bytes(content)
    assert call(convert, monkeypatch, tmp_path / "outside.pt", "-o", tmp_path / "ours.pt") == 2
    assert "expected weights of the published AdderNet code" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not OUTSIDE.is_file(), reason="ADDERHW_OUTSIDE_MODEL names no file")
@pytest.mark.skipif("ADDERHW_DATA" not in os.environ, reason="ADDERHW_DATA is not set")
def test_the_outside_model_scores_what_was_measured_elsewhere(tmp_path, monkeypatch, capsys):
    assert call(convert, monkeypatch, OUTSIDE, "-o", tmp_path / "ours.pt") == 0
    assert call(evaluate, monkeypatch, tmp_path / "ours.pt") == 0
    assert capsys.readouterr().out.endswith("cifar10, test: 9,161 of 10,000 images, top-1 91.61 %\n")


def test_a_state_that_data_parallel_wrote_is_the_same():
    state, *_ = outside()
    description = convert.describe("resnet20", "cifar10")
    plain = convert.convert(state, description, "a file").state_dict()
    parallel = convert.convert({f"module.{name}": value for name, value in state.items()}, description, "a file")
    assert all(torch.equal(value, plain[name]) for name, value in parallel.state_dict().items())


def test_a_last_layer_of_other_dimensions_is_one_line(tmp_path, monkeypatch, capsys):
    state = outside()[0]
    torch.save({**state, "fc.weight": state["fc.weight"][:, :, 0, 0]}, tmp_path / "outside.pt")
    assert call(convert, monkeypatch, tmp_path / "outside.pt", "-o", tmp_path / "ours.pt") == 2
    assert "found a state that is not that of resnet20" in capsys.readouterr().err
