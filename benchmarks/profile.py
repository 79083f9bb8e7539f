"""Where an adder convolution's time goes, counted instead of timed: instructions, cache misses, units of the core.

    python -m benchmarks.profile
    python -m benchmarks.profile --path portable --cpu znver3 icelake-server

Needs valgrind and llvm-mca (package llvm). Callgrind counts what each layer executes, and what it misses in caches of
the sizes of this machine's first and second level; llvm-mca models the loop over the reduction of the register tile on
the processors named, and says which of their units are busy how many cycles. Valgrind knows no AVX-512.
"""

import argparse
import ctypes
import mmap
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from llvmlite import binding
from numba import config

from adderhw.errors import AdderHwError
from adderhw.kernels import choose_path
from adderhw.kernels.compiled import convolve_step
from benchmarks import ceiling
from benchmarks.kernels import LAYERS, kernel_call, layer_name
from benchmarks.timing import cpu_name, print_table, write_json

ZERO, DUMP = 0x43540001, 0x43540003  # Callgrind's client requests: counters to zero; write them out under a name
# mov rax, rdi; xor edx, edx; rol rdi by 3, 13, 61 and 51; xchg rbx, rbx; mov rax, rdx; ret
REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
ITERATIONS = 200  # of the modelled loop
EVENTS = ("Ir", "Dr", "Dw", "D1mr", "D1mw", "DLmr", "DLmw")


def client_request():
    """A function (request, text) that sends Callgrind a client request (x86-64), which does nothing without it."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(REQUEST)
    code = ctypes.c_char.from_buffer(page)  # which keeps the page
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)

    def ask(request, text=b""):
        held = ctypes.create_string_buffer(text)
        kind(ctypes.addressof(code))((ctypes.c_int64 * 6)(request, ctypes.addressof(held)))

    return ask


def run_counted(path):
    """What runs under Callgrind: each layer once unobserved, then counted; the last of three runs is kept."""
    ask = client_request()
    for layer in LAYERS:
        call, *_ = kernel_call(layer, path)
        for _ in range(3):
            ask(ZERO)
            call()
        ask(DUMP, layer_name(layer).encode())


def cache_options():
    """Callgrind's options for a first-level and a last-level cache like this machine's first and second."""
    options = []
    for flag, cache in (("--D1", "LEVEL1_DCACHE"), ("--LL", "LEVEL2_CACHE")):
        found = [int(tool("getconf", f"{cache}_{what}")) for what in ("SIZE", "ASSOC", "LINESIZE")]
        if not all(found):
            raise AdderHwError(f"getconf {cache}_*: found {found}, expected size, ways and line of a cache")
        options.append(f"{flag}={','.join(map(str, found))}")
    return options


def tool(name, *arguments, **options):
    """What a program prints; raises AdderHwError where it is missing or fails."""
    if shutil.which(name) is None:
        raise AdderHwError(f"{name}: not found, expected it on PATH")
    done = subprocess.run([name, *arguments], capture_output=True, text=True, **options)
    if done.returncode:
        raise AdderHwError(f"{name}: exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def counts(path, folder):
    """Layer's name → {event: count} of one call. folder: for files that do not stay."""
    # Numba compiles anew for valgrind's own processor; threads of a BLAS library, while they wait, would be counted.
    environment = {**os.environ, "NUMBA_CPU_NAME": binding.get_host_cpu_name(), "OPENBLAS_NUM_THREADS": "1"}
    environment["NUMBA_CPU_FEATURES"] = binding.get_host_cpu_features().flatten()
    options = ["--tool=callgrind", "--cache-sim=yes", *cache_options(), f"--callgrind-out-file={folder}/counts"]
    command = [sys.executable, "-m", "benchmarks.profile", "--counted", "--path", path]
    tool("valgrind", *options, *command, env=environment)
    found = {}
    for file in Path(folder).glob("counts.*"):
        text = file.read_text()
        name, events, numbers = (
            re.search(f"^{line}: (.*)$", text, re.MULTILINE)
            for line in ("desc: Trigger: Client Request", "events", "summary")
        )
        if name:
            found[name[1]] = dict(zip(events[1].split(), map(int, numbers[1].split()), strict=True))
    return found


