"""Writes a report document as JSON, or its layers as CSV."""

import csv
import io
import json

from adderhw.files import write_atomic
from adderhw.report.csv_cells import cells

MEMORY = ("cycles", "utilisation", "dram_bits", "registers pJ", "buffer pJ", "dram_low pJ", "dram_high pJ")


def write_json(document, path):
    """The whole document as indented UTF-8 JSON; raises AdderHwError when `path` cannot be written."""
    write_atomic(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(document, path):
    """A header and a row a layer, RFC 4180, energies in pJ per image; raises AdderHwError when not writable.

    An event or table column exists when any layer has it; accumulator, area and memory columns are empty for layers
    without, and those of memory and noise exist only where the run has such figures.
    """
    noise = document["sqnr"] is not None
    rows = [_row(layer, noise) for layer in document["layers"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(document), restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(map(cells, rows))
    write_atomic(path, text.getvalue())


def _columns(document):
    fixed = ["name", "op", "kind", "cause", "output_shape", "input_bits", "weight_bits", "accumulator_bits", "taps"]
    tables = [f"{source['table']} pJ" for source in document["sources"]]
    areas = [f"{source['table']} um2" for source in document["sources"]]
    seen = ["bound_bits", "observed_bits", "observed_max", "overflows"]
    found = [*fixed, "mul", "add", "xnor", *document["totals"]["events"], *tables, *areas, *seen]
    return found + list(MEMORY) * bool(document["memory"]) + ["sqnr_db"] * bool(document["sqnr"])


def _row(layer, noise):
    return {
        **{key: layer[key] for key in ("name", "op", "kind", "cause", "taps")},
        "output_shape": "x".join(map(str, layer["output_shape"])),
        **{f"{operand}_bits": bits for operand, bits in layer["bits"].items()},
        **layer["paper"],
        **layer["events"],
        **{f"{table} pJ": picojoule for table, picojoule in layer["energy_pj"].items()},
        **{f"{table} um2": area for table, area in layer["pe_area_um2"].items()},
        **(layer["accumulator"] or {}),
        **(_memory(layer["memory"]) if layer["memory"] else {}),
        **({"sqnr_db": layer["sqnr_db"]} if noise else {}),
    }


def _memory(moved):
    """The columns MEMORY of a layer that moves something."""
    energies = {f"{level} pJ": picojoule for level, picojoule in moved["energy_pj"].items()}
    return {"dram_bits": moved["bits"]["dram"], **{name: moved[name] for name in MEMORY[:2]}, **energies}
