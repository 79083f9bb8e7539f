"""Reads mutated files one after the other in a process of its own, and says of each how that ended.

    python -m tests.fuzz.worker SEED FIRST LAST STEP MEMORY_GIB

Before each file it prints its number, after it one line of JSON: what was read and "" or what was wrong, and the
process's peak memory. Whoever started it takes silence for a hang, and an end without a last line for a crash.
"""

import contextlib
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

import numpy as np
import typer

import adderhw
from adderhw.errors import AdderHwError
from tests.fuzz.targets import TARGETS

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
MAKING_LINKS = {"os.link", "os.symlink"}
RUNNING = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}
CACHES = [Path(adderhw.__file__).parents[1] / name / "__pycache__" for name in ("adderhw/kernels", "quant", "training")]


def free():
    """What may be written beside the output: the caches of compiled kernels, wherever NUMBA_CACHE_DIR puts them."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    return ("/dev/null", *map(str, CACHES), *([os.path.abspath(elsewhere)] if elsewhere else []))


def mutated(seed, number):
    """(name of the target, bytes) of a file; equal numbers give equal bytes."""
    rng = np.random.default_rng([seed, number])
    names = list(TARGETS)
    shares = np.array([TARGETS[name].share for name in names], float)
    name = names[rng.choice(len(names), p=shares / shares.sum())]
    target = TARGETS[name]
    seeds = seeds_of(name)
    data = seeds[rng.integers(len(seeds))]
    return name, target.mutations[rng.integers(len(target.mutations))](rng, data)


def seeds_of(name, cache={}):  # noqa: B006 - kept for the life of the process
    """A target's valid files, made once."""
    if name not in cache:
        cache[name] = TARGETS[name].seeds()
    return cache[name]


class Watch:
    """Notes what Python code does outside one folder while it is on."""

    def __init__(self, folder):
        self.folder, self.free, self.found, self.on = str(folder), free(), [], False

    def __call__(self, event, arguments):
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)) and (flags or 0) & WRITING:
                self.expect_inside(event, path)
        elif event in CHANGES:
            self.expect_inside(event, arguments[event in MAKING_LINKS])
        elif event in RUNNING:
            self.found.append(f"{event} {str(arguments[0])[:100]}")

    def expect_inside(self, event, path):
        path = os.path.abspath(os.fsdecode(path)) if not isinstance(path, int) else self.folder
        if not path.startswith(self.folder) and not path.startswith(self.free):
            self.found.append(f"{event} {path}")


def read_one(target, data, root, watch):
    """'' or what was wrong when the mutated file was read as its target says."""
    folder = Path(tempfile.mkdtemp(dir=root))
    path = folder / target.name
    path.write_bytes(data)
    outputs = folder / "out"
    outputs.mkdir()
    out, err = io.StringIO(), io.StringIO()
    watch.found.clear()
    watch.on, failed = True, False
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), np.errstate(all="ignore"):
            target.run(path, folder)
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except AdderHwError as error:
        code, failed = 2, True
        err.write(f"error: {' '.join(str(error).split())}\n")
    except BaseException:
        watch.on = False
        return "".join(traceback.format_exc().splitlines(keepends=True)[-12:])
    finally:
        watch.on = False
        written = sorted(each.name for each in outputs.iterdir())
        shutil.rmtree(folder, ignore_errors=True)
    if watch.found:
        return f"outside the output folder: {watch.found[:3]}"
    return verdict(code, out.getvalue(), err.getvalue(), written, failed)


def verdict(code, out, err, written, failed):
    """'' if the exit is as documented: 0; 1 for a check that failed; 2 with one line and nothing written."""
    if code in (0, 1):
        return "" if "Traceback" not in err else err[-2000:]
    if code != 2:
        return f"exit code {code}"
    if not err.startswith("error: ") or err.count("\n") != 1:
        return f"exit code 2 without its one line: {err[-2000:]!r}"
    if out and not failed:
        return f"exit code 2 after output: {out[:200]!r}"
    return f"exit code 2, yet it left {written}" if written else ""


def warm_up(root):
    """Reads the valid files of each target, so that what is imported and compiled once is no file's fault."""
    for name in TARGETS:
        seeds_of(name)
    for name, target in TARGETS.items():
        for data in seeds_of(name):
            problem = read_one(target, data, root, Watch(root))
            if problem:
                raise SystemExit(f"{name}: a valid file gave {problem}")


def main():
    seed, first, last, step, memory = map(int, sys.argv[1:6])
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[first % len(cores)]})  # threads that wait for each other take twice the time
    resource.setrlimit(resource.RLIMIT_AS, (memory << 30, memory << 30))
    sys.dont_write_bytecode = True
    root = tempfile.mkdtemp()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = root  # which torch makes when it traces a checkpoint's network
    watch = Watch(root)
    sys.addaudithook(watch)
    typer.main.get_command = cache(typer.main.get_command)  # building them anew takes a third of the time
    try:
        warm_up(root)
        for number in range(first, last, step):
            print(number, flush=True)
            name, data = mutated(seed, number)
            problem = read_one(TARGETS[name], data, root, watch)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(json.dumps({"target": name, "problem": problem, "peak_mib": peak}), flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
