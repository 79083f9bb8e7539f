"""Runs one function over many tasks on processes of this machine; a process that dies loses nothing."""

import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from adderhw.errors import ProcessesError

MOST_BREAKS = 3  # in a row, without a task done between
_SHARED = []


def on_processes(workers, function, shared, tasks):
    """Yields (index, function(shared, task)) as tasks are done, in any order, each index once.

    workers: processes. function: of a module. shared: sent once a process. An error of the function is raised here.
    When a process dies, its task and those beside it run again. Raises ProcessesError where that does not help.
    """
    waiting, breaks = dict(enumerate(tasks)), 0
    while waiting:
        done = 0
        try:
            for index, result in _one_pool(workers, function, shared, dict(waiting)):
                del waiting[index]
                done += 1
                yield index, result
        except BrokenProcessPool:
            breaks = 1 if done else breaks + 1
            if breaks == MOST_BREAKS:
                raise ProcessesError(f"processes: one died {MOST_BREAKS} times with no task done between") from None


def _one_pool(workers, function, shared, tasks):
    context = multiprocessing.get_context("spawn")
    held = (pickle.dumps(shared), os.getpid())
    pool = ProcessPoolExecutor(workers, context, initializer=_hold, initargs=held)
    try:
        running = {pool.submit(_call, function, task): index for index, task in tasks.items()}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _hold(packed, parent):
    _SHARED[:] = [pickle.loads(packed)]
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent):
    """Ends this process when its parent is gone: killed, it cannot say so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _call(function, task):
    return function(_SHARED[0], task)
