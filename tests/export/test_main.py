"""The command line python -m export: what it prints, its exit codes, and what it leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from export.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """A function that runs the command in tmp_path and gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        return exit.value.code, *capfd.readouterr()

    return run


def assert_one_line(done, words):
    """Exit code 2, nothing on stdout and one line on stderr with `words`."""
    code, out, err = done
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A best.pt of an untrained network."""
    pytest.importorskip("torch")
    from types import SimpleNamespace

    from training import checkpoint, networks

    description = {"name": "digits_resnet", "kind": "ann", "classes": 10, "in_channels": 1}
    network = networks.build("digits_resnet", "ann", classes=10, in_channels=1)
    path = tmp_path_factory.mktemp("run") / "best.pt"
    checkpoint.write_network(
        path,
        network,
        description=description,
        preprocess=SimpleNamespace(mean=(4.9,), std=(6.0,)),
        dataset="digits",
        input_shape=(1, 8, 8),
        training={"seed": 0},
        metrics={},
    )
    return path


def test_help_has_an_example(call):
    code, out, _ = call("--help")
    assert code == 0
    assert "python -m export runs/ann20/best.pt -o ann20.onnx" in out


def test_checkpoint_becomes_a_float_model(checkpoint, call, tmp_path):
    code, out, err = call(checkpoint, "-o", "ann.onnx")
    assert (code, err) == (0, "")
    size, ops, difference = out.splitlines()
    assert size == f"ann.onnx: {(tmp_path / 'ann.onnx').stat().st_size:,} bytes"
    assert "9 AdderConv" in ops
    assert difference.startswith("largest difference between onnxruntime and torch: ")
    model = onnx.load(tmp_path / "ann.onnx")
    assert {entry.key for entry in model.metadata_props} == {
        "adderhw.preprocess",
        "adderhw.network",
        "adderhw.training",
    }


def test_missing_training_packages_say_how_to_install_them(tmp_path):
    script = (
        "import sys, importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "from export.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "best.pt", "-o", "m.onnx"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    expected = "found no torch, expected it installed: pip install adderhw[train]"
    assert_one_line((done.returncode, done.stdout, done.stderr), expected)


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"], ids=["missing", "empty", "foreign"])
def test_bad_checkpoint_is_one_line_and_leaves_nothing(content, call, tmp_path):
    pytest.importorskip("torch")
    if content is not None:
        (tmp_path / "best.pt").write_bytes(content)
    assert_one_line(call("best.pt", "-o", "m.onnx"), "error: best.pt: found no")
    assert not (tmp_path / "m.onnx").exists()


def test_bad_output_is_found_before_the_work(call):
    pytest.importorskip("torch")
    assert_one_line(call("best.pt", "-o", "none/m.onnx"), "none/m.onnx: cannot write")
    assert_one_line(call("best.pt"), "--output")


def test_failed_check_is_exit_code_1_and_leaves_nothing(checkpoint, call, tmp_path, monkeypatch):
    monkeypatch.setattr("export.from_torch.RELATIVE_TOLERANCE", -1.0)
    code, out, err = call(checkpoint, "-o", "m.onnx")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("check failed: ResNet: found outputs of onnxruntime that differ from torch's by ")
    assert not (tmp_path / "m.onnx").exists()
