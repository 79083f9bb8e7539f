"""Programs shared by threads: helpers sleep and wake, two callers at once, and an interrupt leaves nothing open."""

import os
import time
from threading import Thread

import numpy as np
import pytest

from adderhw.kernels import Geometry, Program, adder_conv, conv_step, pack_adder_conv, program

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (1, 24, 24, 16)).astype(np.uint8)
PACKED = pack_adder_conv(RNG.integers(0, 256, (16, 16, 3, 3)).astype(np.uint8), Geometry(pads=(1, 1, 1, 1)))
EXPECTED = adder_conv(X, PACKED, 3, threads=1)


def shared(threads, layers=4):
    """(program, outputs, stats of each thread) of the same layer, several times."""
    outs = [np.zeros_like(EXPECTED) for _ in range(layers)]
    stats = np.zeros((threads, 2), np.int64)
    steps = [conv_step(PACKED, X, 3, out, stats=stats, threads=threads) for out in outs]
    assert min(step.units for step in steps) >= threads
    return Program(steps, threads), outs, stats


def run_and_compare(made, runs, pause=0.0):
    whole, outs, _ = made
    for _ in range(runs):
        for out in outs:
            out[:] = 0
        whole.run()
        assert all((out == EXPECTED).all() for out in outs)
        time.sleep(pause)


@pytest.mark.parametrize("pause", [0, 0.002], ids=["awake", "asleep"])
def test_helpers_take_part_whether_they_are_awake_or_asleep(pause):
    made = shared(2)
    deadline = time.monotonic() + 60
    while (made[2][:, 0] == 0).any() and time.monotonic() < deadline:
        run_and_compare(made, 5, pause)
    assert (made[2][:, 0] == EXPECTED.max()).all()


def test_callers_at_once_share_the_helpers_and_get_their_own_sums():
    callers = [shared(3) for _ in range(4)]
    wrong = []

    def call(made):
        try:
            run_and_compare(made, 200)
        except AssertionError as error:
            wrong.append(error)

    threads = [Thread(target=call, args=(made,)) for made in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_interrupt_before_the_run_leaves_the_program_closed_and_the_helpers_free(monkeypatch):
    made = shared(2)

    def interrupted(steps, control, mailboxes, held):
        opened(steps, control, mailboxes, held)
        raise KeyboardInterrupt

    opened = program.open_program
    monkeypatch.setattr(program, "open_program", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made[0].run()
    mailboxes, _ = program._helpers(1, os.getpid())
    assert mailboxes[0, [program.OPEN, program.INSIDE, program.HELD]].tolist() == [0, 0, 0]
    monkeypatch.undo()
    run_and_compare(made, 20)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own():
    made = shared(2)
    run_and_compare(made, 3)
    child = os.fork()
    if child == 0:
        try:
            run_and_compare(made, 20, 0.001)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
