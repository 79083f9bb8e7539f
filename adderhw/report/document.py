"""The result of a run as one JSON document (schema 3, field by field in docs/energy.md)."""

import contextlib
import json
import math
from dataclasses import dataclass

from adderhw.cost.bands import all_tables, energies, pe_area
from adderhw.cost.baselines import (
    ANN,
    BASELINES,
    CNN,
    CNN_WIRED,
    FLOAT_BASELINES,
    REQUANTISING,
    Baseline,
    assumptions_over,
)
from adderhw.cost.energy import energy
from adderhw.cost.events import Event, LayerWork, PaperCount, Tally, tally_by_name
from adderhw.cost.memory_table import load_memory_table
from adderhw.cost.operands import Operands
from adderhw.errors import AdderHwError, CostError
from adderhw.ops.realisation import signed_digit_counts
from adderhw.report.area_section import area_section
from adderhw.report.comparison import compare
from adderhw.report.memory_section import memory_section

SCHEMA = 3
OWN_WEIGHTS = "this network's own integer weights, zero point subtracted"
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
    """A layer's work, and for a layer with taps what its accumulators showed and what it works on.

    cnn_operands: those of the CNN whose weights the hard-wired CNN takes; None for this network's own.
    integer: the layer that integer rivals are rewritten from, where that is not `work`.
    """

    work: LayerWork
    accumulator: AccumulatorStats | None = None
    operands: Operands | None = None
    cnn_operands: Operands | None = None
    integer: LayerWork | None = None


@dataclass(frozen=True)
class Network:
    """What arithmetic the network itself has, and which others stand beside it.

    name, title: as of a Baseline. assumptions: in words, None where the layers say it all. rivals: Baselines.
    tally_only: why nothing was simulated, None where it was.
    """

    name: str = ANN.name
    title: str = ANN.title
    assumptions: str | None = None
    rivals: tuple[Baseline, ...] = BASELINES
    tally_only: str | None = None


def build_document(
    *, model, data, accuracy, layers, tables, timing, check, command=None, cnn_source=OWN_WEIGHTS, accelerator=None,
    areas=None, saturate=False, sqnr=(None, {}), earlier=(), network=Network(),
):  # fmt: skip
    """The schema 3 document of a run: a dict of plain JSON values.

    model, data, timing: dicts with at least the fields of docs/energy.md; accuracy, check: the same or
    None. layers: LayerResult of every node in the order they run. tables: EnergyTable, one or more, each
    name once. command: the command line that reproduces the run. cnn_source: in words, where the hard-wired CNN's
    weights come from. accelerator: the Accelerator whose memories are counted and priced, or None.
    areas: the table of synthesised areas, or None; saturate: whether narrow accumulators saturate. sqnr: the section
    of that name, or None, and {layer: dB}; earlier: its entries (adderhw.report.reader reads both). network: what
    arithmetic the layers have; areas are for adder layers.
    Energies are picojoules per image. A rival that a table does not price has null for it.
    Raises AdderHwError for a missing field or a number that is not finite, CostError for an unpriced event of this
    network.
    """
    sections = {"model": model, "data": data, "accuracy": accuracy, "timing": timing, "check": check}
    for name, section in sections.items():
        _check_section(name, section)
    _check_tables(tables)
    works = [result.work for result in layers]
    rivals = {baseline: _rival(baseline, layers) for baseline in network.rivals}
    memory, memory_by_layer = _memory(layers, rivals, tables, accelerator, network)
    area, area_by_layer = _area(layers, rivals, areas, accelerator, saturate)
    networks = {network.name: works} | {baseline.name: rival for baseline, rival in rivals.items()}
    document = {
        "schema": SCHEMA,
        "model": model,
        "network": {"name": network.name, "title": network.title, "assumptions": network.assumptions},
        "tally_only": network.tally_only,
        "data": data,
        "accuracy": accuracy,
        "layers": [
            {**_layer(result, tables), "memory": moved, "area": elements, "sqnr_db": sqnr[1].get(result.work.name)}
            for result, moved, elements in zip(layers, memory_by_layer, area_by_layer, strict=True)
        ],
        "totals": _totals(works, works, tables),
        "baselines": {
            baseline.name: {
                "title": baseline.title,
                "weights": baseline.weights,
                **_totals(rival, works, tables),
                "bits": _operand_bits(rival, works),
                "assumptions": assumptions_over(baseline, network.name == ANN.name).replace(
                    "{weights}", f"{cnn_source}, {_digits_text(layers)}"
                ),
            }
            for baseline, rival in rivals.items()
        },
        "comparison": compare(works, rivals, tables, network),
        "memory": memory,
        "area": area,
        "sqnr": sqnr[0],
        "earlier": list(earlier),
        "ratios": {table.name: _ratio(networks[ANN.name], networks[CNN.name], works, table) for table in tables},
        "sources": [_source(table) for table in tables],
        "price_basis": {table.name: _prices(works, rivals.values(), table) for table in tables},
        "timing": timing,
        "check": check,
        "command": command,
    }
    return _plain(document)


def _rival(baseline, results):
    own = baseline in FLOAT_BASELINES
    works = [result.work if own or result.integer is None else result.integer for result in results]
    if baseline is CNN_WIRED:
        return baseline.layers(works, [result.cnn_operands or result.operands for result in results])
    return baseline.layers(works, [result.operands for result in results])


