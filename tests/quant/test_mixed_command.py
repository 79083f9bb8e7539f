"""The command line of mixed widths: a front, a model within the target, or one line and exit code 2."""

import json
import shlex

import numpy as np
import pytest

from adderhw.simulation import simulate
from quant.__main__ import main
from tests.quant.test_main import digits_model

COMMON = "--calibrate digits --samples 40 --selection 60 --fewest-bits 3 --most-bits 5 --store s.jsonl"


def call(monkeypatch, capfd, arguments):
    """(exit code, stdout, stderr) of `python -m quant mixed float.onnx ARGUMENTS`."""
    monkeypatch.setattr("sys.argv", ["quant", "mixed", "float.onnx", *shlex.split(arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code, *capfd.readouterr()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a small float network of the digits."""
    monkeypatch.chdir(tmp_path)
    digits_model(tmp_path / "float.onnx")
    return tmp_path


def test_the_front_is_printed_written_and_drawn(folder, monkeypatch, capfd):
    pytest.importorskip("matplotlib")
    code, out, err = call(monkeypatch, capfd, f"{COMMON} --json front.json --plot front.png")
    assert code == 0, err
    assert "60 selection images of the training split, seed 0; float top-1 on them" in out
    assert all(f"all {bits}" in out for bits in (3, 4, 5))
    found = json.loads((folder / "front.json").read_text())
    assert set(found["uniform"]) == {"3", "4", "5"}
    assert found["chosen"] is None
    energies = [point["energy"] for point in found["front"]]
    assert energies == sorted(energies, reverse=True)
    assert (folder / "front.png").stat().st_size > 1000
    lines = (folder / "s.jsonl").read_text().splitlines()
    assert len(lines) == 2 + len(found["points"])
    assert call(monkeypatch, capfd, COMMON)[0] == 0
    assert (folder / "s.jsonl").read_text().splitlines() == lines


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_model_within_the_energy_is_written_and_its_widths_give_it_again(share, folder, monkeypatch, capfd):
    call(monkeypatch, capfd, f"{COMMON} --json front.json")
    low, high = (json.loads((folder / "front.json").read_text())["uniform"][bits]["energy"] for bits in ("3", "5"))
    bound = (low + share * (high - low)) / 1e6
    arguments = f"{COMMON} --most-energy {bound} -o m.onnx --json chosen.json"
    code, out, err = call(monkeypatch, capfd, arguments)
    assert code == 0, err
    assert "m.onnx: written" in err
    document = simulate(folder / "m.onnx", data="digits", limit=64, check="ort")
    assert document["check"]["mismatches"] == 0
    assert document["totals"]["energy_pj"]["horowitz45"] <= bound * 1e6
    chosen = json.loads((folder / "chosen.json").read_text())["chosen"]
    (folder / "widths.json").write_text(json.dumps(chosen["widths"]))
    arguments = "quant float.onnx --calibrate digits --samples 40 --bits 5 --widths widths.json -o again.onnx"
    monkeypatch.setattr("sys.argv", shlex.split(arguments))
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0, capfd.readouterr().err
    again = simulate(folder / "again.onnx", data="digits", limit=64)
    assert again["totals"]["energy_pj"] == document["totals"]["energy_pj"]


def test_the_least_energy_at_an_accuracy(folder, monkeypatch, capfd):
    code, out, err = call(monkeypatch, capfd, f"{COMMON} --least-top1 2 -o m.onnx --json m.json")
    assert code == 0, err
    found = json.loads((folder / "m.json").read_text())
    assert found["chosen"]["correct"] >= 2
    enough = [point["energy"] for point in found["points"] if point["correct"] >= 2]
    assert found["chosen"]["energy"] == min(enough)


def test_help_shows_examples(monkeypatch, capfd):
    code, out, _ = call(monkeypatch, capfd, "--help")
    assert code == 0
    assert "python -m quant mixed ann20.onnx --calibrate cifar10 --store mixed.jsonl" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--store s --most-energy 1 --least-top1 90", "found --most-energy and --least-top1, expected one"),
        ("--store s --most-energy 0", "most energy: found 0.0"),
        ("--store s --least-top1 101", "least top-1: found 101.0"),
        ("--store s -o m.onnx", "output: found no target for it"),
        ("--store s --most-bits 2", "bits: found 2 to 2"),
        ("--store s --samples 0", "samples: found 0"),
        ("--store s --seed -1", "seed: found -1"),
        ("--store s --selection 100000", "selection: found"),
        ("--store s --energy mine", "energy table: found 'mine'"),
        ("--store s --plot x.bmp", "x.bmp: found suffix '.bmp'"),
        ("--store no/s", "no/s: cannot write"),
        ("", "Missing option '--store'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments, words, folder, monkeypatch, capfd):
    code, out, err = call(monkeypatch, capfd, f"--calibrate digits --samples 40 {arguments}")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["float.onnx"]


def test_a_target_out_of_reach_and_another_search_are_errors(folder, monkeypatch, capfd):
    code, _, err = call(monkeypatch, capfd, f"{COMMON} --most-energy 0.000001 -o m.onnx")
    assert code == 2
    assert "expected a weaker one" in err
    assert not (folder / "m.onnx").exists()
    code, _, err = call(monkeypatch, capfd, f"{COMMON} --seed 3")
    assert code == 2
    assert "s.jsonl: found a store of another search" in err


def test_images_without_labels_need_an_energy(folder, monkeypatch, capfd):
    np.save("x.npy", np.random.default_rng(0).integers(0, 17, (90, 1, 8, 8)).astype(np.uint8))
    common = COMMON.replace("digits", "x.npy").replace("60", "40")
    code, _, err = call(monkeypatch, capfd, f"{common} --least-top1 50")
    assert code == 2
    assert "without labels" in err
    code, out, err = call(monkeypatch, capfd, f"{common} --most-energy 1000")
    assert code == 0, err
    assert "top-1 on them" not in out
