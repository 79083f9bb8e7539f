"""Training lowers the loss, goes on where it was interrupted, and takes a CNN for a teacher."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adderhw import simulation
from adderhw.errors import AdderHwError, DataError, ModelError
from quant import qat
from quant.float_graph import read_float_graph
from quant.qat_recipe import DivergedError, QatRecipe
from quant.qat_state import read_state, write_state
from quant.settings import Settings
from training import checkpoint, networks
from training.data import PREPROCESS

DIGITS = Path(simulation.SHIPPED_MODEL).with_name("digits.onnx")
RECIPE = QatRecipe("digits", steps=8, batch_size=16, samples=16, limit=200)
SETTINGS = Settings(bits=2, range="quantile", bias_correction=False)


@pytest.fixture(scope="module")
def uninterrupted():
    """(Trained, parameters) of eight steps on the digits."""
    runs = []
    result = qat.train(DIGITS, RECIPE, SETTINGS, progress=Progress(runs.append))
    return result, runs[-1].network.parameters


class Progress(qat.Silence):
    """Hands each step's run to `told`."""

    def __init__(self, told):
        self.told = told

    def step(self, run, steps):
        self.told(run)


def test_steps_on_a_batch_lower_its_loss():
    graph = read_float_graph(DIGITS)
    training, _ = qat.load(graph, RECIPE, None)
    start = qat.calibrated(graph, training, RECIPE, SETTINGS, None)
    run = qat.begin(DIGITS, graph, start, replace(RECIPE, lr=5e-4))
    batch = next(iter(training.batches_in_order(32)))
    losses = [qat.step(run, batch, 1.0) for _ in range(10)]
    assert sum(losses[-3:]) / 3 < 0.8 * losses[0], losses


def test_an_interrupted_run_ends_with_the_same_network(uninterrupted, tmp_path):
    state = tmp_path / "run.pt"

    def stop(run):
        if run.steps == 5:
            raise KeyboardInterrupt

    options = {"state": state, "save_minutes": 0}
    with pytest.raises(KeyboardInterrupt):
        qat.train(DIGITS, RECIPE, SETTINGS, progress=Progress(stop), **options)
    runs = []
    result = qat.train(DIGITS, RECIPE, SETTINGS, progress=Progress(lambda run: runs.append(run)), **options)
    expected, parameters = uninterrupted
    assert [run.steps for run in runs[:1]] == [8]
    assert len(runs) == 4
    for name, each in runs[-1].network.parameters.items():
        assert torch.equal(each, parameters[name]), name
    assert result[1:] == expected[1:]
    for name, each in result.graph.parameters.items():
        assert np.array_equal(each, expected.graph.parameters[name])
    assert result.graph.metadata == expected.graph.metadata


def test_the_metadata_say_how_it_was_trained(uninterrupted):
    text = uninterrupted[0].graph.metadata["adderhw.quantisation"]
    assert '"qat": {"data": "digits", "epochs": 1, "steps": 8' in text


def test_a_state_of_another_run_is_an_error(tmp_path):
    state = tmp_path / "run.pt"
    qat.train(DIGITS, replace(RECIPE, steps=1), SETTINGS, state=state, save_minutes=0)
    with pytest.raises(AdderHwError, match=r"run\.pt: found a run with recipe .* expected .* remove this file"):
        qat.train(DIGITS, replace(RECIPE, steps=2), SETTINGS, state=state)


def test_a_start_with_all_defaults_comes_back_from_its_file(tmp_path):
    graph = read_float_graph(DIGITS)
    training, _ = qat.load(graph, RECIPE, None)
    start = qat.calibrated(graph, training, RECIPE, Settings(bits=4), lambda done, total: None)
    write_state(tmp_path / "run.pt", {}, start, {"numbers": [1.0, 2, 3.0]})
    again, state = read_state(tmp_path / "run.pt", {})
    assert state == {"numbers": [1.0, 2, 3.0]}
    assert (again.settings, again.source, again.grids) == (start.settings, start.source, start.grids)
    assert again.learning == start.learning
    assert again.choices.ranges == start.choices.ranges
    for name, values in start.choices.corrections.items():
        assert np.array_equal(again.choices.corrections[name], values)
    assert all(np.array_equal(again.observed[name].mean, seen.mean) for name, seen in start.observed.items())


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Paths of an adder network and of its CNN twin, untrained, as checkpoints."""
    paths, folder = {}, tmp_path_factory.mktemp("twins")
    for kind in ("ann", "cnn"):
        torch.manual_seed(0)
        description = {"name": "digits_resnet", "kind": kind, "classes": 10, "in_channels": 1}
        network = networks.build(**description)
        with torch.no_grad():  # two batches, so that the batch norms know their statistics
            network.train()(torch.rand(16, 1, 8, 8))
        paths[kind] = folder / f"{kind}.pt"
        checkpoint.write_network(
            paths[kind], network, description=description, preprocess=PREPROCESS["digits"], dataset="digits",
            input_shape=(1, 8, 8), training={}, metrics={},
        )  # fmt: skip
    return paths


def test_a_checkpoint_learns_from_its_twins_scores_and_layers(twins):
    recipe = replace(RECIPE, teacher=str(twins["cnn"]), steps=2)
    runs = []
    qat.train(twins["ann"], recipe, SETTINGS, progress=Progress(runs.append))
    teacher = runs[-1].teacher
    assert set(teacher.watched) == set(
        networks.build("digits_resnet", "ann", classes=10, in_channels=1).intermediate_layers()
    )
    assert all(each.grad is not None for each in teacher.match.parameters() if each.requires_grad)


def test_a_model_file_learns_from_a_cnns_scores_alone(twins):
    runs = []
    qat.train(DIGITS, replace(RECIPE, teacher=str(twins["cnn"]), steps=1), SETTINGS, progress=Progress(runs.append))
    assert runs[-1].teacher.match is None


def test_a_teacher_that_is_no_cnn_of_the_data_is_an_error(twins):
    with pytest.raises(ModelError, match=r"ann\.pt: found a ann for images \[1, 8, 8\] of digits, expected a cnn"):
        qat.train(DIGITS, replace(RECIPE, teacher=str(twins["ann"])), SETTINGS)


def test_a_loss_that_is_not_finite_ends_the_run(twins):
    with pytest.raises(DivergedError, match="step 1: found a loss of inf"):
        qat.train(DIGITS, replace(RECIPE, alpha=float("inf"), teacher=str(twins["cnn"])), SETTINGS)


def test_groups_of_filters_are_refused():
    with pytest.raises(AdderHwError, match="filter groups: found 2 with training, expected 1"):
        qat.train("missing.onnx", QatRecipe("digits"), Settings(filter_groups=2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs: found 0, expected at least 1"),
        ({"lr": 0.0}, "lr: found 0.0, expected a finite number above 0"),
        ({"steps": 0}, "steps: found 0, expected at least 1"),
        ({"samples": 0}, "samples: found 0"),
        ({"alpha": -1.0}, "alpha: found -1.0"),
    ],
)
def test_values_out_of_range_are_an_error(change, words):
    with pytest.raises(AdderHwError, match=words):
        replace(RECIPE, **change)


def test_an_unknown_data_set_is_an_error():
    graph = read_float_graph(DIGITS)
    with pytest.raises(DataError, match="data set: found 'letters'"):
        qat.load(graph, QatRecipe("letters"), None)
