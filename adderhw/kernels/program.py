"""Programs: a list of kernel calls made ready once, then run without Python in between, by one thread or several."""

import os
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from adderhw.kernels.compiled import FRAME, I64, address_of, pointer, pointer_to


class Step(NamedTuple):
    """One kernel call made ready: machine code at `address`, what it is told, and how many units it consists of.

    frame: int64, addresses and sizes (see the makers of steps in compiled). keep: the arrays at those addresses.
    grain: how many units a thread takes at once.
    """

    address: int
    frame: np.ndarray
    units: int
    keep: tuple
    grain: int = 1


def make_step(code, units, *values, grain=1):
    """The Step of a compiled step function; values: contiguous arrays and integers, in the order of its frame.

    Of a two-dimensional array (a requantisation table) the frame holds the columns, of others the elements.
    """
    frame = np.zeros(FRAME, np.int64)
    told = []
    for value in values:
        told += [value.ctypes.data, value.shape[-1]] if isinstance(value, np.ndarray) else [int(value)]
    frame[: len(told)] = told
    return Step(code.address, frame, units, values, grain)


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
        table = np.array([(step.address, step.frame.ctypes.data, step.units, step.grain) for step in part], np.int64)
        if self.threads == 1 or all(step.units <= step.grain for step in part):

            def run(keep=part):
                run_alone(table)

            return run
        control = np.zeros(PER_STEP * len(table), np.int64)
        held = np.zeros(self.threads - 1, np.int64)

        def run_together(keep=part):
            mailboxes, queues = _helpers(len(held), os.getpid())
            try:
                open_program(table, control, mailboxes, held)
                for queue, how in zip(queues, held, strict=True):
                    if how == ASLEEP and queue.empty():  # else it has been woken and is on its way
                        queue.put(None)
            finally:  # an interrupt must not leave a program open whose buffers may go
                run_shared(table, control, mailboxes, held)

        return run_together

    def run(self):
        """Runs every step once."""
        for part in self.parts:
            part()


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
    """(mailboxes, queues) of `count` helper threads, made once; a forked process (its id differs) makes its own.

    A mailbox says which program to help with; whatever is put in its queue wakes a helper that has gone to sleep.
    """
    mailboxes, queues = np.zeros((count, MAILBOX), np.int64), [SimpleQueue() for _ in range(count)]
    for mailbox, queue in zip(mailboxes, queues, strict=True):
        Thread(target=_help, args=(mailbox, queue), name="adderhw", daemon=True).start()
    return mailboxes, queues


def _help(mailbox, queue):
    while True:
        queue.get()
        help_programs(mailbox)


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


@intrinsic
def _wait_for_another(typing_context, array, at, value, pauses):
    """array[at], as soon as it is not `value`, or after so many pauses."""
    signature = types.int64(array, types.int64, types.int64, types.int64)

    def generate(context, builder, signature, values):
        array, at, value, pauses = values
        at = pointer_to(context, builder, signature.args[0], array, at, I64)
        entry = builder.block
        loop, again, done = (builder.append_basic_block(name) for name in ("wait", "again", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        left = builder.phi(I64)
        found = builder.load_atomic(at, "seq_cst", 8)
        stay = builder.and_(builder.icmp_signed("==", found, value), builder.icmp_signed(">", left, I64(0)))
        builder.cbranch(stay, again, done)
        builder.position_at_end(again)
        _pause(builder)
        left.add_incoming(pauses, entry)
        left.add_incoming(builder.sub(left, I64(1)), again)
        builder.branch(loop)
        builder.position_at_end(done)
        return found

    return signature, generate


@njit(cache=True, nogil=True)
def run_alone(steps):
    """Every unit of every step in turn; steps: int64 (n, 4): addresses of machine code and frame, units, grain."""
    for i in range(len(steps)):
        _call(steps[i, 0], steps[i, 1], 0, steps[i, 2], 0)


CLAIMED, DONE, PER_STEP = 0, 8, 16  # int64 of one step: units claimed and done, on cache lines of their own
OPEN, TABLE, STEPS, CONTROL, NUMBER, COUNT = 0, 1, 2, 3, 4, 5  # int64 of a mailbox that the caller writes
INSIDE, AWAKE = 16, 17  # those that the helper writes
HELD, MAILBOX = 32, 48  # whether a caller has this helper; int64 of a mailbox
ASLEEP, READY = 1, 2  # what a caller is told of the helpers that it has got
PAUSES = 3000  # about 60 µs: a helper waits so long for more before it sleeps, for waking it takes as long


@njit
def _take_part(steps, control, thread):
    """Takes units, one after another, until all are done; nobody starts a step before the last one's units are done."""
    for i in range(len(steps)):
        at, units, grain = i * PER_STEP, steps[i, 2], steps[i, 3]
        while True:
            unit = _atomic_add(control, at + CLAIMED, grain)
            if unit >= units:
                break
            after = min(unit + grain, units)
            _call(steps[i, 0], steps[i, 1], unit, after, thread)
            _atomic_add(control, at + DONE, after - unit)
        _wait_for(control, at + DONE, units)


@njit(cache=True, nogil=True)
def open_program(steps, control, mailboxes, held):
    """Sets the counts back and lets helpers in that no other caller has; held: ASLEEP, READY or, for the others, 0."""
    control[:] = 0
    for i in range(len(mailboxes)):
        mailbox = mailboxes[i]
        held[i] = 0
        if _atomic_add(mailbox, HELD, 1) > 0:
            _atomic_add(mailbox, HELD, -1)
            continue
        mailbox[TABLE], mailbox[STEPS], mailbox[CONTROL] = address_of(steps), len(steps), address_of(control)
        mailbox[NUMBER], mailbox[COUNT] = i + 1, mailbox[COUNT] + 1
        _atomic_add(mailbox, OPEN, mailbox[COUNT])
        held[i] = READY if _atomic_add(mailbox, AWAKE, 0) else ASLEEP


@njit(cache=True, nogil=True)
def run_shared(steps, control, mailboxes, held):
    """Runs an opened program together with whoever helps, closes it, and waits until the last helper has left.

    A helper announces itself before it looks whether the program is open, and the program is closed before this
    looks who is inside: one of them sees the other, so no helper works on buffers that the caller has taken back.
    """
    _take_part(steps, control, 0)
    for i in range(len(mailboxes)):
        if held[i]:
            mailbox = mailboxes[i]
            _atomic_add(mailbox, OPEN, -mailbox[COUNT])
            while _atomic_add(mailbox, INSIDE, 0) > 0:
                pass
            _atomic_add(mailbox, HELD, -1)
            held[i] = 0


@njit(cache=True, nogil=True)
def help_programs(mailbox):
    """Helps with the programs that are opened for this mailbox, until there has been none for PAUSES."""
    _atomic_add(mailbox, AWAKE, 1)
    last = 0
    while True:
        program = _wait_for_another(mailbox, OPEN, last, PAUSES)
        if program == last:
            break
        _atomic_add(mailbox, INSIDE, 1)
        if program and _atomic_add(mailbox, OPEN, 0) == program:
            steps = carray(pointer(mailbox[TABLE]), (mailbox[STEPS], 4), np.int64)
            control = carray(pointer(mailbox[CONTROL]), (PER_STEP * mailbox[STEPS],), np.int64)
            _take_part(steps, control, mailbox[NUMBER])
        _atomic_add(mailbox, INSIDE, -1)
        last = program
    _atomic_add(mailbox, AWAKE, -1)
