"""Plants faults, one at a time, in a copy of the repository, and runs the tests that shall catch each.

    python -m tests.planted                          all of them, about ten minutes on two cores
    python -m tests.planted --only "half_up forgets the half"
    python -m tests.planted --list

Ends with exit code 1 if the tests passed in spite of a fault, and 2 if a fault's text is no longer there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.planted.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-rfE")


def copy_of_repository(folder):
    """A copy of what git knows and of its compiled kernels, which a fault in them makes anew."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)


def check(fault):
    """Raises SystemExit unless the fault's text occurs just once."""
    count = (ROOT / fault.file).read_text().count(fault.before)
    if count != 1:
        print(
            f"error: fault {fault.name!r}: found its text {count} times in {fault.file}, expected once", file=sys.stderr
        )
        raise SystemExit(2)


def caught(fault, folder):
    """The first test that failed with the fault in place, or None; the copy is whole again afterwards."""
    path = folder / fault.file
    whole = path.read_text()
    path.write_text(whole.replace(fault.before, fault.after))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS, *fault.tests.split()],
            cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(folder)},
        )  # fmt: skip
    finally:
        path.write_text(whole)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1, 2) or (done.returncode and not failed):
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"pytest ended with exit code {done.returncode}")
    return failed[0].split(" ", 1)[1].split(" - ")[0] if done.returncode else None


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.planted", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", help="One fault's name.")
    parser.add_argument("--list", action="store_true", help="Print the faults and their tests.")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in (None, fault.name)]
    if not chosen:
        parser.error(f"--only: found {options.only!r}, expected a name that --list prints")
    for fault in chosen:
        check(fault)
    if options.list:
        for fault in chosen:
            print(f"{fault.file}: {fault.name}: {fault.tests}")
        return
    missed, begun = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy_of_repository(Path(folder))
        for number, fault in enumerate(chosen, 1):
            test = caught(fault, Path(folder))
            print(f"{number:2} {fault.name} ({fault.file}): {test or 'NOT CAUGHT'}", flush=True)
            missed += [] if test else [fault.name]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults caught in {time.monotonic() - begun:.0f} s")
    if missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
