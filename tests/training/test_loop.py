"""The training loop: learning, choosing, and resuming to the very same weights."""

import csv

import pytest
import torch

from adderhw.errors import AdderHwError, ModelError
from training import loop
from training.checkpoint import load_network
from training.recipe import Recipe


def recipe(method="pkkd", **changes):
    return Recipe(method=method, **{"epochs": 3, "limit": 200, "seed": 1, **changes})


def weights(folder, name):
    return torch.load(folder / name, weights_only=True)


def assert_same(a, b):
    """Equal structures whose tensors are equal bit by bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for pair in zip(a, b, strict=True):
            assert_same(*pair)
    else:
        assert a == b


class InterruptionError(Exception):
    """Stands for the kill signal."""


def interrupt_after(epochs):
    def report(epoch, row):
        if epoch == epochs:
            raise InterruptionError

    return report


@pytest.mark.parametrize("method", ["ann", "pkkd"])
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(method, tmp_path):
    loop.train(recipe(method), tmp_path / "whole")
    with pytest.raises(InterruptionError):
        loop.train(recipe(method), tmp_path / "parts", report=interrupt_after(2))
    loop.train(recipe(method), tmp_path / "parts")
    for name in (loop.LAST, loop.BEST):
        assert_same(weights(tmp_path / "whole", name), weights(tmp_path / "parts", name))
    assert (tmp_path / "whole" / loop.LOG).read_text() == (tmp_path / "parts" / loop.LOG).read_text()


def test_a_run_killed_inside_an_epoch_does_that_epoch_again(tmp_path, monkeypatch):
    loop.train(recipe(), tmp_path / "whole")
    steps, train_batch = [], loop.train_batch

    def killed_at_the_sixth_step(*arguments):
        steps.append(None)
        if len(steps) == 6:
            raise InterruptionError
        return train_batch(*arguments)

    monkeypatch.setattr(loop, "train_batch", killed_at_the_sixth_step)
    with pytest.raises(InterruptionError):
        loop.train(recipe(), tmp_path / "parts")
    monkeypatch.setattr(loop, "train_batch", train_batch)
    loop.train(recipe(), tmp_path / "parts")
    assert_same(weights(tmp_path / "whole", loop.LAST), weights(tmp_path / "parts", loop.LAST))


@pytest.mark.slow
def test_an_adder_network_learns_digits(tmp_path):
    metrics = loop.train(recipe("ann", epochs=8, limit=None), tmp_path)
    assert metrics["test_top1"] > 90


def test_the_student_starts_alike_whatever_the_method():
    training, _ = loop.load_training("digits", limit=200)
    ann, kd, pkkd = (loop.start(recipe(method), training).student.network for method in ("ann", "kd", "pkkd"))
    assert_same(ann.state_dict(), kd.state_dict())
    assert_same(ann.state_dict(), pkkd.state_dict())


def test_the_teacher_learns_as_a_network_trained_alone_would():
    training, validation = loop.load_training("digits", limit=200)
    run = loop.start(recipe("pkkd"), training)
    alone = loop.Run(recipe("cnn"), loop.Learner(*_copy_of(run.teacher)), None)
    for each in (run, alone):
        each.history.append(loop.train_epoch(each, training, validation))
    assert_same(run.teacher.network.state_dict(), alone.student.network.state_dict())


def _copy_of(learner):
    training, _ = loop.load_training("digits", limit=200)
    network = loop.start(recipe("cnn"), training).student.network
    network.load_state_dict(learner.network.state_dict())
    return network, torch.optim.SGD(
        [{"params": list(network.parameters()), "weight_decay": recipe().weight_decay}], lr=0.1, momentum=0.9
    )


def test_a_fixed_teacher_stays_as_it_was(tmp_path):
    loop.train(recipe("cnn", epochs=1), tmp_path / "cnn")
    teacher = str(tmp_path / "cnn" / loop.BEST)
    loop.train(recipe("pkkd", epochs=1, teacher=teacher), tmp_path / "ann")
    before = load_network(teacher)[0].state_dict()
    assert_same(weights(tmp_path / "ann", loop.LAST)["learners"][1]["network"], before)


def test_a_teacher_that_is_no_twin_is_refused(tmp_path):
    loop.train(recipe("ann", epochs=1), tmp_path / "ann")
    with pytest.raises(ModelError, match=r"found .*'kind': 'ann'.* on digits, expected .*'kind': 'cnn'"):
        loop.train(recipe("kd", teacher=str(tmp_path / "ann" / loop.BEST)), tmp_path / "kd")


def test_another_recipes_folder_is_refused(tmp_path):
    loop.train(recipe("cnn", epochs=1), tmp_path)
    with pytest.raises(AdderHwError, match=r"last\.pt: found a run with method 'cnn', expected 'ann'; name another"):
        loop.train(recipe("ann", epochs=1), tmp_path)


def test_best_is_the_epoch_of_highest_validation_accuracy_and_of_equals_the_latest(tmp_path):
    metrics = loop.train(recipe("cnn"), tmp_path)
    with open(tmp_path / loop.LOG, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    best = max(rows, key=lambda row: (float(row["val_top1"]), int(row["epoch"])))
    assert (metrics["epoch"], metrics["val_top1"]) == (int(best["epoch"]), float(best["val_top1"]))
    assert load_network(tmp_path / loop.BEST)[1]["metrics"] == metrics


def test_a_finished_run_gives_its_metrics_again(tmp_path):
    first = loop.train(recipe("cnn", epochs=1), tmp_path)
    assert loop.train(recipe("cnn", epochs=1), tmp_path) == first


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(loop.TrainingDivergedError, match=r"epoch 1: found a loss of .*, expected a finite number"):
        loop.train(recipe("cnn", lr=1e30), tmp_path)


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AdderHwError, match="cannot make the output folder"):
        loop.train(recipe("cnn"), tmp_path / "file")
