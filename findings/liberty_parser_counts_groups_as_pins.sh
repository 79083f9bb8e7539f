#!/usr/bin/env bash
# eda-liberty-parser takes "A, B" for one pin and loses the pins of a bus.
#
# Expected: pin (A, B) { ... } in a Liberty file declares two pins, bus (X) { ... } as many as its type has, and get_pin_list lists them.
# Happens: the list has one pin with the name "A, B", and asking for pin A gives nothing. A bus is not listed at all. liberty-parser, a
#   package with nearly the same name, gives the two names apart and leaves buses to the caller as well, under their own group. A value
#   that a comment follows, before the semicolon, is lost in the first package and kept in the second.
# Why it matters: pins are where the load is: their capacitances are summed for the energy of a net. A full adder of a library that groups its
#   inputs loses two of its three loads without a word.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check eda-liberty-parser==0.1.1 liberty-parser==0.0.29 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import os
import sys

from liberty.parser import parse_liberty
from liberty_parser import LP

LIBRARY = """library (cells) {
  type (two) { base_type : array; data_type : bit; bit_width : 2; bit_from : 1; bit_to : 0; }
  cell (apart) {
    area : 12;
    pin (A) { direction : input; capacitance : 0.1; }
    pin (B) { direction : input; capacitance : 0.1; }
    pin (C) { direction : input; capacitance : 0.2; }
    pin (S) { direction : output; function : "A ^ B ^ C"; }
  }
  cell (grouped) {
    area : 12 /* square micrometres */;
    pin (A, B) { direction : input; capacitance : 0.1; }
    pin (C) { direction : input; capacitance : 0.2; }
    pin (S) { direction : output; function : "A ^ B ^ C"; }
  }
  cell (bus) {
    area : 12;
    bus (X) { bus_type : two; direction : input; capacitance : 0.1; }
    pin (C) { direction : input; capacitance : 0.2; }
    pin (S) { direction : output; function : "X[0] ^ X[1] ^ C"; }
  }
}
"""
path = os.path.join(sys.argv[1], "cells.lib")
with open(path, "w") as file:
    file.write(LIBRARY)
listed = LP(path)
parsed = parse_liberty(LIBRARY)

for package in ("eda-liberty-parser", "liberty-parser"):
    print(package, importlib.metadata.version(package))
found = {}
for cell in parsed.get_groups("cell"):
    name = cell.args[0]
    pins = listed.get_pin_list(cell=name)
    others = [pin for group in cell.get_groups("pin") for pin in group.args]
    area = listed.navigate_single("library", f"cell:{name}", "area")
    found[name] = pins, others, area and area.get_val(), float(cell["area"])
    print(f"{name}: eda-liberty-parser {pins}, area {found[name][2]}; liberty-parser {others}, area {found[name][3]}")
expected = {
    "apart": (["A", "B", "C", "S"], ["A", "B", "C", "S"], "12", 12),
    "grouped": (["A, B", "C", "S"], ["A", "B", "C", "S"], None, 12),
    "bus": (["C", "S"], ["C", "S"], "12", 12),
}
asked = listed.navigate_single("library", "cell:grouped", "pin:A", "capacitance")
print("capacitance of pin A of the second cell by eda-liberty-parser:", asked and asked.get_val())
sys.exit(0 if found == expected and asked is None else "the behaviour changed")
PYTHON
