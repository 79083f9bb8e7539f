"""The command line python -m export: what it prints, its exit codes, and what it leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd, without=()):
    """The finished process of python -m export; packages named in `without` cannot be found."""
    script = (
        "import sys, importlib.machinery as m\n"
        f"hidden = {tuple(without)!r}\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in hidden else find(name, *rest)\n"
        "from export.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def assert_one_line(done, words):
    """Exit code 2, nothing on stdout and one line on stderr with `words`."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert words in done.stderr


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


def test_help_has_an_example(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "python -m export runs/ann20/best.pt -o ann20.onnx" in done.stdout


def test_checkpoint_becomes_a_float_model(checkpoint, tmp_path):
    done = run(checkpoint, "-o", "ann.onnx", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    size, ops, difference = done.stdout.splitlines()
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
    done = run("best.pt", "-o", "m.onnx", cwd=tmp_path, without=("torch",))
    assert_one_line(done, "found no torch, expected it installed: pip install adderhw[train]")


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"], ids=["missing", "empty", "foreign"])
def test_bad_checkpoint_is_one_line_and_leaves_nothing(content, tmp_path):
    pytest.importorskip("torch")
    if content is not None:
        (tmp_path / "best.pt").write_bytes(content)
    done = run("best.pt", "-o", "m.onnx", cwd=tmp_path)
    assert_one_line(done, "error: best.pt: found no")
    assert not (tmp_path / "m.onnx").exists()


def test_bad_output_is_found_before_the_work(tmp_path):
    assert_one_line(run("best.pt", "-o", "none/m.onnx", cwd=tmp_path), "none/m.onnx: cannot write")
    assert_one_line(run("best.pt", cwd=tmp_path), "--output")
