"""Two processes at once on one output, on one store and on one cache: each ends well, and what is there is whole."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from onnx import checker

from tests.faults.commands import COMMANDS, ROOT, arguments, found_in

RUN = "import importlib, sys; del sys.argv[0]; importlib.import_module(sys.argv[0]).main()"
HALVE = """
import os, signal, sys
import numpy as np
from numba.core import caching
from adderhw.fixed import Rounding
from adderhw.kernels import Requant, requantise

if sys.argv[1:] == ["die"]:
    caching.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
one, none = np.array([1]), np.array([0])
halves = requantise(np.arange(8, dtype=np.int32)[:, None], Requant(one, none, one, Rounding.FLOOR, -128, 127), np.int8)
print(halves.ravel().tolist())
"""


def two_at_once(commands, **environment):
    """[(exit code, stderr)] of two command lines that run at the same time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env=environment, **pipes) for command in commands]
    told = [process.communicate(timeout=300)[1] for process in started]
    return [(process.returncode, err) for process, err in zip(started, told, strict=True)]


def twice(name, inputs, out):
    module, rest = arguments(next(each for each in COMMANDS if each.name == name), inputs, out)
    return two_at_once(2 * [[sys.executable, "-c", RUN, module, *rest]])


def test_two_simulations_write_the_same_files(inputs, tmp_path):
    names = ("report", "r.html"), ("json", "r.json"), ("csv", "r.csv"), ("annotate", "r.onnx"), ("markdown", "r.md")
    options = [text for option, name in names for text in (f"--{option}", tmp_path / name)]
    simulate = [sys.executable, "-m", "adderhw.simulate", "--limit", "3", *options]
    assert [code for code, _ in two_at_once([simulate, simulate])] == [0, 0]
    assert found_in(tmp_path) == {name for _, name in names}
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == 3
    assert (tmp_path / "r.html").read_text().rstrip().endswith("</html>")
    checker.check_model(tmp_path / "r.onnx")


def test_of_two_traces_one_takes_the_name(inputs, tmp_path):
    ended = twice("simulate --trace", inputs, tmp_path)
    assert 0 in (ended[0][0], ended[1][0])
    for code, err in ended:
        if code:
            assert err.startswith(f"error: {tmp_path}/trace: cannot write")
            assert err.count("\n") == 1
    assert found_in(tmp_path) == {"trace"}
    for entry in json.loads((tmp_path / "trace" / "index.json").read_text()):
        assert np.load(tmp_path / "trace" / entry["file"]).dtype == entry["dtype"]


@pytest.mark.slow
def test_kernels_are_compiled_into_one_cache_by_two_processes_after_one_was_killed_there(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    halve = [sys.executable, "-c", HALVE]
    killed = subprocess.run([*halve, "die"], env={**os.environ, **environment}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert two_at_once([halve, halve], **environment) == [(0, ""), (0, "")]
    done = subprocess.run(halve, env={**os.environ, **environment}, capture_output=True, check=True, text=True)
    assert done.stdout == "[0, 0, 1, 1, 2, 2, 3, 3]\n"
    assert len(list((tmp_path / "cache").rglob("*.nbi"))) > 0


@pytest.mark.slow
def test_two_sweeps_share_a_store(inputs, tmp_path):
    assert [code for code, _ in twice("sweep", inputs, tmp_path)] == [0, 0]
    header, *records = map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines())
    assert header["kind"] == "sweep"
    assert len({json.dumps(record["point"]) for record in records}) == 6
    assert len(records) in range(6, 13)


@pytest.mark.slow
def test_two_trainings_in_one_folder_leave_what_one_leaves(inputs, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert [code for code, _ in twice("training", inputs, tmp_path / "two")] == [0, 0]
    module, rest = arguments(next(each for each in COMMANDS if each.name == "training"), inputs, tmp_path / "one")
    subprocess.run([sys.executable, "-m", module, *rest], check=True, capture_output=True, cwd=ROOT)
    expected = {"best.pt", "teacher.pt", "last.pt", "epochs.csv"}
    for name in expected:
        assert (tmp_path / "two/run" / name).read_bytes() == (tmp_path / "one/run" / name).read_bytes(), name
    assert found_in(tmp_path / "two/run") == expected
