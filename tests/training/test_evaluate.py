"""The accuracy of a checkpoint: what training measured, on the images that are asked for; bad input is one line."""

import numpy as np
import pytest
import torch

from tests.training.test_main import call
from training import evaluate, loop
from training.recipe import Recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder of a run, its metrics)."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    return folder, loop.train(Recipe(method="cnn", epochs=2), folder)


@pytest.mark.parametrize(("split", "metric", "count"), [("test", "test_top1", 355), ("validation", "val_top1", 140)])
def test_the_figures_are_those_that_training_measured(trained, split, metric, count, monkeypatch, capsys):
    folder, metrics = trained
    assert call(evaluate, monkeypatch, folder / loop.BEST, "--split", split) == 0
    top1 = metrics[metric]
    right = round(top1 * count / 100)
    expected = f"{folder / loop.BEST}: digits, {split}: {right} of {count} images, top-1 {top1:.2f} %\n"
    assert capsys.readouterr().out == expected


def test_images_that_are_named_are_not_counted(trained, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "some.npz", test=np.arange(5, dtype=np.int32))
    assert call(evaluate, monkeypatch, trained[0] / loop.BEST, "--leave-out", tmp_path / "some.npz") == 0
    assert " of 350 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": np.arange(5)}, "expected an .npz with an array 'test'"),
        ({"test": np.array([355])}, "found other indices in 'test', expected whole numbers from 0 to 354"),
        ({"test": np.array([0.5])}, "found other indices in 'test'"),
    ],
)
def test_bad_indices_are_refused_in_one_line(trained, arrays, message, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "some.npz", **arrays)
    assert call(evaluate, monkeypatch, trained[0] / loop.BEST, "--leave-out", tmp_path / "some.npz") == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_an_unknown_split_is_refused(trained, monkeypatch, capsys):
    assert call(evaluate, monkeypatch, trained[0] / loop.BEST, "--split", "train") == 2
    assert capsys.readouterr().err == "error: split: found 'train', expected one of test, validation\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"input_shape": [1, 9, 9]},
            "found a network for [1, 9, 9] and 10 classes, expected [1, 8, 8] and 10",
        ),
        ({"preprocess": {"dataset": "digits", "mean": "none", "std": [1.0]}}, "expected dataset, mean and std"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_data_is_refused(trained, change, message, tmp_path, monkeypatch, capsys):
    content = torch.load(trained[0] / loop.BEST, weights_only=True)
    torch.save({**content, **change}, tmp_path / "changed.pt")
    assert call(evaluate, monkeypatch, tmp_path / "changed.pt") == 2
    assert message in capsys.readouterr().err
