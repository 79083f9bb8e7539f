"""Runs one function over many tasks on processes of this machine; a process that dies loses nothing."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
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
    given_up = context.Event()
    held = (pickle.dumps(shared), os.getpid(), given_up)
    pool = ProcessPoolExecutor(workers, context, initializer=_hold, initargs=held)
    try:
        with _interrupts_held():
            running = {pool.submit(_call, function, task): index for index, task in tasks.items()}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except (KeyboardInterrupt, GeneratorExit):
        given_up.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held():
    """Processes that start in the block know nothing of Ctrl-C, of which this one takes care; it comes after it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hold(packed, parent, given_up):
    _SHARED[:] = [pickle.loads(packed)]
    threading.Thread(target=_leave_with, args=(parent, given_up), daemon=True).start()


def _leave_with(parent, given_up):
    """Ends this process when its parent wants no more of it, or is gone: killed, it cannot say so."""
    while os.getppid() == parent and not given_up.wait(0.5):
        pass
    os._exit(1)


def _call(function, task):
    return function(_SHARED[0], task)
