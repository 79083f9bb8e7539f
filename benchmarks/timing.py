"""Paired timings: the sides of a ratio run alternately, so that a busy machine slows both alike."""

import json
import platform
from pathlib import Path
from statistics import median
from time import perf_counter

SETTLE = 0.005


def seconds(call):
    """Wall seconds of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def settled_seconds(call, settle):
    """Wall seconds of one call, after `settle` seconds of the same."""
    until = perf_counter() + settle
    while perf_counter() < until:
        call()
    return seconds(call)


def paired(calls, runs, settle=0.0):
    """One list of `runs` timings per call, after one untimed round; the calls take turns.

    settle: seconds for which a side runs untimed before it is timed. Helper threads spin for a while after a call, on
    cores that the other side's helpers want: where sides have several threads, SETTLE is fair to both.
    """
    for call in calls:
        call()
    rounds = [[settled_seconds(call, settle) for call in calls] for _ in range(runs)]
    return [list(column) for column in zip(*rounds, strict=True)]


def median_ratio(numerator, denominator):
    """Median of the paired quotients."""
    return median(a / b for a, b in zip(numerator, denominator, strict=True))


def cpu_name():
    """The processor as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_table(rows):
    """Prints a list of dicts with equal keys as aligned columns."""
    texts = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(rows[0], *texts, strict=True)]
    for line in [list(rows[0]), *texts]:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def write_json(path, result):
    """Writes `result` where --json asked for it."""
    if path:
        Path(path).write_text(json.dumps(result, indent=1) + "\n")
