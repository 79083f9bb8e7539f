"""Tables of area, cells and logic depth from synthesis: made, read, and looked up at the widths of a layer."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from adderhw.errors import AdderHwError
from adderhw.hardware.elements import ADDER, ELEMENTS, MULTIPLY_ACCUMULATE, XNOR
from adderhw.hardware.netlists import synthesise
from adderhw.hardware.tools import run
from adderhw.json_files import fits, read_json

LIBRARIES = {
    "osu018": Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib"),
    "osu035": Path("/usr/share/qflow/tech/osu035/osu035_stdcells.lib"),
}
DEFAULT_LIBRARY = "osu018"
SCHEMA = 2
BITS = (2, 4, 6, 8, 12, 16)
HEADROOMS = (4, 8, 12)


@dataclass(frozen=True)
class Area:
    """A row: what one element takes at its stated `parameters` {name: value}.

    bits: of the operands, or of a requantisation's outputs. accumulator_bits: of the sums that it holds or reads.
    taps: a clock. area: in the library's unit (µm² in the OSU libraries). depth: gates in a row.
    """

    element: str
    module: str
    parameters: dict
    bits: int
    accumulator_bits: int
    taps: int
    area: float
    cells: int
    depth: int


class Lookup(NamedTuple):
    """An area, and whether it was 'synthesised' at these widths or 'interpolated' between two accumulators."""

    area: float
    basis: str


def find_liberty(path=None, library=DEFAULT_LIBRARY):
    """The Liberty file `path`, or that of an installed library; raises AdderHwError where there is none."""
    if path is None and library not in LIBRARIES:
        raise AdderHwError(f"library: found {library!r}, expected one of {', '.join(LIBRARIES)} (or --liberty FILE)")
    found = Path(path) if path else LIBRARIES[library]
    if not found.is_file():
        expected = "a Liberty file" if path else f"it from: apt-get install qflow-tech-{library} (or --liberty FILE)"
        raise AdderHwError(f"{found}: found no such file, expected {expected}")
    return found


def measure(element, bits, headroom, liberty):
    """The Area of an Element for operands of `bits` bits and accumulators of 2^headroom taps."""
    parameters = dict(element.parameters(bits, headroom))
    mapped = synthesise(element.module, parameters, liberty)
    accumulator = parameters.get("ACC_BITS") or parameters["SUM_BITS"] - (element.module == "requantise")
    return Area(
        element.name, element.module, parameters, bits, accumulator, element.taps(bits), **mapped._asdict()
    )  # fmt: skip


def wanted_rows(bits, headrooms):
    """(Element, bits, headroom) of every row; an element without an accumulator has one for all headrooms."""
    seen, rows = set(), []
    for element in ELEMENTS:
        for width in bits:
            for headroom in headrooms:
                key = (element.name, *sorted(element.parameters(width, headroom).items()))
                if key not in seen:
                    seen.add(key)
                    rows.append((element, width, headroom))
    return rows


def synthesise_all(liberty, bits=BITS, headrooms=HEADROOMS, threads=1, progress=None):
    """The table as a dict (schema 2): tool, library, and every Element at every width."""
    wanted, areas = wanted_rows(bits, headrooms), []
    with ThreadPoolExecutor(threads) as pool:
        for area in pool.map(lambda job: measure(*job, liberty), wanted):
            areas.append(asdict(area))
            if progress:
                progress(len(areas), len(wanted))
    known = {path.name for path in LIBRARIES.values()}
    return {
        "schema": SCHEMA,
        "tool": run(["yosys", "-V"]).strip(),
        "library": Path(liberty).name,
        "area_unit": "µm²" if Path(liberty).name in known else "the library's unit",
        "depth_unit": "cells in a row on the longest path between registers or ports",
        "areas": areas,
    }


def load_table(name_or_path=DEFAULT_LIBRARY):
    """The table called `name_or_path` that ships, or that of a .json file; raises AdderHwError for anything else."""
    text = str(name_or_path)
    if text not in LIBRARIES and not text.endswith(".json"):
        raise AdderHwError(f"area table: found {text!r}, expected one of {', '.join(LIBRARIES)} or a .json file")
    if text in LIBRARIES:
        return {**shipped_table(text), "name": text}
    table = read_json(text, "a table of areas")
    check_table(table, text)
    return {**table, "name": text}


@cache
def shipped_table(library):
    """The table of a library that ships, read once; tests check it."""
    return read_json(resources.files("adderhw.hardware") / f"areas_{library}.json", "a table of areas")


def check_table(table, file):
    """Raises AdderHwError unless `table` is one of schema 2 with whole rows."""
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        raise AdderHwError(f"{file}: found no schema {SCHEMA}, expected a table of areas")
    for field in ("tool", "library", "area_unit", "depth_unit"):
        if not isinstance(table.get(field), str):
            raise AdderHwError(f"{file}: {field}: found {table.get(field)!r}, expected a text")
    names = [field.name for field in fields(Area)]
    rows = table.get("areas")
    for number, row in enumerate(rows if isinstance(rows, list) and rows else [None]):
        if not isinstance(row, dict) or list(row) != names:
            raise AdderHwError(f"{file}: areas[{number}]: found {row!r}, expected the fields {', '.join(names)}")
        for field in fields(Area):
            if not fits(row[field.name], field.type):
                found, kind = row[field.name], field.type.__name__
                raise AdderHwError(f"{file}: areas[{number}].{field.name}: found {found!r}, expected a value of {kind}")
        if not 0 < row["area"] < math.inf:
            raise AdderHwError(f"{file}: areas[{number}].area: found {row['area']!r}, expected a number above 0")


def table_text(table):
    """The table as JSON, a row a line."""
    head = {key: value for key, value in table.items() if key not in ("areas", "name")}
    rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in table["areas"])
    return f'{json.dumps(head, indent=1, ensure_ascii=False)[:-2]},\n "areas": [\n{rows}\n ]\n}}\n'


def area_of(table, element, bits, accumulator_bits):
    """The Lookup of an Element at those widths, linear in the accumulator's between two that were synthesised.

    Raises AdderHwError for widths that the table does not span.
    """
    rows = [row for row in table["areas"] if (row["element"], row["bits"]) == (element.name, bits)]
    known = sorted((row["accumulator_bits"], row["area"]) for row in rows)
    for width, area in known:
        if width == accumulator_bits:
            return Lookup(area, "synthesised")
    for (low, smaller), (high, larger) in pairwise(known):
        if low < accumulator_bits < high:
            share = (accumulator_bits - low) / (high - low)
            return Lookup(smaller + share * (larger - smaller), "interpolated")
    spans = f"accumulators of {known[0][0]} to {known[-1][0]} bits" if known else "another width"
    raise AdderHwError(
        f"area table {table['name']}: found {element.name} of {bits} bits with an accumulator of {accumulator_bits}, "
        f"expected {spans}"
    )


def side_by_side(table, headroom):
    """(bits, ADDER's row, MULTIPLY_ACCUMULATE's, XNOR's) for each width, accumulators of 2^headroom taps each."""
    by_key = {(row["element"], row["bits"], row["accumulator_bits"]): row for row in table["areas"]}
    for bits in sorted({row["bits"] for row in table["areas"]}):
        keys = [(e.name, bits, e.parameters(bits, headroom)["ACC_BITS"]) for e in (ADDER, MULTIPLY_ACCUMULATE, XNOR)]
        if all(key in by_key for key in keys):
            yield bits, *(by_key[key] for key in keys)
