"""Fuzzing of all that reads files: mutated files must end in a result or in one line and exit code 2.

    python -m tests.fuzz --files 50000 --seed 0 --jobs 2
    python -m tests.fuzz --seed 0 --only 1234

A file is wrong that ends in a traceback, a crash, a hang (--seconds), memory beyond --memory GiB, another exit code,
more than one line, half-written output, or a write outside its folder. Such files go to --keep, with what was seen.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.worker import mutated

FILES_PER_PROCESS = 10_000
START_SECONDS = 600
"""Until the first file: on a cold cache, kernels are compiled."""


class Worker:
    """A process that reads the files first, first + step, … below last, and a thread that hears what it says."""

    def __init__(self, options, first, step):
        self.options, self.next, self.step = options, first, step
        self.start()

    def start(self):
        last = min(self.options.files, self.next + self.step * FILES_PER_PROCESS)
        arguments = map(str, (self.options.seed, self.next, last, self.step, self.options.memory))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.lines, self.under_way, self.patience = queue.Queue(), None, START_SECONDS
        threading.Thread(target=self.hear, args=(self.process, self.lines), daemon=True).start()

    @staticmethod
    def hear(process, lines):
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def results(self):
        """(number, result) of each file, a crash or a hang among them, until all are read."""
        while self.next < self.options.files:
            try:
                line = self.lines.get(timeout=self.patience)
            except queue.Empty:
                yield from self.lost(f"hang: no end after {self.options.seconds} s")
                continue
            if line is None:
                if self.process.wait():
                    yield from self.lost(f"crash: exit code {self.process.returncode}: {self.last_words()}")
                elif self.next < self.options.files:
                    self.start()
            elif line.startswith("{"):
                yield self.under_way, json.loads(line)
                self.next = self.under_way + self.step
            else:
                self.under_way, self.patience = int(line), self.options.seconds

    def lost(self, problem):
        """The result of the file under way, whose process is no more; the next process goes on after it."""
        self.process.kill()
        if self.under_way is None:
            raise SystemExit(f"a worker did not start: {self.last_words()}")
        target = mutated(self.options.seed, self.under_way)[0]
        yield self.under_way, {"target": target, "problem": problem, "peak_mib": 0}
        self.next = self.under_way + self.step
        if self.next < self.options.files:
            self.start()

    def last_words(self):
        """The end of what the process wrote to stderr."""
        return self.process.stderr.read()[-800:]


def run(options):
    """Reads all files and prints the tally; returns how many were wrong."""
    results, done = queue.Queue(), Counter()
    for first in range(options.jobs):
        threading.Thread(target=feed, args=(options, first, results), daemon=True).start()
    problems, peak, begun = Counter(), 0, time.monotonic()
    for count in range(options.files):
        number, result = results.get()
        if number is None:
            raise SystemExit(result)
        done[result["target"]] += 1
        peak = max(peak, result["peak_mib"])
        if result["problem"]:
            problems[result["target"]] += 1
            keep(options, number, result)
        if sys.stderr.isatty() or (count + 1) % 500 == 0:
            print(f"\r{count + 1:,} of {options.files:,} files, {problems.total()} wrong", end="", file=sys.stderr)
    print(file=sys.stderr)
    for name, total in sorted(done.items()):
        print(f"{name:18} {total:7,} files, {problems[name]} wrong")
    took = f"{time.monotonic() - begun:.0f} s, peak {peak} MiB a process"
    print(f"{done.total():,} files, {problems.total()} wrong; seed {options.seed}, {took}")
    return problems.total()


def feed(options, first, results):
    try:
        for number, result in Worker(options, first, options.jobs).results():
            results.put((number, result))
    except (SystemExit, Exception) as stop:  # of whatever kind: the run ends with it, and does not wait for this thread
        results.put((None, f"{type(stop).__name__}: {stop}"))


def keep(options, number, result):
    """Writes a file that was wrong, and what was seen, and prints its last line."""
    options.keep.mkdir(parents=True, exist_ok=True)
    (options.keep / f"{options.seed}-{number}.bin").write_bytes(mutated(options.seed, number)[1])
    (options.keep / f"{options.seed}-{number}.txt").write_text(f"{result['target']}\n{result['problem']}\n")
    print(f"\nfile {number} ({result['target']}): {result['problem'].strip().splitlines()[-1][:200]}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=50_000, help="How many mutated files.")
    parser.add_argument("--seed", type=int, default=0, help="Equal seeds give equal files.")
    parser.add_argument("--jobs", type=int, default=2, help="Processes at once.")
    parser.add_argument("--seconds", type=float, default=30, help="What no single file may take.")
    parser.add_argument("--memory", type=int, default=8, help="Address space of a process in GiB.")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="Folder for files that were wrong.")
    parser.add_argument("--only", type=int, help="Read this one file in this process and show how it ends.")
    options = parser.parse_args()
    if options.only is not None:
        from tests.fuzz.targets import TARGETS

        name, data = mutated(options.seed, options.only)
        folder = options.keep / f"only-{options.only}"
        (folder / "out").mkdir(parents=True)
        path = folder / TARGETS[name].name
        path.write_bytes(data)
        TARGETS[name].run(path, folder)
    elif run(options):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
