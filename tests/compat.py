"""The oldest and newest that setup.cfg admits. A line for each; ends with 1 if one fails.

    python -m tests.compat                  all of them
    python -m tests.compat 3.12-newest      one, or several: 3.11-lowest, 3.11-newest, 3.12-newest, 3.13-newest

Each interpreter that is found gets the newest versions of what the simulator needs, the oldest interpreter also the
lowest ones, in a virtual environment of its own under build/compat; there a selection of tests runs, and the network
that ships is compared with onnxruntime. What is not installed (no such interpreter, no wheel) is said and no failure.
"""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
TESTS = (
    "tests/test_fixed.py", "tests/test_idx.py", "tests/test_files.py", "tests/test_annotations.py", "tests/ops",
    "tests/cost/test_energy.py", "tests/report/test_document.py", "tests/export/test_writer.py",
    "tests/export/test_schema.py",
)  # fmt: skip
SIMULATE = ("-m", "adderhw.simulate", "--limit", "32", "--check", "ort")


def requirements(lowest):
    """What the simulator and the selected tests need; lowest: each in the least version that setup.cfg admits."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = [config["options"]["install_requires"], config["options.extras_require"]["dev"]]
    lines = [line.strip() for text in listed for line in text.splitlines() if ">=" in line]
    wanted = [line for line in lines if not line.startswith(("atheris", "ruff", "scikit-learn", "pytest-xdist"))]
    return [line.replace(">=", "==") if lowest else line for line in wanted]


def interpreter(version):
    """The path of python3.N, from PATH or pyenv; None where there is none."""
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = sorted(pyenv.glob(f"{version}.*/bin/python"))
    return str(candidates[-1]) if candidates else None


def attempt(version, lowest):
    """(whether it is well, words): one environment made and its tests run."""
    python = interpreter(version)
    if python is None:
        return True, "not tried: no such interpreter"
    folder = ROOT / "build" / "compat" / f"{version}-{'lowest' if lowest else 'newest'}"
    inside = folder / "bin" / "python"
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    for step, command in (
        ("install", [*install, *requirements(lowest)]),
        ("tests", ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]),
        ("simulate", SIMULATE),
    ):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [inside, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            missing = step == "install" and "No matching distribution" in done.stderr
            return (
                missing,
                f"{'not tried: no wheel' if missing else step + ' failed'}\n{(done.stdout + done.stderr)[-3000:]}",
            )
    checked = [line for line in done.stdout.splitlines() if "onnxruntime" in line]
    return True, f"well; {checked[0] if checked else done.stdout.splitlines()[0]}"


def main():
    """Tries all of them, or those named on the command line."""
    names = [f"{PYTHONS[0]}-lowest", *(f"{version}-newest" for version in PYTHONS)]
    unknown = [name for name in sys.argv[1:] if name not in names]
    if unknown:
        print(f"error: compat: found {unknown[0]!r}, expected one or more of {', '.join(names)}", file=sys.stderr)
        sys.exit(2)
    failed = False
    for name in sys.argv[1:] or names:
        version, _, which = name.partition("-")
        well, words = attempt(version, which == "lowest")
        print(f"Python {version}, {which} versions: {words}", flush=True)
        failed = failed or not well
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
