"""A full disk and a folder that cannot be written: one line, the exit code of the README, nothing half written."""

import json
import os

import pytest

from adderhw.errors import WriteError
from quant.mixed_store import Store
from tests.faults.commands import COMMANDS, call, found_in

HEADER = {"schema": 1}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_full_disk_is_one_line_and_leaves_nothing(command, inputs, full_disk, monkeypatch, capsys):
    folder, words = full_disk
    assert call(monkeypatch, command, inputs, folder) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {folder}/{command.outputs[0]}"), err
    assert err.endswith(f": cannot write: {words}\n"), err
    assert err.count("\n") == 1, err
    left = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name != "filler"]
    assert all(os.path.getsize(name) == 0 and (name.endswith(".jsonl") or "tfevents" in name) for name in left), left


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_folder_that_cannot_be_written_is_one_line(command, inputs, read_only, monkeypatch, capsys):
    before = found_in(read_only) if str(read_only) != "/proc" else None
    assert call(monkeypatch, command, inputs, read_only) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {read_only}/{command.outputs[0]}"), err
    assert ": cannot " in err
    assert err.count("\n") == 1, err
    assert before is None or found_in(read_only) == before


def append_all(store, records):
    for record in records:
        store.append(record)


def test_a_disk_that_fills_keeps_the_whole_lines_of_a_store(small_disk):
    folder, words = small_disk
    path = folder / "s.jsonl"
    store, record = Store(path, HEADER), {"text": "x" * 300}
    with pytest.raises(WriteError, match=f"s.jsonl: cannot write: {words}"):
        append_all(store, 100 * [record])
    assert len(store.records) == (4096 - len(json.dumps(HEADER)) - 1) // (len(json.dumps(record)) + 1)
    assert Store(path, HEADER).records == store.records
    assert path.read_bytes().endswith(b"}\n")
