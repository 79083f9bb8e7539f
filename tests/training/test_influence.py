"""The share of the match in a step: by hand on gradients, on a real run, and one line for what is no such run."""

import pytest
import torch

from tests.training.test_main import call
from training import influence, loop
from training.data import load_training
from training.learners import start
from training.recipe import Recipe


def rows_of(**options):
    """[Influence] at the start of a run of these options on some digits."""
    torch.set_num_threads(1)
    training, _ = load_training("digits", limit=200)
    run = start(Recipe(**options), training)
    batch = next(iter(training.epoch_batches(64, seed=0, epoch=0)))
    return run, influence.measure(run, batch)


def test_ratio_and_angles_are_those_of_the_gradients():
    ratio, cosine, turned = influence.compared(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0]))
    assert (ratio, cosine, turned) == pytest.approx((4 / 3, 0.0, 3 / 5))
    assert influence.compared(torch.ones(2), torch.zeros(2)) == pytest.approx((0.0, 0.0, 1.0))


@pytest.mark.parametrize("method", ["pkkd", "mmd"])
def test_every_layer_between_the_first_and_the_last_has_a_row(method):
    run, rows = rows_of(method=method)
    assert [row.layer for row in rows] == list(run.student.network.intermediate_layers())
    assert all(row.ratio > 0 and -1 <= row.cosine <= 1 and -1 <= row.turned <= 1 for row in rows)
    assert all((row.variances is not None) == (method == "pkkd") for row in rows)


def test_beta_scales_the_ratio_and_turns_the_gradient_further():
    _, small = rows_of(method="pkkd", beta=0.01)
    _, large = rows_of(method="pkkd", beta=1.0)
    for one, other in zip(small, large, strict=True):
        assert other.ratio == pytest.approx(100 * one.ratio, rel=1e-3)
        assert abs(1 - other.turned) > abs(1 - one.turned)


def test_the_parts_add_up_to_the_gradient_of_a_step():
    training, _ = load_training("digits", limit=200)
    run = start(Recipe(method="pkkd"), training)
    batch = next(iter(training.epoch_batches(64, seed=0, epoch=0)))
    row = influence.measure(run, batch)[0]
    # |rest + match|² = |rest|² · (1 + 2·ratio·cosine + ratio²), and rest · whole = |rest|² · (1 + ratio·cosine)
    whole = (1 + 2 * row.ratio * row.cosine + row.ratio**2) ** 0.5
    assert row.turned == pytest.approx((1 + row.ratio * row.cosine) / whole, abs=1e-4)


def test_only_some_layers_match_where_blocks_do():
    _, rows = rows_of(method="pkkd", match="blocks")
    assert any(row.variances is None for row in rows)
    assert any(row.variances is not None for row in rows)


def test_the_command_reads_a_run_and_leaves_it_alone(tmp_path, monkeypatch, capsys):
    loop.train(Recipe(method="pkkd", epochs=1, limit=200), tmp_path)
    before = (tmp_path / loop.LAST).read_bytes()
    assert call(influence, monkeypatch, tmp_path, "--images", 64, "--threads", 1) == 0
    printed = capsys.readouterr().out
    assert "pkkd, 1 epochs and 0 steps" in printed
    assert "blocks.0.conv1" in printed
    assert (tmp_path / loop.LAST).read_bytes() == before


def test_a_run_without_a_match_and_a_folder_without_a_run_are_one_line(tmp_path, monkeypatch, capsys):
    assert call(influence, monkeypatch, tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1
    loop.train(Recipe(method="kd", epochs=1, limit=200), tmp_path)
    assert call(influence, monkeypatch, tmp_path) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: found a run with method 'kd', expected pkkd or mmd\n"
