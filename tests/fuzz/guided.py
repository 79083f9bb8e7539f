"""Fuzzing led by what the code does with a file: atheris keeps each file that reaches new branches, and mutates it.

    python -m tests.fuzz.guided --target model --files 2000 --seed 0

One target (tests/fuzz/targets.py), all of them without --target. Half of the mutations are libFuzzer's, on bytes, half
the target's own. A file is wrong by the rules of python -m tests.fuzz, and goes to --keep. Needs atheris, which comes
with adderhw[dev] where it has wheels (Linux on x86-64).
"""

import argparse
import contextlib
import os
import pkgutil
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Watch, read_one, seeds_of

PACKAGES = ("adderhw", "quant", "export")
COMPILED = ("adderhw.kernels", "quant.ranges", "quant.qat_kernels")  # with functions whose bytecode Numba reads
RUNNING = {"adderhw.simulate", "quant.__main__", "export.__main__"}
EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
LARGEST = 1 << 20  # bytes of a mutated file


def import_instrumented():
    """Imports every module that can be followed branch by branch; the others as they are."""
    import atheris

    for name in COMPILED:
        import_module(name)
    with atheris.instrument_imports(include=list(PACKAGES), enable_loader_override=False):
        for package in PACKAGES:
            for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
                if module.name not in RUNNING and not module.name.startswith(COMPILED):
                    try:
                        import_module(module.name)
                    except ImportError:  # an optional package that is not here
                        continue


def fuzz(name, files, seed, seconds, memory, keep):
    """Fuzzes one target in this process, which atheris ends; the first file with each problem is kept and named."""
    import atheris

    target = TARGETS[name]
    root = Path(tempfile.mkdtemp())
    corpus = root / "corpus"
    corpus.mkdir()
    for number, data in enumerate(seeds_of(name)):
        (corpus / str(number)).write_bytes(data)
        read_one(target, data, root, Watch(root))  # what is made and compiled once is no file's fault
    watch = Watch(root)
    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_AS, (memory << 30, memory << 30))

    def mutate(data, most, draw):
        rng = np.random.default_rng(draw)
        own = target.mutations[rng.integers(len(target.mutations))]
        if rng.random() < 0.5:
            with contextlib.suppress(Exception):  # the target's own mutations want a file that they can take apart
                return own(rng, bytes(data))[:most]
        return atheris.Mutate(data, most)

    found = set()

    def read(data):
        problem = read_one(target, data, root, watch).strip()
        if problem and problem.splitlines()[-1] not in found:
            path = keep / f"{name.replace(' ', '-')}-{seed}-{len(found)}.bin"
            path.write_bytes(data)
            found.add(problem.splitlines()[-1])
            print(f"{path}: {problem.splitlines()[-1][:200]}", flush=True)

    options = {
        "runs": files, "seed": seed + 1, "timeout": seconds, "max_len": LARGEST, "rss_limit_mb": 0,
        "use_value_profile": 1, "print_final_stats": 1, "artifact_prefix": f"{keep}/", "verbosity": 0,
    }  # fmt: skip
    told = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *told, str(corpus)], read, custom_mutator=mutate)
    atheris.Fuzz()


def run(name, options):
    """(files read, files that were wrong) of one target, in a process of its own."""
    options.keep.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.guided", "--inside", "--target", name, "--keep", options.keep]
    for key in ("files", "seed", "seconds", "memory"):
        command += [f"--{key}", str(getattr(options, key))]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TMPDIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    wrong = [line for line in done.stdout.splitlines() if line.startswith(str(options.keep))]
    executed = EXECUTED.search(done.stderr)
    if done.returncode or executed is None:
        wrong.append(f"{name}: exit code {done.returncode}: {done.stderr[-500:]}")
    for line in wrong:
        print(line, file=sys.stderr)
    return int(executed[1]) if executed else 0, len(wrong)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.guided", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--target", choices=TARGETS, metavar="TARGET", help=f"One of {', '.join(TARGETS)}.")
    parser.add_argument("--files", type=int, default=2000, help="How many files for each target.")
    parser.add_argument("--seed", type=int, default=0, help="Of the mutations.")
    parser.add_argument("--seconds", type=int, default=30, help="What no single file may take.")
    parser.add_argument("--memory", type=int, default=8, help="Address space of a process in GiB.")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="Folder for files that were wrong.")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        import_instrumented()
        fuzz(options.target, options.files, options.seed, options.seconds, options.memory, options.keep)
    begun, files, wrong = time.monotonic(), 0, 0
    for name in [options.target] if options.target else TARGETS:
        read, found = run(name, options)
        files, wrong = files + read, wrong + found
        print(f"{name:18} {read:7,} files, {found} wrong", flush=True)
    print(f"{files:,} files, {wrong} wrong; seed {options.seed}, {time.monotonic() - begun:.0f} s")
    if not any(options.keep.iterdir()):
        shutil.rmtree(options.keep)
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
