"""Area, cells and logic depth of the processing elements, synthesised with Yosys for a library of standard cells."""

import json
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from importlib import resources
from pathlib import Path

from adderhw import rtl
from adderhw.errors import AdderHwError
from adderhw.hardware.tools import run

LIBRARIES = {
    "osu018": Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib"),
    "osu035": Path("/usr/share/qflow/tech/osu035/osu035_stdcells.lib"),
}
TABLE = "areas_osu018.json"
SCHEMA = 1
BITS = (2, 4, 6, 8, 12, 16)
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


@dataclass(frozen=True)
class Element:
    """A processing element to synthesise: its module and the parameters beside BITS and ACC_BITS.

    product: whether its terms are products, twice as wide as the operands.
    """

    name: str
    module: str
    product: bool = False
    parameters: tuple[tuple[str, int], ...] = ()


ELEMENTS = (
    Element("adder, subtractor and inversion", "adder_pe", parameters=(("FORM", 1),)),
    Element("adder, two subtractors", "adder_pe", parameters=(("FORM", 0),)),
    Element("adder, saturating", "adder_pe", parameters=(("FORM", 1), ("SATURATE", 1))),
    Element("multiply-accumulate", "mac_pe", product=True),
    Element("XNOR and popcount", "xnor_pe"),
)
REGISTER = re.compile(r"\$?_?(DFF|SDFF|LATCH)", re.IGNORECASE)
HEADROOMS = (8, 12)


@dataclass(frozen=True)
class Area:
    """What one element takes: area in the library's unit (µm² in the OSU libraries), cells, gates in a row."""

    element: str
    module: str
    bits: int
    accumulator_bits: int
    area: float
    cells: int
    depth: int


def accumulator_width(element, bits, headroom):
    """The accumulator of `headroom` bits beyond one term: a difference of `bits` bits or a product of twice as many."""
    return (2 * bits if element.product else bits) + headroom


def find_liberty(path=None):
    """The library file: `path`, or OSU 0.18 µm where its package lies; raises AdderHwError for neither."""
    found = Path(path) if path else LIBRARIES["osu018"]
    if not found.is_file():
        expected = "a Liberty file" if path else "it from: apt-get install qflow-tech-osu018 (or --liberty FILE)"
        raise AdderHwError(f"{found}: found no such file, expected {expected}")
    return found


def synthesise(element, bits, accumulator_bits, liberty):
    """The Area of an Element at those widths; raises ToolError where Yosys is missing or fails."""
    parameters = {"BITS": bits, "ACC_BITS": accumulator_bits, **dict(element.parameters)}
    with tempfile.TemporaryDirectory(prefix="adderhw-") as folder:
        script, netlist = Path(folder) / "synthesis.ys", Path(folder) / "netlist.json"
        text = SCRIPT.format(
            sources=" ".join(str(path) for path in rtl.sources()),
            parameters=" ".join(f"-set {name} {value}" for name, value in parameters.items()),
            module=element.module,
            liberty=liberty,
            netlist=netlist,
        )
        script.write_text(text)
        text = run(["yosys", "-s", str(script)])
        cells = json.loads(netlist.read_text())["modules"][element.module]["cells"]
    return Area(
        element=element.name,
        module=element.module,
        bits=bits,
        accumulator_bits=accumulator_bits,
        area=float(last(r"Chip area for (?:top )?module '[^']*': ([0-9.]+)", text)),
        cells=len(cells),
        depth=logic_depth(cells.values()),
    )


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


def synthesise_all(liberty, bits=BITS, headrooms=HEADROOMS, threads=2, progress=None):
    """The table as a dict (schema 1): tool, library, and every Element at every width."""
    wanted = [(element, b, accumulator_width(element, b, h)) for element in ELEMENTS for b in bits for h in headrooms]
    areas = []
    with ThreadPoolExecutor(threads) as pool:
        for area in pool.map(lambda job: synthesise(*job, liberty), wanted):
            areas.append(asdict(area))
            if progress:
                progress(len(areas), len(wanted))
    return {
        "schema": SCHEMA,
        "tool": run(["yosys", "-V"]).strip(),
        "library": Path(liberty).name,
        "area_unit": "as in the library; µm² in the OSU libraries",
        "depth_unit": "cells in a row on the longest path between registers or ports",
        "areas": areas,
    }


def load_table(path=None):
    """The table in the JSON file `path`, or the one that ships (OSU 0.18 µm); else AdderHwError."""
    file = Path(path) if path else resources.files("adderhw.hardware") / TABLE
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdderHwError(f"{file}: found {error}, expected a table of areas") from None
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        raise AdderHwError(f"{file}: found no schema {SCHEMA}, expected a table of areas")
    return table


def area_of(table, module, bits, accumulator_bits, element=None):
    """The Area of a module at exactly those widths; raises AdderHwError for widths that the table lacks."""
    for row in table["areas"]:
        same = (row["module"], row["bits"], row["accumulator_bits"]) == (module, bits, accumulator_bits)
        if same and element in (None, row["element"]):
            return Area(**row)
    known = sorted({(row["bits"], row["accumulator_bits"]) for row in table["areas"] if row["module"] == module})
    raise AdderHwError(
        f"area of {module}: found no row for {bits} and {accumulator_bits} bits, expected one of {known}"
    )


def multiply_accumulate_beside(table, row):
    """The multiply-accumulate row of the same operands and headroom as `row`, or None."""
    headroom = row["accumulator_bits"] - row["bits"] * (2 if row["module"] == "mac_pe" else 1)
    for other in table["areas"]:
        same = (other["bits"], other["accumulator_bits"]) == (row["bits"], 2 * row["bits"] + headroom)
        if other["module"] == "mac_pe" and same:
            return other
    return None
