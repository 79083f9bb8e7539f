"""The command that sets runs side by side: what it prints and writes, and what it refuses."""

import json
import sys

import pytest

from adderhw import compare
from adderhw.report.tables import write_json
from tests.report.example import document, full_document


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            compare.main()
        return done.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def files(tmp_path):
    for name, made in (("a", document()), ("b", full_document())):
        write_json(made, tmp_path / f"{name}.json")
    return tmp_path / "a.json", tmp_path / "b.json"


def test_runs_are_printed_and_written(run, files, tmp_path):
    outputs = [tmp_path / f"c.{kind}" for kind in ("md", "csv", "html")]
    options = zip(("--markdown", "--csv", "--html"), outputs, strict=True)
    code, out, err = run(*files, "--layers", *(part for pair in options for part in pair))
    assert code == 0
    assert "arithmetic energy, qtools45" in out
    assert "block.adder1" in out
    assert all(path.exists() and f"{path}: written" in err for path in outputs)


def test_names_are_not_read_as_markup(run, files, tmp_path):
    write_json(document(model={**document()["model"], "path": "[red]x.onnx"}), tmp_path / "c.json")
    assert "[red]x" in run(files[0], tmp_path / "c.json")[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"schema": 2, "totals": {}}, "found schema 2, expected 3; run its command again"),
        ({"tensors": []}, "found a JSON object of tensors, expected a document of python -m adderhw.simulate --json"),
    ],
)
def test_foreign_and_older_files_are_one_line_and_code_2(run, files, tmp_path, content, words):
    (tmp_path / "c.json").write_text(json.dumps(content))
    code, out, err = run(files[0], tmp_path / "c.json", "--csv", tmp_path / "c.csv")
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "c.csv").exists()


def test_one_run_alone_is_refused(run, files):
    assert run(files[0])[0] == 2
    assert run(files[0])[2] == "error: compare: found 1 document, expected two or more\n"


def test_what_does_not_compare_is_said_on_every_output(run, files, tmp_path):
    write_json(document(data={"name": "cifar10", "split": "test", "count": 9}), tmp_path / "c.json")
    markdown = tmp_path / "c.md"
    code, out, _ = run(files[0], tmp_path / "c.json", "--markdown", markdown)
    note = "The runs are on different data sets: their accuracies do not compare."
    assert (code, note in out, note in markdown.read_text(encoding="utf-8")) == (0, True, True)
    assert run(*files)[1].count("different") == 0
