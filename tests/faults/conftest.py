"""Inputs of the commands, and folders without room or without leave to write."""

import contextlib
import os
import resource
import shutil
import subprocess

import pytest
import torch

from tests.faults.commands import COMMANDS, ROOT, call
from tests.quant.test_main import digits_model
from tests.training.test_convert import outside

SWEEP = f"""
model = "{ROOT / "adderhw" / "models" / "digits.onnx"}"
data = "digits"
limit = 4
samples = 8
[settings]
range = "max"
bias_correction = false
[axes]
bits = [8, 6, 4]
realisation = ["multiplier", "shift"]
accumulator = ["exact"]
accelerator = ["none"]
energy = ["horowitz45"]
"""
FIRST = {
    "simulate --json": "r.json",
    "quant": "q.onnx",
    "training": "run",
    "sweep": "s.jsonl",
    "quant mixed": "m.jsonl",
}


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A folder with what the commands read; made by the commands themselves, so that every kernel is compiled."""
    folder = tmp_path_factory.mktemp("inputs")
    digits_model(folder / "float.onnx")
    (folder / "sweep.toml").write_text(SWEEP)
    torch.save(outside()[0], folder / "published.pt")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for command in COMMANDS:
            if command.name in FIRST:
                assert call(monkeypatch, command, folder, folder) == 0, command.name
    (folder / "r.json").rename(folder / "a.json")
    return folder


@contextlib.contextmanager
def mounted(folder, options):
    """Whether a file system in memory could be mounted on the folder, for the block; root may do that, mostly."""
    done = None
    if os.geteuid() == 0 and shutil.which("mount"):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "adderhw", folder], capture_output=True, check=False
        )
    try:
        yield done is not None and done.returncode == 0
    finally:
        if done is not None and done.returncode == 0:
            subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def limited(folder, size):
    """Words of the error once the folder, made here, holds `size` bytes; without a mount, once a file does."""
    folder.mkdir()
    with mounted(folder, "size=4k") as is_mounted:
        if is_mounted:
            (folder / "filler").write_bytes(bytes(4096 - size))
            yield "No space left on device"
            return
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        (folder / "filler").touch()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield "File too large"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def full_disk(tmp_path):
    """(folder, words of the error): a folder on a disk without a free byte."""
    with limited(tmp_path / "full", 0) as words:
        yield tmp_path / "full", words


@pytest.fixture
def small_disk(tmp_path):
    """(folder, words of the error): a folder on a disk with 4096 free bytes."""
    with limited(tmp_path / "small", 4096) as words:
        yield tmp_path / "small", words


@pytest.fixture
def read_only(tmp_path):
    """A folder into which this process cannot write: a mount, a mode, or, for root without mounts, /proc."""
    folder = tmp_path / "fixed"
    folder.mkdir()
    with mounted(folder, "ro") as is_mounted:
        if not is_mounted:
            folder.chmod(0o555)
        yield folder if is_mounted or os.geteuid() else "/proc"
    folder.chmod(0o755)
