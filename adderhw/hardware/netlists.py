"""Synthesises one module with Yosys for a library of standard cells: its area, cells and logic depth."""

import json
import re
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from adderhw import rtl
from adderhw.errors import AdderHwError
from adderhw.hardware.tools import run

SCRIPT = """read_liberty -lib {liberty}
read_verilog -sv {sources}
chparam {parameters} {module}
synth -flatten -top {module}
dfflibmap -liberty {liberty}
abc -liberty {liberty}
opt_clean -purge
write_json {netlist}
stat -liberty {liberty}
"""
REGISTER = re.compile(r"\$?_?(DFF|SDFF|LATCH)", re.IGNORECASE)


class Mapped(NamedTuple):
    """A mapped module: area in the library's unit (µm² in the OSU libraries), cells, and gates in a row."""

    area: float
    cells: int
    depth: int


def synthesise(module, parameters, liberty):
    """The Mapped module that ships under that name, with `parameters` {name: value}.

    liberty: path of the library. Raises ToolError where Yosys is missing or fails.
    """
    with tempfile.TemporaryDirectory(prefix="adderhw-") as folder:
        script, netlist = Path(folder) / "synthesis.ys", Path(folder) / "netlist.json"
        text = SCRIPT.format(
            sources=" ".join(str(path) for path in rtl.sources()),
            parameters=" ".join(f"-set {name} {value}" for name, value in parameters.items()),
            module=module,
            liberty=liberty,
            netlist=netlist,
        )
        script.write_text(text)
        text = run(["yosys", "-s", str(script)])
        cells = json.loads(netlist.read_text())["modules"][module]["cells"]
    area = float(last(r"Chip area for (?:top )?module '[^']*': ([0-9.]+)", text))
    return Mapped(area, len(cells), logic_depth(cells.values()))


def logic_depth(cells):
    """Cells in a row on the longest path of a mapped netlist (cells of Yosys's JSON) between registers and ports."""
    gates = [cell for cell in cells if not REGISTER.match(cell["type"])]
    driver = {}
    for number, gate in enumerate(gates):
        for port, direction in gate["port_directions"].items():
            if direction == "output":
                driver |= dict.fromkeys(gate["connections"][port], number)
    before = {
        number: {driver[bit] for port, bits in gate["connections"].items() for bit in bits if bit in driver} - {number}
        for number, gate in enumerate(gates)
    }
    depths = {}
    for number in TopologicalSorter(before).static_order():
        depths[number] = 1 + max((depths[earlier] for earlier in before[number]), default=0)
    return max(depths.values(), default=0)


def last(pattern, text):
    """The group of a pattern's last match in what Yosys printed; raises AdderHwError where it printed none."""
    found = re.findall(pattern, text)
    if not found:
        raise AdderHwError(f"yosys: found no {pattern!r} in what it printed, expected an area, cells and a path")
    return found[-1]
