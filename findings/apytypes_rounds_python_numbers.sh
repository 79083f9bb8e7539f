#!/usr/bin/env bash
# APyTypes rounds a plain Python number to its partner's format before it computes.
#
# Expected: a fixed-point library whose results grow so that they are exact (0.5 x 0.25 of two fixed-point values is 0.125) does not
#   change an operand. A number that the format cannot hold is refused, or the result's format grows.
# Happens: in 0.5 (4 integer bits, 1 fractional) times the Python number 0.25, the number becomes 0.5 first: the product is 0.25. Adding
#   100 adds 4, because 100 wraps to four bits. The rounding is half away from zero, unlike cast, which floors. Comparisons take
#   the number as it is, so a value equal to the wrapped one does not equal the number.
# Why it matters: multipliers and constants of a requantiser are written as Python numbers; the reference model is then wrong where it
#   was to be the judge, by an amount that depends on the other operand.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check apytypes==0.5.1 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import apytypes
from apytypes import APyFixed, APyFixedArray

half = APyFixed.from_float(0.5, int_bits=4, frac_bits=1)
quarter = APyFixed.from_float(0.25, int_bits=4, frac_bits=2)
hundred = APyFixed.from_float(100, int_bits=8, frac_bits=0)
array = APyFixedArray.from_float([0.5], int_bits=4, frac_bits=1)
found = {
    "0.5 * fixed 0.25": float(half * quarter),
    "0.5 * Python 0.25": float(half * 0.25),
    "0.5 + fixed 100": float(half + hundred),
    "0.5 + Python 100": float(half + 100),
    "[0.5] + Python 100": float((array + 100)[0]),
    "from_float(-2.5), no fractional bits": float(APyFixed.from_float(-2.5, int_bits=8, frac_bits=0)),
    "2.5 cast to no fractional bits": float(APyFixed.from_float(2.5, int_bits=8, frac_bits=1).cast(8, 0)),
    "from_float(2.5), no fractional bits": float(APyFixed.from_float(2.5, int_bits=8, frac_bits=0)),
    "from_float(200), eight bits": float(APyFixed.from_float(200, int_bits=8, frac_bits=0)),
    "fixed 4 == Python 100": APyFixed.from_float(4, int_bits=4, frac_bits=1) == 100,
}
print("apytypes", apytypes.__version__)
for name, value in found.items():
    print(f"{name}: {value}")
as_found = list(found.values()) == [0.125, 0.25, 100.5, 4.5, 4.5, -3.0, 2.0, 3.0, -56.0, False]
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
