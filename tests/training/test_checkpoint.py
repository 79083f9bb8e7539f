"""Checkpoints: what is written is what is read, and strangers' files are refused in one line."""

import pytest
import torch

from adderhw.errors import ModelError
from training import checkpoint, networks
from training.data import PREPROCESS

DESCRIPTION = {"name": "digits_resnet", "kind": "ann", "classes": 10, "in_channels": 1}


def write(path):
    torch.manual_seed(0)
    network = networks.build(**DESCRIPTION)
    checkpoint.write_network(
        path,
        network,
        description=DESCRIPTION,
        preprocess=PREPROCESS["digits"],
        dataset="digits",
        input_shape=(1, 8, 8),
        training={"method": "ann", "seed": 0},
        metrics={"val_top1": 12.5},
    )
    return network


def test_a_network_comes_back_with_its_metadata_and_in_evaluation_mode(tmp_path):
    written = write(tmp_path / "best.pt").eval()
    network, metadata = checkpoint.load_network(tmp_path / "best.pt")
    x = torch.rand(2, 1, 8, 8)
    assert not network.training
    assert torch.equal(network(x), written(x))
    assert metadata == {
        "format": "adderhw-checkpoint",
        "version": 1,
        "network": DESCRIPTION,
        "input_shape": [1, 8, 8],
        "preprocess": {"dataset": "digits", "mean": [0.0], "std": [16.0]},
        "training": {"method": "ann", "seed": 0},
        "metrics": {"val_top1": 12.5},
    }


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        ModelError, match=r"none\.pt: found no such file, expected format 'adderhw-checkpoint', a checkpoint"
    ):
        checkpoint.load_network(tmp_path / "none.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken", b".", b"h", b"G", b"\x8a", b"a."])
def test_a_file_that_is_no_pytorch_file_is_refused(tmp_path, content):
    (tmp_path / "best.pt").write_bytes(content)
    with pytest.raises(ModelError, match="found no readable PyTorch file"):
        checkpoint.load_network(tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "found format 'other', expected 'adderhw-checkpoint'"),
        ({"version": 2}, "found version 2, expected 1"),
        ({"network": {**DESCRIPTION, "name": "vgg"}}, "model: found 'vgg'"),
        ({"network": {**DESCRIPTION, "classes": 7}}, "found a state that is not that of its network"),
        ({"network": {"name": "digits_resnet"}}, "found a state that is not that of its network"),
        ({"state_dict": 3}, "found a state that is not that of its network"),
    ],
)
def test_changed_checkpoints_are_refused(tmp_path, change, message):
    path = tmp_path / "best.pt"
    write(path)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(ModelError, match=message):
        checkpoint.load_network(path)


def test_a_checkpoint_without_a_field_is_refused(tmp_path):
    path = tmp_path / "best.pt"
    write(path)
    content = torch.load(path, weights_only=True)
    del content["preprocess"]
    torch.save(content, path)
    with pytest.raises(ModelError, match="found no preprocess, expected a checkpoint with network"):
        checkpoint.load_network(path)


def test_a_tensor_alone_is_not_a_checkpoint(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "best.pt")
    with pytest.raises(ModelError, match="found format 'Tensor'"):
        checkpoint.load_network(tmp_path / "best.pt")
