"""Judges every ONNX file below folders, each in a fresh process with limits of time and memory.

    python -m tests.alien FOLDER… --lines judged.jsonl --jobs 2 --seconds 120

A file that stands in --lines already is not judged again. Exit code 1: a wrong value, another count of MACs, a
traceback, or a file that took longer than it may.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COLUMNS = ("files", "valid", "accepted", "exact", "mismatches", "reference", "MACs differ", "faults")


def judge(path, seconds):
    """The dict that tests.alien.judge prints of a file; what ends otherwise is a fault."""
    command = [sys.executable, "-m", "tests.alien.judge", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"file": str(path), "fault": f"took more than {seconds:g} s"}
    if done.returncode:
        return {"file": str(path), "fault": (done.stderr.strip().splitlines() or ["no words"])[-1][:300]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def all_judged(files, lines, jobs, seconds):
    """The dicts of all files; those that `lines` has are read from there, others added to it."""
    known = {}
    if lines and lines.exists():
        known = {found["file"]: found for found in map(json.loads, lines.read_text().splitlines())}
    missing = [path for path in files if str(path) not in known]
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(lambda path: judge(path, seconds), missing):
            known[found["file"]] = found
            if lines:
                with lines.open("a") as stream:
                    stream.write(json.dumps(found) + "\n")
    return [known[str(path)] for path in files]


def row_of(judgements):
    """The numbers of COLUMNS of some files."""
    valid = [found for found in judgements if not found.get("invalid")]
    return {
        "files": len(judgements),
        "valid": len(valid),
        "accepted": sum(found.get("exit") == 0 for found in valid),
        "exact": sum(found.get("exact", False) for found in judgements),
        "mismatches": sum(found.get("mismatches", 0) for found in judgements),
        "reference": sum(found.get("reference_mismatches", 0) for found in judgements),
        "MACs differ": sum(differ(found) for found in judgements),
        "faults": sum("fault" in found or found.get("exit") not in (0, 2) for found in judgements),
    }


def differ(found):
    """Whether both counts of MACs are known and are not equal."""
    return None not in (found.get("macs"), found.get("macs_apart")) and found["macs"] != found["macs_apart"]


def table(groups):
    """Lines of a table: a row for each group and their sum."""
    rows = {name: row_of(found) for name, found in groups.items()}
    rows["all"] = row_of([found for group in groups.values() for found in group])
    width = max(map(len, rows))
    yield " " * width + "".join(f"  {column:>11}" for column in COLUMNS)
    for name, row in rows.items():
        yield f"{name:{width}}" + "".join(f"  {row[column]:11,}" for column in COLUMNS)


def main(arguments=None):
    """Judges, prints the table and every file that was refused; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.alien", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="each is searched for *.onnx, and is a row of the table")
    parser.add_argument("--lines", type=Path, help="JSON lines, one a file; what stands there is not judged again")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--seconds", type=float, default=120, help="the most that a file may take")
    options = parser.parse_args(arguments)
    files = {folder: sorted(folder.rglob("*.onnx")) for folder in options.folders}
    every = [path for paths in files.values() for path in paths]
    judgements = all_judged(every, options.lines, options.jobs, options.seconds)
    groups, found = defaultdict(list), {each["file"]: each for each in judgements}
    for folder, paths in files.items():
        groups[str(folder)] += [found[str(path)] for path in paths]
    for each in judgements:
        if each.get("exit") != 0:
            invalid = f" [invalid: {each['invalid']}]" if each.get("invalid") else ""
            print(f"{each['file']}: {each.get('fault') or each['words']}{invalid}")
    print("\n".join(table(groups)))
    total = row_of(judgements)
    return int(any(total[column] for column in ("mismatches", "MACs differ", "faults")))


if __name__ == "__main__":
    sys.exit(main())