def _memory(results, rivals, tables, accelerator, network):
    """(the document's `memory`, that of each layer); None throughout without an accelerator."""
    if accelerator is None:
        return None, [None] * len(results)
    table = load_memory_table(accelerator.memory)
    return memory_section(results, rivals, all_tables(tables), accelerator, table, network)


def _area(results, rivals, areas, accelerator, saturate):
    """(the document's `area`, that of each layer); None throughout without a table."""
    if areas is None:
        return None, [None] * len(results)
    return area_section(results, rivals[CNN], areas, accelerator, saturate)


def _digits_text(results):
    """How many signed digits the constants of the hard-wired CNN's former adder layers have, and how many are 0."""
    count = zeros = digits = 0
    for result in results:
        if result.work.kind == "adder":
            weight = (result.cnn_operands or result.operands).weight
            for value, (each, times) in signed_digit_counts(weight).items():
                count, zeros, digits = count + times, zeros + (not value) * times, digits + each * times
    if not count:
        return "no adder layer"
    return f"{100 * zeros / count:.1f} % of them 0, {digits / count:.2f} signed digits each"


def cause_of(work):
    """Which of CAUSES a layer's energy is booked under; a CNN's where the adder network of its topology has it."""
    if work.rewritten:
        return "adder layers"
    if work.kind == "mac":
        return "first and last layers"
    return "requantise" if work.op in REQUANTISING else "other"


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
        "energy_pj": {table.name: energy(work.events, table) for table in tables},
        "pe_area_um2": {table.name: pe_area(work, table) for table in tables},
        "accumulator": vars(seen) if seen else None,
    }


def _totals(works, originals, tables):
    events = sum((work.events for work in works), Tally())
    paper = sum((work.paper for work in works), PaperCount())
    priced, unpriced = energies(events, tables)
    if unpriced and works is originals:
        raise CostError(next(iter(unpriced.values())))
    return {
        "paper": vars(paper),
        "events": tally_by_name(events),
        "energy_pj": {table.name: priced.get(table.name) for table in tables},
        "energy_by_cause": _by_cause(works, originals, tables, priced),
        "accumulator_bits": _accumulator_range(works, originals),
    }


def _by_cause(works, originals, tables, priced):
    """Energies by cause, per table; a rival's layer is booked where the adder network's own layer is."""
    events = {cause: Tally() for cause in CAUSES}
    for work, original in zip(works, originals, strict=True):
        events[cause_of(original)] += work.events
    return {
        table.name: {cause: energy(events[cause], table) for cause in CAUSES} if table.name in priced else None
        for table in tables
    }


def _operand_bits(works, originals):
    """{input, weight: [least, most]} bits where the original layer is an adder or inner one, or None without one."""
    adders = [work for work, original in zip(works, originals, strict=True) if original.rewritten]
    if not adders:
        return None
    ends = {name: [getattr(work, f"{name}_bits") for work in adders] for name in ("input", "weight")}
    return {name: [min(bits), max(bits)] for name, bits in ends.items()}


def _accumulator_range(works, originals):
    """[least, most] accumulator bits of `works` where the original layer is an adder or inner one, or None."""
    bits = [work.accumulator_bits for work, original in zip(works, originals, strict=True) if original.rewritten]
    return [min(bits), max(bits)] if bits else None


def _ratio(ann, cnn, originals, table):
    """The CNN's energy over the adder network's, whole and in the adder layers alone, and where they come from."""
    adders = [pair for *pair, own in zip(ann, cnn, originals, strict=True) if own.rewritten]
    whole = _quotient(cnn, ann, table)
    alone = _quotient([other for _, other in adders], [own for own, _ in adders], table)
    basis = _ratio_basis(*(_accumulator_range(works, originals) for works in (ann, cnn)), table)
    return {"cnn_over_ann": whole, "adder_layers_cnn_over_ann": alone, "basis": basis}


def _quotient(above, below, table):
    try:
        top, bottom = (math.fsum(energy(work.events, table) for work in works) for works in (above, below))
    except CostError:
        return None
    return top / bottom if bottom else None


def _ratio_basis(ann, cnn, table):
    volts = "supply voltage not stated" if table.voltage == "not stated" else table.voltage
    accumulators = f"accumulators ANN {_bits_text(ann)}, CNN {_bits_text(cnn)}"
    return f"{table.title}; {table.node_nm} nm, {volts}; {accumulators}; arithmetic only, no memory"


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
        "area_source": table.area_source or None,
    }


def _prices(works, rivals, table):
    """{event: {picojoule, basis}} of every event that the table prices; a rival's may have none."""
    names = sum((work.events for layers in (works, *rivals) for work in layers), Tally())
    prices = {}
    for name in tally_by_name(names):
        with contextlib.suppress(CostError):
            prices[name] = table.price(Event.parse(name))._asdict()
    return prices


def _plain(document):
    """The document as JSON holds it: text keys, lists, Python numbers."""
    try:
        return json.loads(json.dumps(document, allow_nan=False, default=_number))
    except ValueError as error:
        raise AdderHwError(f"report: found a number that is not finite ({error})") from error


def _number(value):
    """A numpy scalar as the Python number it holds, a path as its text."""
    return value.item() if hasattr(value, "item") else str(value)
