"""A Dask cluster of this machine for tests: a scheduler and two workers, each a process that can be killed."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def cluster(folder, workers=2):
    """(address, worker processes); all are ended on leaving."""
    file, running = folder / "scheduler.json", []
    where = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def start(module, *options):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *options, "--scheduler-file", str(file)]
        running.append(subprocess.Popen([*command, "--no-dashboard"], **where, **quiet))

    try:
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        for number in range(workers):
            start("dask_worker", "--nthreads", "1", "--no-nanny", "--local-directory", str(folder / f"w{number}"))
        yield address_in(file), running[1:]
    finally:
        for process in running:
            process.kill()
            process.wait()


def address_in(file, seconds=60):
    """The address in a scheduler's file, once it is there."""
    until = time.monotonic() + seconds
    while True:
        try:
            return json.loads(file.read_text())["address"]
        except (OSError, ValueError):
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.1)
