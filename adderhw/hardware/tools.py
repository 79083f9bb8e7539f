"""Runs the hardware tools (Icarus Verilog, Verilator, Yosys); a missing one is an error that names its package."""

import shutil
import subprocess

from adderhw.errors import AdderHwError

PACKAGES = {"iverilog": "iverilog", "vvp": "iverilog", "verilator": "verilator", "yosys": "yosys"}


class ToolError(AdderHwError):
    """A tool that is missing, or that failed on what it was given."""


def require(tool):
    """Raises ToolError unless `tool` is on the path."""
    if shutil.which(tool) is None:
        raise ToolError(f"{tool}: found no such program, expected it on the path (apt-get install {PACKAGES[tool]})")


def run(command, folder=None):
    """The standard output of a command (a list) run in `folder`; raises ToolError with the tool's last line."""
    if command[0] in PACKAGES:
        require(command[0])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        error = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "nothing")
        raise ToolError(f"{command[0]}: found exit code {done.returncode} ({error[:300]}), expected 0")
    return done.stdout
