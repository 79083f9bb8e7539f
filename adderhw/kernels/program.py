"""Programs: a list of kernel calls made ready once, then run without Python in between, by one thread or several."""

import os
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

import numpy as np

from adderhw.kernels import compiled


class Step(NamedTuple):
    """One kernel call made ready: machine code at `address`, what it is told, and how many units it consists of.

    frame: int64, addresses and sizes (see the makers of steps in compiled). keep: the arrays at those addresses.
    """

    address: int
    frame: np.ndarray
    units: int
    keep: tuple


def make_step(code, units, *values):
    """The Step of a compiled step function; values: contiguous arrays and integers, in the order of its frame.

    Of a two-dimensional array (a requantisation table) the frame holds the columns, of others the elements.
    """
    frame = np.zeros(compiled.FRAME, np.int64)
    told = []
    for value in values:
        told += [value.ctypes.data, value.shape[-1]] if isinstance(value, np.ndarray) else [int(value)]
    frame[: len(told)] = told
    return Step(code.address, frame, units, values)


class Program:
    """Steps that run one after another; each Step's units are shared by `threads` threads (the caller is one).

    steps: Steps, and Python functions without arguments for what no kernel does. Results do not depend on the number
    of threads: a unit is computed by one thread, and a step starts when the one before is done.
    """

    def __init__(self, steps, threads=1):
        self.threads = threads
        self.parts = [self._part(part) for part in _split(steps)]

    def _part(self, part):
        """A function without arguments that runs neighbouring Steps, or the Python function itself."""
        if not isinstance(part, list):
            return part
        table = np.array([(step.address, step.frame.ctypes.data, step.units) for step in part], np.int64)
        if self.threads == 1 or max(step.units for step in part) == 1:

            def run(keep=part):
                compiled.run_alone(table)

            return run
        control = np.zeros(compiled.CONTROL + compiled.PER_STEP * len(table), np.int64)
        jobs = [_Help(table, control, thread, part) for thread in range(1, self.threads)]

        def run_together():
            compiled.open_program(control)
            for job, queue in zip(jobs, _helpers(self.threads - 1, os.getpid()), strict=True):
                queue.put(job)
            compiled.run_shared(table, control)

        return run_together

    def run(self):
        """Runs every step once."""
        for part in self.parts:
            part()


class _Help(NamedTuple):
    """What a helper is asked: to take part in a program as a thread of this number."""

    table: np.ndarray
    control: np.ndarray
    thread: int
    keep: list

    def __call__(self):
        compiled.help_program(self.table, self.control, self.thread)


def _split(steps):
    """Neighbouring Steps as lists, everything else as it is."""
    parts = []
    for step in steps:
        if not isinstance(step, Step):
            parts.append(step)
        elif parts and isinstance(parts[-1], list):
            parts[-1].append(step)
        else:
            parts.append([step])
    return parts


@cache
def _helpers(count, process):
    """The queues of `count` helper threads, made once; a forked process (its id differs) makes its own."""
    queues = [SimpleQueue() for _ in range(count)]
    for queue in queues:
        Thread(target=_help, args=(queue,), name="adderhw", daemon=True).start()
    return queues


def _help(queue):
    while True:
        queue.get()()
