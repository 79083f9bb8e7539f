"""Reads JSON back: documents of earlier runs, checked against the schema that ships, and SQNR of quant compare."""

import json
from importlib.resources import files

from adderhw.errors import AdderHwError
from adderhw.json_files import fits, read_json
from adderhw.report.document import SCHEMA

SCHEMA_FILE = f"document-{SCHEMA}.schema.json"
SQNR_SCHEMA = 1
SQNR_SECTION = {"path": str, "float_model": str, "float_sha256": str, "data": str, "images": int}


def json_schema():
    """The JSON Schema (draft 2020-12) of the document, as a dict."""
    return json.loads((files("adderhw.report") / SCHEMA_FILE).read_text(encoding="utf-8"))


def read_document(path):
    """The report document in the JSON file `path`; AdderHwError, one line, for another file or another schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    document = read_json(path, "a JSON document")
    expected = f"a document of python -m adderhw.simulate --json, schema {SCHEMA}"
    if not isinstance(document, dict) or "schema" not in document or "totals" not in document:
        raise AdderHwError(f"{path}: found {_kind(document)}, expected {expected}")
    if document["schema"] != SCHEMA:
        older = type(document["schema"]) is int and document["schema"] < SCHEMA
        advice = "; run its command again" if older else ""
        raise AdderHwError(f"{path}: found schema {document['schema']!r}, expected {SCHEMA}{advice}")
    error = best_match(Draft202012Validator(json_schema()).iter_errors(document))
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the document"
        raise AdderHwError(f"{path}: {where}: found {error.message[:200]}, expected {expected}")
    _check_names(document, path)
    return document


def _check_names(document, path):
    """Raises AdderHwError where a section lacks what another one names, which no schema can say."""
    tables, memory, accuracy = document["totals"]["energy_pj"], document["memory"], document["accuracy"]
    for table, energy in tables.items():
        if not energy > 0:
            raise AdderHwError(f"{path}: totals.energy_pj.{table}: found {energy}, expected picojoules above 0")
    sections = {"ratios": document["ratios"]}
    sections |= {f"layers.{number}.energy_pj": each["energy_pj"] for number, each in enumerate(document["layers"])}
    for where, section in sections.items():
        missing = [table for table in tables if table not in section]
        if missing:
            raise AdderHwError(f"{path}: {where}: found no {missing[0]!r}, expected every table of totals.energy_pj")
    own = document["network"]["name"]
    if memory is not None and own not in memory["networks"]:
        raise AdderHwError(f"{path}: memory.networks: found no {own!r}, expected the network of this run")
    if accuracy is not None and not 0 < accuracy["count"] >= accuracy["correct"]:
        found = f"{accuracy['correct']} of {accuracy['count']}"
        raise AdderHwError(f"{path}: accuracy: found {found} images right, expected some of 1 at least")


def read_earlier(path, *, data, tables):
    """An entry of the document's `earlier` from the document at `path`.

    data: this run's `data` section; the earlier run has the same data set and split. tables: names it must price.
    Raises AdderHwError for a run that cannot stand beside this one.
    """
    earlier = read_document(path)
    there, here = ({key: each[key] for key in ("name", "split")} for each in (earlier["data"], data))
    if there != here:
        raise AdderHwError(f"{path}: found a run on {_data(there)}, expected {_data(here)} as in this run")
    if earlier["accuracy"] is None:
        raise AdderHwError(f"{path}: found a run without labels, expected one with an accuracy")
    energies = earlier["totals"]["energy_pj"]
    missing = [table for table in tables if table not in energies]
    if missing:
        raise AdderHwError(f"{path}: found energies by {', '.join(energies)}, expected {missing[0]} too")
    return {
        "path": earlier["model"]["path"],
        "sha256": earlier["model"]["sha256"],
        **earlier["accuracy"],
        "energy_pj": {table: energies[table] for table in tables},
    }


def read_sqnr(path, model):
    """(the document's `sqnr`, {node name: dB or None}) from the JSON of python -m quant compare.

    model: this run's `model` section; the file must compare that very integer model. None: no noise, or no signal.
    """
    found, expected = read_json(path, "a JSON document"), "the JSON of python -m quant compare"
    try:
        stated, integer, reference = found["schema"], found["integer_model"], found["float_model"]
        ratios = {tensor["node"]: tensor["sqnr_db"] for tensor in found["tensors"]}
        section = {
            "path": str(path),
            "float_model": reference["path"],
            "float_sha256": reference["sha256"],
            "data": found["data"]["name"],
            "images": found["data"]["count"],
        }
        digest = integer["sha256"]
        whole = fits(section, SQNR_SECTION) and fits(digest, str) and fits(list(ratios.values()), [(float, None)])
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise AdderHwError(f"{path}: found {_kind(found)}, expected {expected}")
    if stated != SQNR_SCHEMA:
        raise AdderHwError(f"{path}: found schema {stated!r}, expected {SQNR_SCHEMA} of {expected}")
    if digest != model["sha256"]:
        raise AdderHwError(
            f"{path}: found a comparison of {integer['path']} (sha256 {digest[:12]}…), "
            f"expected one of {model['path']} (sha256 {model['sha256'][:12]}…)"
        )
    return section, ratios


def _kind(found):
    """What a JSON value is, for a message."""
    if not isinstance(found, dict):
        return f"a JSON {type(found).__name__}"
    return f"a JSON object of {', '.join(list(found)[:4]) or 'nothing'}"


def _data(section):
    return " ".join(str(value) for value in section.values() if value is not None)
