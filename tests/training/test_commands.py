"""The commands in docs/training.md: each runs as it stands but shorter, or, without its data, says what is missing."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.test_convert import outside

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text()
COMMANDS = [line for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.S | re.M) for line in block.splitlines()]
SHORT = {"training": ["--epochs", "1", "--limit", "200"], "training.table": ["--epochs", "1", "--limit", "200"]}
SHORT["training.table"] += ["--seeds", "1"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def shortened(command):
    """The command as a list: Python instead of a name in PATH, and few epochs on few images."""
    program, *arguments = shlex.split(command)
    start = {"python": [sys.executable], "torchrun": TORCHRUN}[program]
    module = arguments[arguments.index("-m") + 1] if "-m" in arguments else None
    return [*start, *arguments, *SHORT.get(module, [])]


def execute(command, folder):
    environment = {name: value for name, value in os.environ.items() if name != "ADDERHW_DATA"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path):
    pytest.importorskip("matplotlib")
    torch.save(outside()[0], tmp_path / "resnet20.pt")
    assert len(COMMANDS) > 8
    for command in COMMANDS:
        done = execute(shortened(command), tmp_path)
        if re.search(r"--data (cifar10|imagenet)|evaluate runs/outside", command):
            assert done.returncode == 2, command
            assert done.stderr.startswith("error: data set "), done.stderr
            assert "found no folder, expected ADDERHW_DATA" in done.stderr
        else:
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert done.stdout
    assert {"curves.png", "features.png", "weights.png"} <= {path.name for path in tmp_path.iterdir()}
