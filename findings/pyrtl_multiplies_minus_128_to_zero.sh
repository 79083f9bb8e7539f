#!/usr/bin/env bash
# PyRTL's signed tree multiplier gives 0 whenever an operand is the most negative value.
#
# Expected: signed_tree_multiplier gives the product of any two values of its formats, as the operator signed_mult does.
# Happens: an operand of -128 in eight bits makes the result 0, whatever the other is: -128 * 5 is 0. The other 65,025 pairs are right.
#   signed_mult is right for all, and with four bits the same holds for -8.
# Why it matters: -128 is a common code, the lowest of int8, where a quantiser's clip leaves the values (weights, in turn, often end at -127). A test on
#   random operands meets it once in 128 pairs, and a designer tests the corners 0 and 127 as well.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyrtl==1.0.3

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import itertools
import sys

import pyrtl
from pyrtl.rtllib import multipliers


def wrong(multiply, bits):
    """The pairs of signed numbers whose product is wrong, and the product that is found."""
    pyrtl.reset_working_block()
    x, w = pyrtl.Input(bits, "x"), pyrtl.Input(bits, "w")
    y = pyrtl.Output(2 * bits, "y")
    y <<= multiply(x, w)
    simulation = pyrtl.FastSimulation(tracer=None)
    found = {}
    for left, right in itertools.product(range(-(2 ** (bits - 1)), 2 ** (bits - 1)), repeat=2):
        simulation.step({"x": left % 2**bits, "w": right % 2**bits})
        product = pyrtl.val_to_signed_integer(simulation.inspect("y"), 2 * bits)
        if product != left * right:
            found[left, right] = product
    return found


print("pyrtl", importlib.metadata.version("pyrtl"))
as_found = True
for bits in (4, 8):
    lowest = -(2 ** (bits - 1))
    tree = wrong(multipliers.signed_tree_multiplier, bits)
    operator = wrong(pyrtl.signed_mult, bits)
    print(
        f"{bits} bits: signed_mult is wrong for {len(operator)} of {4**bits} pairs, signed_tree_multiplier for {len(tree)}: "
        f"{lowest} * 5 = {tree.get((lowest, 5))}, 3 * {lowest} = {tree.get((3, lowest))}"
    )
    # With 0 as the other operand the product is 0 anyway.
    as_found &= not operator and set(tree.values()) == {0} and all(lowest in pair for pair in tree)
    as_found &= len(tree) == 2 * (2**bits - 1) - 1
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
