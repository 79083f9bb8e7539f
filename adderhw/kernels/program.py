"""Programs: a list of kernel calls made ready once, then run without Python in between, by one thread or several."""

import os
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from adderhw.kernels.compiled import FRAME, I64, pointer_to


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
    frame = np.zeros(FRAME, np.int64)
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
                run_alone(table)

            return run
        control = np.zeros(CONTROL + PER_STEP * len(table), np.int64)
        jobs = [_Help(table, control, thread, part) for thread in range(1, self.threads)]

        def run_together():
            open_program(control)
            for job, queue in zip(jobs, _helpers(self.threads - 1, os.getpid()), strict=True):
                queue.put(job)
            run_shared(table, control)

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
        help_program(self.table, self.control, self.thread)


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


@intrinsic
def _call(typing_context, address, frame, first, last, thread):
    """Calls the machine code of a step."""
    signature = types.void(*[types.int64] * 5)

    def generate(context, builder, signature, values):
        function = ir.FunctionType(ir.VoidType(), [I64] * 4)
        builder.call(builder.inttoptr(values[0], function.as_pointer()), values[1:])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _atomic_add(typing_context, array, at, value):
    """array[at] += value, atomically; returns what was there before."""
    signature = types.int64(array, types.int64, types.int64)

    def generate(context, builder, signature, values):
        at = pointer_to(context, builder, signature.args[0], *values[:2], I64)
        return builder.atomic_rmw("add", at, values[2], "seq_cst")

    return signature, generate


def _pause(builder):
    """Tells an x86 core that it is waiting in a loop."""
    if builder.module.triple.startswith(("x86_64", "i686")):
        function = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), function), ())


@intrinsic
def _wait_for(typing_context, array, at, least):
    """Waits, on the core, until array[at] ≥ least."""
    signature = types.void(array, types.int64, types.int64)

    def generate(context, builder, signature, values):
        at = pointer_to(context, builder, signature.args[0], *values[:2], I64)
        loop, again, done = (builder.append_basic_block(name) for name in ("wait", "again", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        reached = builder.icmp_signed(">=", builder.load_atomic(at, "seq_cst", 8), values[2])
        builder.cbranch(reached, done, again)
        builder.position_at_end(again)
        _pause(builder)
        builder.branch(loop)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


@njit(cache=True, nogil=True)
def run_alone(steps):
    """Every unit of every step in turn; steps: int64 (n, 3) of machine code's address, frame's address, units."""
    for i in range(len(steps)):
        _call(steps[i, 0], steps[i, 1], 0, steps[i, 2], 0)


CONTROL = 16  # int64 of a control array before the first step's: [0] open, [8] helpers inside
CLAIMED, DONE, PER_STEP = 0, 8, 16  # int64 of one step: units claimed and done, on cache lines of their own


@njit
def _take_part(steps, control, thread):
    """Takes units, one after another, until all are done; nobody starts a step before the last one's units are done."""
    for i in range(len(steps)):
        at, units = CONTROL + i * PER_STEP, steps[i, 2]
        while True:
            unit = _atomic_add(control, at + CLAIMED, 1)
            if unit >= units:
                break
            _call(steps[i, 0], steps[i, 1], unit, unit + 1, thread)
            _atomic_add(control, at + DONE, 1)
        _wait_for(control, at + DONE, units)


@njit(cache=True, nogil=True)
def open_program(control):
    """Sets the counts back and lets helpers in."""
    control[CONTROL:] = 0
    _atomic_add(control, 0, 1)


@njit(cache=True, nogil=True)
def run_shared(steps, control):
    """Runs an opened program together with whoever helps, closes it, and waits until the last helper has left.

    A helper announces itself before it looks whether the program is open, and the program is closed before this
    looks who is inside: one of them sees the other, so no helper works on buffers that the caller has taken back.
    """
    _take_part(steps, control, 0)
    _atomic_add(control, 0, -1)
    _wait_for_nobody(control)


@njit
def _wait_for_nobody(control):
    while _atomic_add(control, 8, 0) > 0:
        pass


@njit(cache=True, nogil=True)
def help_program(steps, control, thread):
    """Helps as thread number `thread` with a program, if it is still open."""
    _atomic_add(control, 8, 1)
    if _atomic_add(control, 0, 0) > 0:
        _take_part(steps, control, thread)
    _atomic_add(control, 8, -1)
