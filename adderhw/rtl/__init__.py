"""The SystemVerilog that ships: processing elements, requantisation and an array that runs a whole adder layer."""

from pathlib import Path

FOLDER = Path(__file__).parent


def sources():
    """The paths of every module, one file each and named after it, in alphabetical order."""
    return sorted(FOLDER.glob("*.sv"))
