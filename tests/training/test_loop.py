"""The training loop: learning, choosing, and resuming to the very same weights."""

import csv
import signal
import subprocess
import sys
import time

import pytest
import torch

from adderhw.errors import AdderHwError, ModelError
from training import learners, loop
from training.checkpoint import load_network
from training.data import load_training
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


class InterruptedAfter(loop.Silence):
    """Progress that ends in an interruption after so many epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def epoch(self, run):
        if run.epoch == self.epochs:
            raise InterruptionError


@pytest.mark.parametrize("method", ["ann", "pkkd"])
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(method, tmp_path):
    loop.train(recipe(method), tmp_path / "whole")
    with pytest.raises(InterruptionError):
        loop.train(recipe(method), tmp_path / "parts", progress=InterruptedAfter(2))
    loop.train(recipe(method), tmp_path / "parts")
    for name in (loop.LAST, loop.BEST):
        assert_same(weights(tmp_path / "whole", name), weights(tmp_path / "parts", name))
    assert (tmp_path / "whole" / loop.LOG).read_text() == (tmp_path / "parts" / loop.LOG).read_text()


@pytest.mark.parametrize(("save_minutes", "steps_again"), [(60, 2), (0, 0)])
def test_a_run_killed_inside_an_epoch_goes_on_from_its_last_save(save_minutes, steps_again, tmp_path, monkeypatch):
    whole_steps = count_steps(monkeypatch)
    loop.train(recipe(), tmp_path / "whole")
    steps = count_steps(monkeypatch, fail_at=6)
    with pytest.raises(InterruptionError):
        loop.train(recipe(), tmp_path / "parts", save_minutes=save_minutes)
    assert len(steps) == 5
    steps = count_steps(monkeypatch)
    loop.train(recipe(), tmp_path / "parts")
    assert 5 + len(steps) == len(whole_steps) + steps_again
    assert_same(weights(tmp_path / "whole", loop.LAST), weights(tmp_path / "parts", loop.LAST))
    assert (tmp_path / "whole" / loop.LOG).read_text() == (tmp_path / "parts" / loop.LOG).read_text()


def count_steps(monkeypatch, fail_at=None):
    """A list that grows with each step from now on; the step `fail_at` is interrupted before it is done."""
    steps = []

    def counted(*arguments):
        if len(steps) + 1 == fail_at:
            raise InterruptionError
        steps.append(None)
        return learners.train_batch(*arguments)

    monkeypatch.setattr(loop, "train_batch", counted)
    return steps


@pytest.mark.slow
def test_a_run_killed_by_the_system_ends_with_the_same_weights(tmp_path):
    options = ["--epochs", "4", "--limit", "300", "--threads", "1", "--save-minutes", "0"]
    command = [sys.executable, "-m", "training", *options, "--output"]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    for delay in (0.0, 0.5):
        kill_after_a_save([*command, tmp_path / "parts"], tmp_path / "parts" / loop.LAST, delay)
    subprocess.run([*command, tmp_path / "parts"], check=True, capture_output=True)
    for name in (loop.LAST, loop.BEST):
        assert_same(weights(tmp_path / "whole", name), weights(tmp_path / "parts", name))


def kill_after_a_save(command, path, delay):
    """Start the command; SIGKILL it `delay` seconds after it has written `path` anew."""
    before = path.stat().st_mtime_ns if path.exists() else None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while (path.stat().st_mtime_ns if path.exists() else None) == before:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(("method", "epochs"), [("ann", 8), ("mmd", 8), ("bnn", 40)])
def test_adder_and_binary_networks_learn_digits(method, epochs, tmp_path):
    metrics = loop.train(recipe(method, epochs=epochs, limit=None, seed=0), tmp_path)
    assert metrics["test_top1"] > 85


def test_the_student_starts_alike_whatever_the_method():
    training, _ = loop.load_training("digits", limit=200)
    ann, kd, pkkd = (learners.start(recipe(method), training).student.network for method in ("ann", "kd", "pkkd"))
    assert_same(ann.state_dict(), kd.state_dict())
    assert_same(ann.state_dict(), pkkd.state_dict())


def test_the_teacher_learns_as_a_network_trained_alone_would():
    training, validation = loop.load_training("digits", limit=200)
    run = learners.start(recipe("pkkd"), training)
    alone = learners.Run(recipe("cnn"), learners.Learner(*_copy_of(run.teacher)), None)
    for each in (run, alone):
        each.history.append(loop.train_epoch(each, training, validation))
    assert_same(run.teacher.network.state_dict(), alone.student.network.state_dict())


@pytest.mark.parametrize(
    ("method", "empty"), [("ann", {"teacher_loss", "match", "teacher_val_top1"}), ("kd", {"match"})]
)
def test_a_row_of_the_log_leaves_empty_what_the_run_does_not_have(method, empty):
    training, validation = loop.load_training("digits", limit=100)
    row = loop.train_epoch(learners.start(recipe(method), training), training, validation)
    assert tuple(row) == loop.LOG_FIELDS
    assert {name for name, value in row.items() if value is None} == empty


def test_the_log_tells_the_match_without_its_weight():
    training, validation = loop.load_training("digits", limit=100)
    with_and_without = []
    for beta in (0.0, 100.0):
        run = learners.start(recipe("pkkd", beta=beta, batch_size=100), training)
        with_and_without.append(loop.train_epoch(run, training, validation))
    assert with_and_without[0]["match"] == with_and_without[1]["match"] > 0
    difference = with_and_without[1]["loss"] - with_and_without[0]["loss"]
    assert difference == pytest.approx(100 * with_and_without[0]["match"], rel=1e-5)


def _copy_of(learner):
    training, _ = loop.load_training("digits", limit=200)
    network = learners.start(recipe("cnn"), training).student.network
    network.load_state_dict(learner.network.state_dict())
    return network, torch.optim.SGD(
        [{"params": list(network.parameters()), "weight_decay": recipe().weight_decay}], lr=0.1, momentum=0.9
    )


def test_the_best_teacher_is_written_and_teaches_another_run(tmp_path):
    loop.train(recipe("kd", epochs=3), tmp_path / "kd")
    rows = list(csv.DictReader((tmp_path / "kd" / loop.LOG).read_text().splitlines()))
    best = max(rows, key=lambda row: (float(row["teacher_val_top1"]), int(row["epoch"])))
    network, metadata = load_network(tmp_path / "kd" / loop.TEACHER)
    assert metadata["network"]["kind"] == "cnn"
    assert metadata["metrics"] == {"val_top1": float(best["teacher_val_top1"]), "epoch": int(best["epoch"])}
    assert loop.top1(network, load_training("digits", limit=200)[1]) == metadata["metrics"]["val_top1"]
    loop.train(recipe("pkkd", epochs=1, teacher=str(tmp_path / "kd" / loop.TEACHER)), tmp_path / "fixed")
    assert not (tmp_path / "fixed" / loop.TEACHER).exists()


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


def test_a_run_from_before_an_option_goes_on_with_its_default(tmp_path):
    loop.train(recipe("cnn", epochs=1), tmp_path)
    content = weights(tmp_path, loop.LAST)
    del content["recipe"]["features"]
    torch.save(content, tmp_path / loop.LAST)
    loop.train(recipe("cnn", epochs=1), tmp_path)
    with pytest.raises(AdderHwError, match=r"found a run with features 'kernel\+conv', expected 'conv'"):
        loop.train(recipe("cnn", epochs=1, features="conv"), tmp_path)


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


def test_the_rate_grows_over_the_warm_up_then_falls_as_a_cosine():
    rates = [loop.learning_rate(recipe(epochs=7, warmup=3, lr=0.4), epoch) for epoch in range(7)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4 * (1 + 2**-0.5) / 2, 0.2, 0.4 * (1 - 2**-0.5) / 2])


def test_the_average_that_is_judged_follows_the_weights(tmp_path):
    training, _ = loop.load_training("digits", limit=200)
    run = learners.start(recipe("ann", ema=0.9), training)
    expected = {name: value.clone() for name, value in run.student.network.state_dict().items()}
    for batch in training.epoch_batches(64, seed=0, epoch=0):
        learners.train_batch(run, batch)
        for name, value in run.student.network.state_dict().items():
            expected[name] = 0.9 * expected[name] + 0.1 * value if value.is_floating_point() else value.clone()
    torch.testing.assert_close(run.student.average.state_dict(), expected)
    assert not torch.equal(run.student.average.stem.weight, run.student.network.stem.weight)
    loop.train(recipe("ann", ema=0.9, epochs=1), tmp_path)
    last = weights(tmp_path, loop.LAST)["learners"][0]
    assert_same(weights(tmp_path, loop.BEST)["state_dict"], last["average"])


def test_bfloat16_rounds_the_convolutions_and_leaves_the_weights_float32(tmp_path):
    training, _ = loop.load_training("digits", limit=200)
    batch = next(iter(training.epoch_batches(64, seed=0, epoch=0)))
    losses = {}
    for precision in ("float32", "bfloat16"):
        run = learners.start(recipe(precision=precision), training)
        losses[precision] = learners.train_batch(run, batch)
        assert all(value.dtype == torch.float32 for value in run.student.network.parameters())
    assert not torch.equal(losses["float32"], losses["bfloat16"])
    torch.testing.assert_close(losses["float32"], losses["bfloat16"], rtol=0.1, atol=0)


def test_tensorboard_shows_every_epoch_once_though_the_run_was_interrupted(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(InterruptionError):
        loop.train(recipe("cnn"), tmp_path, tensorboard=True, progress=InterruptedAfter(1))
    loop.train(recipe("cnn"), tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    with open(tmp_path / loop.LOG, newline="") as file:
        rows = list(csv.DictReader(file))
    logged = events.Scalars("val_top1")
    assert [event.step for event in logged] == [1, 2, 3]
    assert [event.value for event in logged] == pytest.approx([float(row["val_top1"]) for row in rows])
