"""Writes a report document as JSON, or its layers as CSV."""

import csv
import io
import json

from adderhw.files import write_atomic


def write_json(document, path):
    """The whole document as indented UTF-8 JSON; raises AdderHwError when `path` cannot be written."""
    write_atomic(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(document, path):
    """A header and a row a layer, RFC 4180, energies in pJ per image; raises AdderHwError when not writable.

    An event or table column exists when any layer has it; accumulator columns are empty for other layers.
    """
    rows = [_row(layer) for layer in document["layers"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(document), restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def _columns(document):
    fixed = ["name", "op", "kind", "cause", "output_shape", "input_bits", "weight_bits", "accumulator_bits", "taps"]
    tables = [f"{source['table']} pJ" for source in document["sources"]]
    seen = ["bound_bits", "observed_bits", "observed_max", "overflows"]
    return [*fixed, "mul", "add", "xnor", *document["totals"]["events"], *tables, *seen]


def _row(layer):
    return {
        **{key: layer[key] for key in ("name", "op", "kind", "cause", "taps")},
        "output_shape": "x".join(map(str, layer["output_shape"])),
        **{f"{operand}_bits": bits for operand, bits in layer["bits"].items()},
        **layer["paper"],
        **layer["events"],
        **{f"{table} pJ": picojoule for table, picojoule in layer["energy_pj"].items()},
        **(layer["accumulator"] or {}),
    }