def reduction_loop(kind):
    """(assembly, instructions, steps) of one round of the compiled loop over the reduction of a Tile class.

    Of all blocks of code that end with a jump to their own beginning, it is that with the most differences.
    """
    step = convolve_step(kind, np.dtype(np.uint8), np.dtype(np.int32))
    matches = re.finditer(
        r"^(\.LBB\w+):[^\n]*\n((?:(?!\.LBB)[^\n]*\n)*?\s+j\w+\s+\1)$", step._library.get_asm_str(), re.MULTILINE
    )
    loops = [[line.split("#")[0].strip() for line in match[2].splitlines()] for match in matches]
    differences = [sum(line.startswith(("vpsadbw", "vpabsd")) for line in loop) for loop in loops]
    at = max(range(len(loops)), key=differences.__getitem__)
    registers = kind.positions * kind.vectors * kind.lanes * kind.lane.width // 256
    loop = [line for line in loops[at] if line]
    return "\n".join(loop[:-1]), len(loop), differences[at] // registers


def modelled(assembly, steps, cpu, folder):
    """{"cpu", "cycles a step", "busiest units"} of a loop of so many steps, by llvm-mca."""
    file = Path(folder) / "loop.s"
    file.write_text(assembly + "\n")
    told = tool("llvm-mca", f"-mcpu={cpu}", f"-iterations={ITERATIONS}", str(file))
    cycles = int(re.search(r"^Total Cycles: +(\d+)$", told, re.MULTILINE)[1]) / ITERATIONS / steps
    units = re.findall(r"^\[([\d.]+)\] +- (\S+)$", told, re.MULTILINE)
    numbers = re.search(r"^Resource pressure per iteration:\n.*\n(.*)$", told, re.MULTILINE)[1].split()
    busy = {unit: float(number) / steps for (_, unit), number in zip(units, numbers, strict=True) if number != "-"}
    busiest = sorted(busy, key=busy.get, reverse=True)[:4]
    return {
        "cpu": cpu, "cycles a step": cycles, "busiest units": ", ".join(f"{unit} {busy[unit]:.3g}" for unit in busiest)
    }  # fmt: skip


def layer_row(layer, path, counted, loop_instructions):
    """A layer's row of the table; counted: {event: count} of one call. Counts are those of one register tile."""
    channels, _, size, _ = layer
    _, work, kind, _ = kernel_call(layer, path)
    steps = channels * size**2 // (kind.unit.width // (8 * np.dtype(kind.scratch).itemsize))
    tiles = work / (steps * ceiling.differences_per_round(kind))
    each = {event: counted[event] / tiles for event in EVENTS}
    return {
        "layer": layer_name(layer), "steps": steps, "instructions": each["Ir"],
        "beside the loop": each["Ir"] - steps * loop_instructions, "loads": each["Dr"], "stores": each["Dw"],
        "L1 misses": each["D1mr"] + each["D1mw"], "L2 misses": each["DLmr"] + each["DLmw"],
    }  # fmt: skip


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", choices=("avx2", "portable"), default="avx2", help="kernel path (default: avx2)")
    parser.add_argument("--cpu", nargs="+", default=["znver3"], help="processors as LLVM names them (default: znver3)")
    parser.add_argument("--json", help="also write the rows to this file")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        path = choose_path(arguments.path)
        if arguments.counted:
            run_counted(path)
        else:
            report(path, arguments.cpu, arguments.json)
    except AdderHwError as error:
        parser.exit(2, f"{error}\n")


def report(path, cpus, json):
    """Prints, and writes to the file `json` unless it is None, the two tables."""
    with tempfile.TemporaryDirectory() as folder:
        config.CACHE_DIR = folder  # Numba shows the assembly only of what it compiles itself
        assembly, instructions, steps = reduction_loop(ceiling.KINDS[path])
        model = [modelled(assembly, steps, cpu, folder) for cpu in cpus]
        found = counts(path, folder)
    rows = [layer_row(layer, path, found[layer_name(layer)], instructions / steps) for layer in LAYERS]
    print(f"{cpu_name()}, path {path}. A register tile, on average:")
    print_table(rows)
    print(f"A step of its loop, {instructions / steps:.3g} instructions, as llvm-mca models it:")
    print_table(model)
    write_json(json, {"cpu": cpu_name(), "path": path, "rows": rows, "model": model})


if __name__ == "__main__":
    main()
