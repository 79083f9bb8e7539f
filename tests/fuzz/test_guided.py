"""The guided fuzzer: a short run, and a fault behind branches is found, kept and named."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
atheris = pytest.importorskip("atheris", reason="pip install adderhw[dev] has it where there are wheels")
PLANTED = """
import sys
from pathlib import Path

import atheris

from tests.fuzz import guided, targets

@atheris.instrument_func
def run(path, folder):
    data = path.read_bytes()
    if len(data) >= 3 and data[0] > 200:
        if data[1] > 200:
            if data[2] > 200:
                raise RuntimeError("reached")

targets.TARGETS["planted"] = targets.Target(1, "planted", lambda: [b"abc"], targets.BYTES, run)
guided.fuzz("planted", 3000, 0, 30, 8, Path(sys.argv[1]))
"""


def test_a_fault_behind_three_branches_is_found_and_kept_once(tmp_path):
    command = [sys.executable, "-c", PLANTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    kept = tmp_path / "planted-0-0.bin"
    assert done.stdout.splitlines() == [f"{kept}: RuntimeError: reached"], done.stderr[-2000:]
    assert min(kept.read_bytes()[:3]) > 200
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


def test_a_short_run_of_two_targets_finds_nothing_wrong(tmp_path):
    for target in ("idx", "energy table"):
        command = [sys.executable, "-m", "tests.fuzz.guided", "--target", target, "--files", "40"]
        done = subprocess.run([*command, "--keep", str(tmp_path / "found")], capture_output=True, text=True)
        assert (done.returncode, "40 files, 0 wrong; seed 0" in done.stdout) == (0, True), done.stdout + done.stderr
        assert not (tmp_path / "found").exists()
