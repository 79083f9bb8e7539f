"""Compiles the testbenches in a folder of golden vectors with Verilator or Icarus Verilog, and runs them."""

import os
import shutil
from pathlib import Path

from adderhw.errors import AdderHwError
from adderhw.hardware.tools import require, run

SIMULATORS = ("verilator", "iverilog")


def choose(name=None):
    """The simulator called `name`, or the fastest one installed; raises AdderHwError for another name or none."""
    if name is None:
        name = next((tool for tool in SIMULATORS if shutil.which(tool)), SIMULATORS[0])
    if name not in SIMULATORS:
        raise AdderHwError(f"simulator: found {name!r}, expected one of {', '.join(SIMULATORS)}")
    require(name)
    return name


def compile_testbenches(simulator, vectors, build, sources, top="all_layers"):
    """The command (a list) that simulates module `top`; to be run in the folder of vectors.

    vectors: that folder. build: folder for what the compiler writes. sources: paths relative to `vectors`.
    """
    build = Path(build).resolve()
    if simulator == "iverilog":
        target = build / f"{top}.vvp"
        run(["iverilog", "-g2012", "-s", top, "-o", str(target), *sources], vectors)
        return ["vvp", "-n", str(target)]
    jobs = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    options = ["--binary", "-j", jobs, "-O3", "-Wno-fatal", "-Wno-WIDTH", "--x-assign", "fast", "--top-module", top]
    compiler = ["-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"]
    run(["verilator", *options, *compiler, "--Mdir", str(build), *sources], vectors)
    return [str(build / f"V{top}")]


def results(text):
    """(layer name → (accumulators, outputs, overflows, mismatches), first mismatches) that the testbenches printed."""
    found, first = {}, []
    for line in text.splitlines():
        if line.startswith("RESULT "):
            words = line.rsplit(":", 1)[0].rsplit(" ", 8)
            found[words[0].removeprefix("RESULT ")] = tuple(int(words[i]) for i in (2, 4, 6, 8))
        elif line.startswith("MISMATCH "):
            first.append(line.removeprefix("MISMATCH "))
    return found, first
