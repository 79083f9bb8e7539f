"""Killed or interrupted at any moment: what has its name is whole; Ctrl-C says what was kept."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.commands import COMMANDS, ROOT, arguments, call, found_in
from tests.faults.moments import Moment, at_each_change

STATE = "q.onnx.qat.pt"
KEPT = {"sweep": "s.jsonl", "quant mixed": "m.jsonl", "quant qat, its state": STATE}
KILLED = ("simulate --report", "simulate --trace", "vectors", "quant", *KEPT, "export", "training")
DRIVER = """
import importlib, os, signal, sys
from tests.faults.moments import Moment, at_each_change

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

folder, sys.argv = sys.argv[1], sys.argv[2:]
with at_each_change(folder, Moment(kill)):
    importlib.import_module(sys.argv[0]).main()
"""


def grows(path):
    """Whether a file is written line by line, or record by record; what is torn at its end is passed over."""
    return path.endswith(".jsonl") or "tfevents" in path


def contents(folder):
    """Path below the folder → bytes, of all files that are not hidden and not in hidden folders."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    named = {name: path for name, path in found.items() if not f"/{name}".count("/.")}
    return {name: path.read_bytes() for name, path in named.items() if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_file_takes_its_name_when_it_is_whole(command, inputs, tmp_path, monkeypatch):
    """No file is opened under its name: at any moment, what a kill would leave there is whole or the one before."""
    changes = []
    with at_each_change(tmp_path, lambda event, path: changes.append((event, path, contents(tmp_path)))):
        assert call(monkeypatch, command, inputs, tmp_path) == 0
    end = contents(tmp_path)
    assert changes
    for event, path, _ in changes:
        assert event != "open" or grows(path) or "/." in f"/{path}", f"{path} is written under its name"
    for name in filter(grows, end):
        assert all(end[name].startswith(seen.get(name, b"")) for _, _, seen in changes)
    assert {name.split("/")[0] for name in end} == set(command.outputs)
    assert found_in(tmp_path) == set(command.outputs), "something hidden is left"


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_a_killed_command_runs_again(name, inputs, tmp_path, monkeypatch):
    command = next(each for each in COMMANDS if each.name == name)
    module, rest = arguments(command, inputs, tmp_path)
    started = [sys.executable, "-c", DRIVER, tmp_path, module, *rest]
    done = subprocess.run(started, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert all(grows(path) for path in contents(tmp_path))
    assert call(monkeypatch, command, inputs, tmp_path) == 0
    assert set(command.outputs) <= found_in(tmp_path)
    assert STATE not in found_in(tmp_path)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_ctrl_c_keeps_what_is_whole_and_says_so(command, inputs, tmp_path, monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    with at_each_change(tmp_path, Moment(interrupt, names=2 if KEPT.get(command.name) == STATE else 1)):
        assert call(monkeypatch, command, inputs, tmp_path) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: interrupted; "), err
    assert err.count("\n") == 1, err
    assert not [name for name in found_in(tmp_path) if name.startswith(".")]
    if command.name in KEPT:
        assert list(contents(tmp_path)) == [KEPT[command.name]]
        assert "the store has what was measured" in err or "goes on from the last saved step" in err
        assert call(monkeypatch, command, inputs, tmp_path) == 0
        assert found_in(tmp_path) == set(command.outputs)
    else:
        assert all(grows(path) for path in contents(tmp_path))


def test_ctrl_c_at_a_terminal_ends_a_sweep_and_its_processes_with_one_line(inputs, tmp_path):
    """A terminal interrupts every process of the command, at any moment; here two measure beside each other."""
    text = (inputs / "sweep.toml").read_text().replace("bits = [8, 6, 4]", "bits = [8, 7, 6, 5, 4, 3, 2]")
    widths = ", ".join(f'"wrap:{bits}"' for bits in range(8, 24))
    (tmp_path / "sweep.toml").write_text(text.replace('accumulator = ["exact"]', f"accumulator = [{widths}]"))
    options = [tmp_path / "sweep.toml", "--store", tmp_path / "s.jsonl", "--workers", "2"]
    started = [sys.executable, "-m", "adderhw.sweep", *options]
    process = subprocess.Popen(
        started, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT, preexec_fn=heed_interrupts
    )
    store = tmp_path / "s.jsonl"
    while not store.exists() or store.read_bytes().count(b"\n") < 2:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "error: interrupted; the store has what was measured\n")
    assert store.read_bytes().endswith(b"}\n")
    wait_until_none_is_left(process.pid)


def heed_interrupts():
    """A shell that starts the tests in the background lets them ignore SIGINT, which processes inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until_none_is_left(group, seconds=10):
    until = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.05)
        pytest.fail(f"processes of group {group} go on")
