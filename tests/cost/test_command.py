"""A mistake in what prices a run ends the command with exit code 2, one line, and no output file."""

import sys

import pytest

from adderhw import cli
from tests.cost.test_accelerator import GOOD


def call(monkeypatch, capsys, *arguments):
    """(exit code, stdout, stderr) of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["simulate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--energy", "horowitz54", "energy table: found 'horowitz54', expected one of horowitz45, qtools45, aladdin40"),
        ("--accelerator", "tpu", "accelerator: found 'tpu', expected one of eyeriss_like, systolic_like, output_like"),
        ("--accelerator", "none.toml", "accelerator none.toml: cannot read: No such file or directory"),
        ("--area", "osu999", "area table: found 'osu999', expected one of osu018, osu035 or a .json file"),
        ("--area", "none.json", "none.json: found [Errno 2] No such file or directory"),
        ("--cnn", "none.onnx", "none.onnx: found no such file, expected an ONNX file"),
    ],
)
def test_a_mistyped_name_is_one_line(monkeypatch, capsys, tmp_path, option, value, message):
    code, out, err = call(monkeypatch, capsys, option, value, "--json", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_accelerator_field_is_one_line(monkeypatch, capsys, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("rows = 4", "rows = 4\nheight = 2"))
    code, out, err = call(monkeypatch, capsys, "--accelerator", path, "--csv", tmp_path / "r.csv")
    assert (code, out) == (2, "")
    assert err == f"error: accelerator {path}: array: found unknown height, expected only rows, columns\n"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]


def test_a_buffer_outside_the_tables_sizes_is_one_line(monkeypatch, capsys, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("activations_kib = 16", "activations_kib = 4096"))
    code, _, err = call(monkeypatch, capsys, "--limit", "1", "--accelerator", path)
    assert code == 2
    assert err == "error: memory table horowitz45: found a buffer of 4096 KiB, expected 8 to 1024 KiB\n"
