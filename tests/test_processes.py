"""Tasks on processes: each counts once, a process that dies loses nothing, and one that always dies ends the run."""

import os
import signal
from pathlib import Path

import pytest

from adderhw.errors import AdderHwError, ProcessesError
from adderhw.processes import on_processes


def square(shared, task):
    return shared * task**2


def dies_once(folder, task):
    """Kills its own process the first time it sees the task 3."""
    marker = Path(folder) / "died"
    if task == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def dies(shared, task):
    os.kill(os.getpid(), signal.SIGKILL)


def complains(shared, task):
    raise AdderHwError(f"task: found {task}")


def test_each_task_counts_once_with_its_index():
    found = list(on_processes(2, square, 10, [5, 6, 7]))
    assert sorted(found) == [(0, 250), (1, 360), (2, 490)]


def test_a_process_that_dies_loses_nothing_and_counts_nothing_twice(tmp_path):
    found = list(on_processes(2, dies_once, str(tmp_path), range(8)))
    assert (tmp_path / "died").exists()
    assert sorted(found) == [(task, task) for task in range(8)]


def test_processes_that_always_die_end_the_run():
    with pytest.raises(ProcessesError, match="died 3 times with no task done between"):
        list(on_processes(1, dies, None, [1]))


def test_an_error_of_a_task_is_raised_here():
    with pytest.raises(AdderHwError, match="task: found 1"):
        list(on_processes(1, complains, None, [1]))
