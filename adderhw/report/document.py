"""The result of a run as one JSON document (schema 1, field by field in docs/energy.md)."""

import json
import math
from dataclasses import dataclass

from adderhw.cost.baselines import BASELINES, CNN
from adderhw.cost.energy import energy
from adderhw.cost.events import Event, LayerWork, PaperCount, Tally, tally_by_name
from adderhw.errors import AdderHwError

SCHEMA = 1
CAUSES = ("adder layers", "first and last layers", "requantise", "other")
_FIELDS = {
    "model": ("path", "sha256", "domain_version", "parameters"),
    "data": ("name", "split", "count"),
    "accuracy": ("top1", "top5", "correct", "count"),
    "timing": ("threads", "images", "seconds", "images_per_second", "compile_seconds"),
    "check": ("backend", "images", "values", "mismatches"),
}


@dataclass(frozen=True)
class AccumulatorStats:
    """What an accumulator could need and did need, in bits.

    bound_bits: exact worst case of the weights. observed_bits, observed_max: over the images that ran.
    overflows: sums that did not fit the width the layer was given.
    """

    bound_bits: int
    observed_bits: int
    observed_max: int
    overflows: int


@dataclass(frozen=True)
class LayerResult:
    """A layer's work and what its accumulators showed (None for a layer that sums nothing)."""

    work: LayerWork
    accumulator: AccumulatorStats | None = None


def build_document(*, model, data, accuracy, layers, tables, timing, check, command=None):
    """The schema 1 document of a run: a dict of plain JSON values.

    model, data, timing: dicts with at least the fields of docs/energy.md; accuracy, check: the same or
    None. layers: LayerResult of every node in the order they run. tables: EnergyTable, one or more, each
    name once. command: the command line that reproduces the run. Energies are picojoules per image.
    Raises AdderHwError for a missing field or a number that is not finite, CostError for an unpriced event.
    """
    sections = {"model": model, "data": data, "accuracy": accuracy, "timing": timing, "check": check}
    for name, section in sections.items():
        _check_section(name, section)
    _check_tables(tables)
    works = [result.work for result in layers]
    rivals = {baseline: baseline.layers(works) for baseline in BASELINES}
    document = {
        "schema": SCHEMA,
        "model": model,
        "data": data,
        "accuracy": accuracy,
        "layers": [_layer(result, tables) for result in layers],
        "totals": _totals(works, works, tables),
        "baselines": {
            baseline.name: {
                "title": baseline.title,
                **_totals(rival, works, tables),
                "assumptions": baseline.assumptions,
            }
            for baseline, rival in rivals.items()
        },
        "ratios": {table.name: _ratio(works, rivals[CNN], table) for table in tables},
        "sources": [_source(table) for table in tables],
        "price_basis": {table.name: _prices(works, rivals.values(), table) for table in tables},
        "timing": timing,
        "check": check,
        "command": command,
    }
    return _plain(document)


def cause_of(work):
    """Which of CAUSES a layer's energy is booked under."""
    if work.kind == "adder":
        return "adder layers"
    if work.kind == "mac":
        return "first and last layers"
    return "requantise" if work.op == "Requantize" else "other"


def _check_section(name, section):
    optional = name in ("accuracy", "check")
    if section is None and optional:
        return
    missing = [field for field in _FIELDS[name] if field not in (section or {})]
    if missing:
        raise AdderHwError(f"report: {name}: missing {', '.join(missing)}")


def _check_tables(tables):
    names = [table.name for table in tables]
    if not names or len(set(names)) < len(names):
        raise AdderHwError(f"report: tables: found {names}, expected one or more, each name once")


def _layer(result, tables):
    work, seen = result.work, result.accumulator
    return {
        "name": work.name,
        "op": work.op,
        "kind": work.kind,
        "cause": cause_of(work),
        "output_shape": list(work.output_shape),
        "bits": {"input": work.input_bits, "weight": work.weight_bits, "accumulator": work.accumulator_bits},
        "taps": work.taps,
        "paper": vars(work.paper),
        "events": tally_by_name(work.events),
        "energy_pj": _energies(work.events, tables),
        "accumulator": vars(seen) if seen else None,
    }


def _totals(works, originals, tables):
    events = sum((work.events for work in works), Tally())
    paper = sum((work.paper for work in works), PaperCount())
    return {
        "paper": vars(paper),
        "events": tally_by_name(events),
        "energy_pj": _energies(events, tables),
        "energy_by_cause": _by_cause(works, originals, tables),
        "accumulator_bits": _accumulator_range(works, originals),
    }


def _energies(events, tables):
    return {table.name: energy(events, table) for table in tables}


def _by_cause(works, originals, tables):
    """Energies by cause, per table; a rival's layer is booked where the adder network's own layer is."""
    events = {cause: Tally() for cause in CAUSES}
    for work, original in zip(works, originals, strict=True):
        events[cause_of(original)] += work.events
    return {table.name: {cause: energy(events[cause], table) for cause in CAUSES} for table in tables}


def _accumulator_range(works, originals):
    """[least, most] accumulator bits of `works` where the original layer is an adder, or None without one."""
    bits = [work.accumulator_bits for work, original in zip(works, originals, strict=True) if original.kind == "adder"]
    return [min(bits), max(bits)] if bits else None


def _ratio(works, rival, table):
    """The CNN's energy over this network's, whole and for the adder layers alone, and where the figures come from."""
    adders = [(own, other) for own, other in zip(works, rival, strict=True) if own.kind == "adder"]
    whole = _quotient(rival, works, table)
    alone = _quotient([other for _, other in adders], [own for own, _ in adders], table)
    return {"cnn_over_ann": whole, "adder_layers_cnn_over_ann": alone, "basis": _ratio_basis(works, rival, table)}


def _quotient(above, below, table):
    top, bottom = (math.fsum(energy(work.events, table) for work in works) for works in (above, below))
    return top / bottom if bottom else None


def _ratio_basis(works, rival, table):
    volts = "supply voltage not stated" if table.voltage == "not stated" else table.voltage
    own, other = _bits_text(_accumulator_range(works, works)), _bits_text(_accumulator_range(rival, works))
    return (
        f"{table.title}; {table.node_nm} nm, {volts}; accumulators ANN {own}, CNN {other}; arithmetic only, no memory"
    )


def _bits_text(bits):
    if bits is None:
        return "none"
    return f"{bits[0]} bit" if bits[0] == bits[1] else f"{bits[0]}–{bits[1]} bit"


def _source(table):
    return {
        "table": table.name,
        "title": table.title,
        "source": table.source,
        "node_nm": table.node_nm,
        "voltage": table.voltage,
        "unit": table.unit,
        "rules": dict(table.reasons),
    }


def _prices(works, rivals, table):
    names = sum((work.events for layers in (works, *rivals) for work in layers), Tally())
    return {name: table.price(Event.parse(name))._asdict() for name in tally_by_name(names)}


def _plain(document):
    """The document as JSON holds it: text keys, lists, Python numbers."""
    try:
        return json.loads(json.dumps(document, allow_nan=False, default=_number))
    except ValueError as error:
        raise AdderHwError(f"report: found a number that is not finite ({error})") from error


def _number(value):
    """A numpy scalar as the Python number it holds, a path as its text."""
    return value.item() if hasattr(value, "item") else str(value)
