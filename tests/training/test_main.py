"""The commands: results on stdout, talk on stderr, one line and exit code 2 for bad input, help for every option."""

import json

import pytest

from training import __main__ as train_command
from training import convert, evaluate, figures, table, taps
from training.checkpoint import load_network


def call(command, monkeypatch, *arguments):
    """The exit code of `command` called as from a shell."""
    monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        command.main()
    return exit_info.value.code


def test_training_prints_its_result_and_writes_a_checkpoint(tmp_path, monkeypatch, capsys):
    options = ["--method", "cnn", "--epochs", 1, "--limit", 200, "--threads", 1, "--output", tmp_path]
    assert call(train_command, monkeypatch, *options) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{tmp_path / 'best.pt'}: cnn digits_resnet on digits, test top-1 ")
    assert printed.err == ""
    assert load_network(tmp_path / "best.pt")[1]["training"]["method"] == "cnn"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--method", "nst"], "error: method: found 'nst', expected one of cnn, bnn, ann, mmd, kd, pkkd"),
        (["--epochs", "many"], "error: Invalid value for '--epochs'"),
        (["--data", "cifar10", "--root", "nowhere"], "error: nowhere/cifar-10-batches-bin/data_batch_1.bin: found no"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(arguments, line, tmp_path, monkeypatch, capsys):
    assert call(train_command, monkeypatch, "--output", tmp_path / "run", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_fails_with_exit_code_one(tmp_path, monkeypatch, capsys):
    options = ["--method", "cnn", "--epochs", 1, "--limit", 200, "--lr", 1e30, "--output", tmp_path]
    assert call(train_command, monkeypatch, *options) == 1
    assert capsys.readouterr().err.startswith("error: epoch 1: found a loss of ")


@pytest.mark.parametrize("command", [train_command, table, evaluate, convert, figures, taps])
def test_help_shows_examples_and_explains_every_option(command, monkeypatch, capsys):
    assert call(command, monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert "python -m training" in text


def test_the_table_compares_methods_over_seeds_and_resumes(tmp_path, monkeypatch, capsys):
    options = ["--methods", "cnn,ann", "--seeds", 2, "--epochs", 1, "--limit", 200, "--output", tmp_path]
    assert call(table, monkeypatch, *options) == 0
    first = json.loads((tmp_path / "table.json").read_text())
    assert [(row["method"], row["runs"]) for row in first["rows"]] == [("cnn", 2), ("ann", 2)]
    assert (tmp_path / "table.csv").read_text().startswith("method,runs,mean,deviation\ncnn,2,")
    assert "cnn" in capsys.readouterr().out
    assert call(table, monkeypatch, *options) == 0
    assert json.loads((tmp_path / "table.json").read_text()) == first


def test_the_tables_figures_are_mean_and_sample_deviation():
    results = [{"method": "ann", "metrics": {"test_top1": top1}} for top1 in (97.0, 99.0)]
    assert table.summarise(results) == [{"method": "ann", "runs": 2, "mean": 98.0, "deviation": pytest.approx(2**0.5)}]


def test_the_ablations_are_every_way_to_compare_with_both_kinds_of_teacher(tmp_path):
    recipes = [each.recipe({}, 3, tmp_path) for each in table.parse_variants(table.ABLATIONS)]
    ways = [recipe.features if recipe.method == "pkkd" else recipe.method for recipe in recipes]
    assert ways == ["kd", "direct", "conv", "kernel", "kernel+conv"] * 2
    assert [recipe.teacher for recipe in recipes] == [str(tmp_path / "cnn-3" / "best.pt")] * 5 + [None] * 5


def test_a_row_with_a_fixed_teacher_trains_that_teacher_first(tmp_path, monkeypatch, capsys):
    options = ["--methods", "pkkd:teacher=fixed:beta=2", "--seeds", 1, "--epochs", 1, "--limit", 200]
    assert call(table, monkeypatch, *options, "--output", tmp_path) == 0
    assert "cnn seed 0" in capsys.readouterr().err
    (run,) = json.loads((tmp_path / "table.json").read_text())["runs"]
    assert run["method"] == "pkkd:teacher=fixed:beta=2"
    assert (run["recipe"]["beta"], run["recipe"]["teacher"]) == (2.0, str(tmp_path / "cnn-0" / "best.pt"))


@pytest.mark.parametrize(
    ("methods", "line"),
    [
        ("ann,ann", "error: methods: found 'ann,ann', expected each method once\n"),
        ("ann:etta=1", "error: methods, ann:etta=1: found field 'etta', expected one of model, data, epochs, alpha"),
        ("ann:eta=much", "error: methods, ann:eta=much: found eta 'much', expected float\n"),
        ("ann:limit=few", "error: methods, ann:limit=few: found limit 'few', expected int\n"),
        ("ann:seed=1", "error: methods, ann:seed=1: found field 'seed', expected one of model"),
        ("snn", "error: method: found 'snn', expected one of cnn"),
    ],
)
def test_bad_rows_are_refused(methods, line, tmp_path, monkeypatch, capsys):
    assert call(table, monkeypatch, "--methods", methods, "--output", tmp_path) == 2
    assert capsys.readouterr().err.startswith(line)
