"""The accuracy of a checkpoint: what training measured, on the images that are asked for; bad input is one line."""

import numpy as np
import pytest
import torch

from tests.training.test_main import call
from training import checkpoint, evaluate, loop
from training.data import load_images, load_training
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


def test_training_images_are_those_that_are_not_for_validation(trained, monkeypatch, capsys):
    path = trained[0] / loop.BEST
    metadata = checkpoint.load_network(path)[1]
    right = answers(path, load_training("digits")[0]).sum()
    assert call(evaluate, monkeypatch, path, "--split", "training") == 0
    assert capsys.readouterr().out.startswith(f"{path}: digits, training: {right:,} of 1,302 images, top-1 ")
    assert (
        len(load_images(metadata, path, "training", None)) + len(load_images(metadata, path, "validation", None))
        == 1442
    )


def test_a_limited_run_is_judged_on_its_own_training_and_validation_images(tmp_path, monkeypatch, capsys):
    metrics = loop.train(Recipe(method="cnn", epochs=1, limit=300), tmp_path)
    path, (training, validation) = tmp_path / loop.BEST, load_training("digits", limit=300)
    for split, images in (("training", training), ("validation", validation)):
        assert call(evaluate, monkeypatch, path, "--split", split, "--limit", 300) == 0
        right = answers(path, images).sum()
        expected = f"{path}: digits, {split}: {right} of {len(images)} images, top-1 {100 * right / len(images):.2f} %"
        assert capsys.readouterr().out.splitlines() == [expected]
    assert 100 * right / len(validation) == pytest.approx(metrics["val_top1"])


def test_a_limit_of_test_images_is_refused(trained, monkeypatch, capsys):
    assert call(evaluate, monkeypatch, trained[0] / loop.BEST, "--limit", 300) == 2
    expected = "error: limit: found 300 with split test, expected split training or validation\n"
    assert capsys.readouterr().err == expected


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The checkpoint of another run."""
    folder = tmp_path_factory.mktemp("other")
    loop.train(Recipe(method="ann", epochs=1, seed=1), folder)
    return folder / loop.BEST


def answers(path, images=None):
    """bool (N,): which images, those for testing unless given, a checkpoint puts right."""
    network, metadata = checkpoint.load_network(path)
    images = images or load_images(metadata, path, "test", None)
    with torch.no_grad():
        parts = [network.eval()(batch.images).argmax(1) == batch.labels for batch in images.batches_in_order(100)]
    return torch.cat(parts).numpy()


def test_others_are_compared_to_the_first_image_by_image(trained, other, monkeypatch, capsys):
    first = trained[0] / loop.BEST
    assert call(evaluate, monkeypatch, first, other, first) == 0
    a, b = answers(first), answers(other)
    difference = b.astype(float) - a
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{other}: digits, test: {b.sum()} of 355 images, top-1 {100 * b.mean():.2f} %"
    error, only = difference.std() / np.sqrt(355), ((b & ~a).sum(), (a & ~b).sum())
    tail = "points, standard error {:.2f} ({} images right only here, {} only there)".format
    assert lines[3] == f"{other} against {first}: {100 * difference.mean():+.2f} {tail(100 * error, *only)}"
    assert lines[4] == f"{first} against {first}: +0.00 {tail(0, 0, 0)}"
    assert len(lines) == 5
    assert difference.any()


def test_a_checkpoint_of_another_data_set_is_not_compared(trained, other, tmp_path, monkeypatch, capsys):
    content = torch.load(other, weights_only=True)
    content["preprocess"]["dataset"] = "cifar10"
    torch.save(content, tmp_path / "other.pt")
    first = trained[0] / loop.BEST
    assert call(evaluate, monkeypatch, first, tmp_path / "other.pt") == 2
    expected = f"error: {tmp_path / 'other.pt'}: found a network for 'cifar10', expected one for 'digits' as {first}\n"
    assert capsys.readouterr().err == expected


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
    assert capsys.readouterr().err == "error: split: found 'train', expected one of test, validation, training\n"


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
