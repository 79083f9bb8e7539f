#!/usr/bin/env bash
# MyHDL simulates a floor division and writes Verilog that truncates.
#
# Expected: a hardware language in Python whose converter accepts an expression writes Verilog with the simulated values, or refuses it,
#   as it does for much else.
# Happens: // and % of signed values convert to / and % without a word. Simulated, -7 // 3 is -3 and -7 % 3 is 2, as in Python; the
#   written Verilog gives -2 and -1. A right shift converts well (-4 for -7 >> 1 in both), and so does a division of positive values.
# Why it matters: average pooling and requantisation divide signed accumulators. The simulation agrees with the model on every vector,
#   and the chip is one too high on most negative ones.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check myhdl==0.11.52 pyslang==12.1.0

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import sys

folder = sys.argv[1]
# MyHDL reads the source of a block, so it has to lie in a file.
with open(f"{folder}/divider.py", "w") as file:
    file.write(
        "from myhdl import always_comb, block\n\n\n"
        "@block\n"
        "def divider(value, quotient, remainder, half):\n"
        "    @always_comb\n"
        "    def divide():\n"
        "        quotient.next = value // 3\n"
        "        remainder.next = value % 3\n"
        "        half.next = value >> 1\n"
        "    return divide\n"
    )
with open(f"{folder}/bench.py", "w") as file:
    file.write(
        "from myhdl import block, delay, instance\n\nfrom divider import divider\n\n\n"
        "@block\n"
        "def bench(value, outputs, values, seen):\n"
        "    unit = divider(value, *outputs)\n\n"
        "    @instance\n"
        "    def drive():\n"
        "        for number in values:\n"
        "            value.next = number\n"
        "            yield delay(1)\n"
        "            seen[number] = [int(output) for output in outputs]\n"
        "    return unit, drive\n"
    )
sys.path.insert(0, folder)
from bench import bench  # noqa: E402
from divider import divider  # noqa: E402
from myhdl import Signal, intbv  # noqa: E402
from pyslang import ast  # noqa: E402


def signal():
    return Signal(intbv(0, min=-128, max=128))


values = (-8, -7, -6, -1, 7)
simulated = {}
bench(signal(), [signal() for _ in range(3)], values, simulated).run_sim(quiet=1)

ports = [signal() for _ in range(4)]
divider(*ports).convert(hdl="Verilog", path=folder, name="divider", no_testbench=True)
with open(f"{folder}/divider.v") as file:
    text = file.read()
right_sides = {line.split()[1]: line.split("=", 1)[1].strip().rstrip(";") for line in text.splitlines() if line.startswith("assign")}

verilog = {}
for number in values:
    session = ast.ScriptSession()
    session.eval("logic signed [7:0] value;")
    session.eval(f"value = {number};")
    verilog[number] = []
    for name in ("quotient", "remainder", "half"):
        verilog[number].append(int(str(session.eval(f"int'({right_sides[name]})"))))

print("myhdl", importlib.metadata.version("myhdl"), "pyslang", importlib.metadata.version("pyslang"))
print("Verilog:", right_sides)
for number in values:
    print(f"{number} // 3, % 3, >> 1: simulated {simulated[number]}, Verilog {verilog[number]}")
truncated = {number: [-(-number // 3) if number < 0 else number // 3] for number in values}
as_found = all(simulated[number] == [number // 3, number % 3, number >> 1] for number in values)
as_found &= all(verilog[number] == [*truncated[number], number - 3 * truncated[number][0], number >> 1] for number in values)
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
