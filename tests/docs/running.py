"""Runs a command of the documentation in this process, as it stands but on less."""

import importlib
import shutil
import sys

import pytest

from tests.docs.pages import APPS

LESS = {
    "adderhw.simulate": ("--limit", "8"),
    "adderhw.vectors": ("--limit", "1"),
    "adderhw.cosim": ("--limit", "1", "--layers", "blocks.1.conv1", "--simulator", "iverilog"),
    "adderhw.crosscheck": ("--depth", "2"),
    "adderhw.sweep": ("--workers", "1"),
    "quant": ("--samples", "8"),
    "quant compare": ("--limit", "8"),
    "quant mixed": ("--samples", "8", "--selection", "8", "--fewest-bits", "3", "--most-bits", "4"),
    "quant qat": ("--steps", "1", "--batch-size", "4", "--limit", "200", "--samples", "4", "--threads", "1"),
    "training": ("--epochs", "1", "--limit", "100", "--threads", "1"),
    "training.table": ("--epochs", "1", "--limit", "100", "--threads", "1", "--seeds", "1"),
}
NOT_FOR = {"adderhw.crosscheck": "--zigzag"}  # what of LESS needs an option that the command may not have


def less(command):
    """The arguments of a Command, and those that make it quick; --help alone stays as it is."""
    more = LESS.get(command.program, ())
    if "--help" in command.arguments or NOT_FOR.get(command.program, "") not in " ".join(command.arguments):
        more = ()
    return [*command.arguments, *more]


def run(monkeypatch, command):
    """Runs it; fails unless the exit code is 0."""
    first, *subcommand = command.program.split()
    arguments = less(command)
    if "--out" in arguments:  # a folder that must be new; an example before wrote it too
        shutil.rmtree(arguments[arguments.index("--out") + 1], ignore_errors=True)
    monkeypatch.setattr(sys, "argv", [first, *subcommand, *arguments])
    module = {"adderhw.sweep": "adderhw.sweep"}.get(first, APPS[first])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(module).main()
    assert stop.value.code == 0, f"{command.text} ended with {stop.value.code}"
