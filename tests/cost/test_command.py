"""A mistake in what prices a run ends the command with exit code 2, one line, and no output file."""

import sys
from importlib.resources import files

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
        ("--area", "none.json", "none.json: cannot read: No such file or directory"),
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


SHIPPED_TABLE = (files("adderhw.cost") / "tables" / "horowitz45.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "pJ"\n', "", "missing unit"),
        ('unit = "pJ"', 'unit = "nJ"', "unit: found 'nJ', expected 'pJ'"),
        ("[kinds.add]", "[kinds.adds]", "kinds: found 'adds', expected one of add, sub"),
        ("node_nm = 45\n", "node_nm = 45\nnode_mm = 45\n", "node_mm"),
    ],
)
def test_a_mistake_in_ones_own_table_is_one_line(monkeypatch, capsys, tmp_path, old, new, message):
    path = tmp_path / "mine.toml"
    assert old in SHIPPED_TABLE
    path.write_text(SHIPPED_TABLE.replace(old, new, 1), encoding="utf-8")
    code, out, err = call(monkeypatch, capsys, "--limit", "1", "--energy", path, "--json", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert str(path) in err
    assert message in err
    assert err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]


def test_a_width_outside_ones_own_tables_range_is_one_line(monkeypatch, capsys, tmp_path):
    path = tmp_path / "mine.toml"
    narrow = SHIPPED_TABLE.replace('name = "horowitz45"', 'name = "mine"').replace(
        "range = [1, 64]", "range = [8, 16]", 1
    )
    path.write_text(narrow.replace("points = [[8, 0.03], [16, 0.05], [32, 0.1]]", "points = [[8, 0.03], [16, 0.05]]"))
    code, out, err = call(monkeypatch, capsys, "--limit", "1", "--energy", path, "--json", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert err.startswith("error: mine: found event add:")
    assert err.endswith("expected add of 8 to 16 bits\n")
    assert err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]
