"""Figures: the fits and components they show, what they print, and one line for bad input."""

import sys

import numpy as np
import pytest
import torch

from tests.training.test_main import call
from training import figures, loop
from training.checkpoint import load_network
from training.data import load_training
from training.recipe import Recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short run with a teacher."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "kd"
    loop.train(Recipe(method="kd", epochs=2, limit=200), folder)
    return folder


@pytest.mark.parametrize("suffix", figures.FORMATS)
def test_curves_show_student_and_teacher(run, suffix, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    output = tmp_path / f"curves{suffix}"
    assert call(figures, monkeypatch, "curves", run, "-o", output) == 0
    rows = figures.read_log(run / loop.LOG)
    best = max(row["val_top1"] for row in rows)
    assert capsys.readouterr().out == f"kd: best validation top-1 {best:.2f} %, 2 epochs\n{output}\n"
    assert output.stat().st_size > 1000


def test_features_and_weights_have_a_panel_for_each_checkpoint(run, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    best = run / loop.BEST
    assert call(figures, monkeypatch, "features", best, best, "-o", tmp_path / "f.png", "--limit", 50) == 0
    printed = capsys.readouterr().out
    assert printed.count(f"{best}: 50 images, ") == 2
    assert "of 32 features" in printed
    assert call(figures, monkeypatch, "weights", best, "-o", tmp_path / "w.png", "--layer", "blocks.0.conv1") == 0
    assert f"{best}: blocks.0.conv1, 2,304 weights, mean log-likelihood in nats: Laplace" in capsys.readouterr().out


def test_the_last_features_are_what_the_classifier_maps_to_scores(run):
    network, _ = load_network(run / loop.BEST)
    _, validation = load_training("digits")
    found = torch.from_numpy(figures.last_features(network, validation)).float()
    with torch.no_grad():
        scores = network(validation.preprocess(validation.images))
        torch.testing.assert_close(network.classifier(found), scores, rtol=1e-4, atol=1e-4)


def test_principal_components_are_the_directions_of_greatest_variance():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(400, 3)) * (1.0, 5.0, 3.0) + (7.0, 0.0, -2.0)
    coordinates, shares = figures.principal_components(points)
    values = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    np.testing.assert_allclose(shares, values[:2] / values.sum())
    np.testing.assert_allclose(coordinates.var(0, ddof=1), values[:2])
    assert np.corrcoef(coordinates[:, 0], points[:, 1])[0, 1] > 0.99


def test_points_that_are_all_the_same_have_no_variance_to_share():
    coordinates, shares = figures.principal_components(np.ones((5, 3)))
    assert not coordinates.any()
    assert shares.tolist() == [0, 0]


def test_the_likeliest_fit_is_that_of_the_distribution_that_drew():
    generator = np.random.default_rng(0)
    for draw, winner in ((generator.laplace, "Laplace"), (generator.normal, "Gauss")):
        values = draw(0.5, 2.0, size=20_000)
        fits = {fit.name: fit for fit in (figures.fit_laplace(values), figures.fit_gauss(values))}
        assert max(fits.values(), key=lambda fit: fit.likelihood).name == winner
        assert (fits[winner].centre, fits[winner].width) == (pytest.approx(0.5, abs=0.05), pytest.approx(2.0, rel=0.02))
        for fit in fits.values():
            assert fit.likelihood == pytest.approx(np.log(fit.density(values)).mean())
            assert np.trapezoid(fit.density(np.linspace(-60, 60, 9001)), dx=120 / 9000) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["curves", "nowhere", "-o", "c.png"],
            "nowhere/epochs.csv: found no log (No such file or directory), expected",
        ),
        (["curves", "{run}", "-o", "c.gif"], "c.gif: found suffix '.gif', expected one of .png, .svg, .pdf"),
        (
            ["weights", "{run}/best.pt", "-o", "w.png", "--layer", "stem"],
            "found no layer 'stem', expected one of blocks",
        ),
        (
            ["features", "{run}/best.pt", "-o", "f.png", "--split", "train"],
            "split: found 'train', expected one of test",
        ),
        (["features", "{run}/last.pt", "-o", "f.png"], "found format 'adderhw-run', expected 'adderhw-checkpoint'"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert call(figures, monkeypatch, *(each.format(run=run) for each in arguments)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "epoch,lr\n1,0.1\n", "epoch,lr,loss,teacher_loss,match,val_top1,teacher_val_top1\n"]
)
def test_a_log_of_another_kind_is_refused(text, tmp_path, monkeypatch, capsys):
    (tmp_path / loop.LOG).write_text(text)
    assert call(figures, monkeypatch, "curves", tmp_path, "-o", tmp_path / "c.png") == 2
    assert "epochs.csv: found" in capsys.readouterr().err


def test_without_matplotlib_one_line_says_what_to_install(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert call(figures, monkeypatch, "curves", run, "-o", tmp_path / "c.png") == 2
    message = "error: figures: found no matplotlib, expected it: pip install adderhw[figures]\n"
    assert capsys.readouterr().err == message
