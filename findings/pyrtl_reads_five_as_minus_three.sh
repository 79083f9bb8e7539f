#!/usr/bin/env bash
# PyRTL's signed comparisons take a positive constant for a negative one, and its signed sums do so for half of the ways to write it.
#
# Expected: signed_gt(x, 127) asks whether x is above 127, and signed_mult(x, Const(5)) is five times x.
# Happens: a constant gets as few bits as its value needs, without one for the sign, and is then sign-extended: 127 is seven ones, which is
#   -1, and 5 is 101, which is -3. signed_gt(3, 127) is true. signed_add and signed_mult take the Python number 5 as 5, but Const(5)
#   as -3, so 3 * 5 is -9; the comparisons take both as -3. Const(5, signed=True) is right everywhere.
# Why it matters: the clip at the end of a requantiser is such a comparison. Here it clips every code from 0 to 126 to 127. The
#   neighbouring line, which adds the rounding constant as a Python number, is right, so the pattern looks proven.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyrtl==1.0.3

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import pyrtl

OPERATIONS = {"+": pyrtl.signed_add, "*": pyrtl.signed_mult, "<": pyrtl.signed_lt, ">": pyrtl.signed_gt}
CONSTANTS = {
    "Python number": lambda value: value,
    "Const": pyrtl.Const,
    "Const, signed": lambda value: pyrtl.Const(value, signed=True),
}


def simulated(symbol, left, right, make):
    """The signed result of an operation of an 8-bit wire and a constant."""
    pyrtl.reset_working_block()
    x, y = pyrtl.Input(8, "x"), pyrtl.Output(name="y")
    y <<= OPERATIONS[symbol](x, make(right))
    simulation = pyrtl.Simulation()
    simulation.step({"x": left})
    result = simulation.inspect("y")
    return bool(result) if symbol in "<>" else pyrtl.val_to_signed_integer(result, len(y))


print("pyrtl", importlib.metadata.version("pyrtl"))
cases = {("+", 3, 5): 8, ("*", 3, 5): 15, ("<", 3, 5): True, (">", 3, 127): False, (">", 3, 4): False}
found = {}
for (symbol, left, right), exact in cases.items():
    row = {name: simulated(symbol, left, right, make) for name, make in CONSTANTS.items()}
    found[symbol, right] = list(row.values())
    print(f"{left} {symbol} {right}: exact {exact}; " + ", ".join(f"{name} {value}" for name, value in row.items()))
expected = {
    ("+", 5): [8, 0, 8],
    ("*", 5): [15, -9, 15],
    ("<", 5): [False, False, True],
    (">", 127): [True, True, False],
    (">", 4): [True, True, False],
}
sys.exit(0 if found == expected else "the behaviour changed")
PYTHON
