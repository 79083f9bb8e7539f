"""python -m quant compare: a table and files, or one line and exit code 2; the commands in the documentation run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adderhw import simulation
from quant.__main__ import main

INTEGER = Path(simulation.SHIPPED_MODEL)
FLOAT = INTEGER.with_name("digits.onnx")
ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "quantisation.md").read_text().split("## Comparing")[1].split("\n## ")[0]


def call(monkeypatch, capfd, *arguments):
    """(exit code, stdout, stderr) of the subcommand."""
    monkeypatch.setattr("sys.argv", ["quant", "compare", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code, *capfd.readouterr()


def test_the_network_that_ships_is_compared_with_its_float_model(tmp_path, monkeypatch, capfd):
    paths = [tmp_path / name for name in ("c.json", "c.csv")]
    options = ("--data", "digits", "--limit", 40, "--json", paths[0], "--csv", paths[1])
    code, out, err = call(monkeypatch, capfd, FLOAT, INTEGER, *options)
    assert code == 0, err
    assert err == "".join(f"{path}: written\n" for path in paths)
    assert "first tensor below 10 dB: none\ntop-1 on 40 images of digits: float" in out
    found = json.loads(paths[0].read_text())
    assert found["data"] == {"name": "digits", "split": "test", "count": 40}
    assert found["tensors"][0]["noise_power"] == 0, "pixels are exact"
    assert min(entry["sqnr_db"] for entry in found["tensors"][1:]) > 30
    assert all(entry["name"] in out for entry in found["tensors"])
    assert len(paths[1].read_text().splitlines()) == 1 + len(found["tensors"])


def test_help_shows_examples(monkeypatch, capfd):
    code, out, _ = call(monkeypatch, capfd, "--help")
    assert code == 0
    assert "python -m quant compare ann.onnx ann_int8.onnx --data digits" in out
    assert "[default: 10.0]" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([INTEGER, FLOAT, "--data", "digits"], "found the integer op QuantizeLinear, expected a float model"),
        ([FLOAT, FLOAT, "--data", "digits"], "found the float op Conv, expected an integer model"),
        ([FLOAT, "none.onnx", "--data", "digits"], "none.onnx: found no such file"),
        ([FLOAT, INTEGER], "Missing option '--data'"),
        ([FLOAT, INTEGER, "--data", "letters"], "data set: found 'letters'"),
        ([FLOAT, INTEGER, "--data", "wrong.npy"], "expected [N, 1, 8, 8]"),
        ([FLOAT, INTEGER, "--data", "digits", "--split", "all"], "found 'all'"),
        ([FLOAT, INTEGER, "--data", "digits", "--limit", "0"], "limit: found 0"),
        ([FLOAT, INTEGER, "--data", "digits", "--plot", "x.bmp"], "x.bmp: found suffix '.bmp'"),
        ([FLOAT, INTEGER, "--data", "digits", "--json", "no/x.json"], "no/x.json: cannot write"),
        ([FLOAT, INTEGER, "--data", "digits", "--json", "x", "--csv", "x"], "outputs: found ['x', 'x']"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.zeros((4, 3, 8, 8), np.float32))
    code, out, err = call(monkeypatch, capfd, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.npy"]


def test_the_command_alone_loads_no_matplotlib():
    script = "import quant.__main__, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capfd):
    pytest.importorskip("matplotlib")
    commands = re.findall(r"^    python -m quant compare (.*)$", SECTION, re.M)
    assert len(commands) == 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adderhw").symlink_to(ROOT / "adderhw")
    for command in commands:
        code, out, err = call(monkeypatch, capfd, *shlex.split(command), "--limit", 20)
        assert code == 0, err
        assert "top-1 on 20 images" in out
    assert (tmp_path / "ranges.png").exists()
    assert (tmp_path / "comparison.json").exists()


def test_the_page_names_every_field_of_the_json(tmp_path, monkeypatch, capfd):
    path = tmp_path / "c.json"
    call(monkeypatch, capfd, FLOAT, INTEGER, "--data", "digits", "--limit", 2, "--json", path)
    found = json.loads(path.read_text())
    for key in (*found, *found["tensors"][0], *found["top1"]):
        assert f"`{key}`" in SECTION, key
