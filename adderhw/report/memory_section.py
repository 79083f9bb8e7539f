"""The document's `memory`: every programmable network on a described accelerator, and the ratios with it."""

from adderhw.cost.bands import energies
from adderhw.cost.baselines import HARD_WIRED, own_pass
from adderhw.cost.events import Tally
from adderhw.cost.memory import fields_of, moved_by, sum_of
from adderhw.errors import CostError
from adderhw.report.comparison import losses, ratio_fields

WIRED_REASON = "hard-wired weights: a circuit for each, which no array that loads weights describes"
ASSUMPTIONS = (
    "Layer by layer: each layer reads its inputs and weights from DRAM and writes its outputs there, at its own input "
    "width, but for a branch that only an addition reads; nothing stays on the chip between layers. A residual "
    "addition reads its second operand from DRAM, as wide as it is stored there; sums that are requantised twice are "
    "written twice; else requantisation and pooling work on the stream. Buffers are double, so DRAM and array overlap. "
    "No control, clock, network on chip or leakage is priced; no zero is skipped, nothing is compressed."
)


def memory_section(results, rivals, tables, accelerator, table, network):
    """(the document's `memory`, [the `memory` of each layer]).

    results: LayerResult records. rivals: {Baseline: its LayerWork records}. tables: every EnergyTable of the bands.
    accelerator, table: the Accelerator and the MemoryTable that prices it. network: the Network of the
    results. Raises CostError where this one does not fit the accelerator; a rival that does not is named in `unfit`.
    """
    operands = [result.operands for result in results]
    works = [result.work for result in results]
    own = [moved_by(work, known, own_pass, accelerator, table) for work, known in zip(works, operands, strict=True)]
    moved, unfit = {network.name: sum_of(own)}, {}
    for baseline, rewritten in rivals.items():
        if baseline.weights == HARD_WIRED:
            unfit[baseline.name] = WIRED_REASON
            continue
        try:
            pairs = zip(rewritten, operands, strict=True)
            parts = [moved_by(work, known, baseline.passes, accelerator, table) for work, known in pairs]
            moved[baseline.name] = sum_of(parts)
        except CostError as error:
            unfit[baseline.name] = str(error)
    ratios = _ratios(works, rivals, moved, tables, network)
    section = {
        "accelerator": _accelerator(accelerator),
        "table": _table(table),
        "assumptions": ASSUMPTIONS,
        "networks": {name: fields_of(total, accelerator) for name, total in moved.items()},
        "unfit": unfit,
        "energy_pj": {
            name: _with_arithmetic(moved[name], _tally(_works(name, works, rivals)), tables) for name in moved
        },
        "ratios": ratios,
        "losses": losses(ratios, network),
    }
    return section, [fields_of(part, accelerator) if part.bits else None for part in own]


def _ratios(works, rivals, moved, tables, network):
    own = _with_arithmetic(moved[network.name], _tally(works), tables)
    return {
        baseline.name: ratio_fields(
            baseline, network, _with_arithmetic(moved[baseline.name], _tally(rewritten), tables), own
        )
        for baseline, rewritten in rivals.items()
        if baseline.name in moved
    }


def _with_arithmetic(moved, tally, tables):
    """{'horowitz45, DRAM low': pJ, …}: memory and arithmetic, for each table that prices the tally and each end."""
    priced, _ = energies(tally, tables)
    return {
        f"{name}, {end}": picojoule + memory
        for name, picojoule in priced.items()
        for end, memory in moved.energy.ends.items()
    }


def _works(name, works, rivals):
    return next((rewritten for baseline, rewritten in rivals.items() if baseline.name == name), works)


def _tally(works):
    return sum((work.events for work in works), Tally())


def _accelerator(accelerator):
    elements = accelerator.rows * accelerator.columns
    return {
        "name": accelerator.name,
        "title": accelerator.title,
        "source": accelerator.source,
        "dataflow": accelerator.dataflow,
        "rows": accelerator.rows,
        "columns": accelerator.columns,
        "buffers_kib": dict(accelerator.buffers_kib),
        "weight_registers": accelerator.weight_registers,
        "words": {operand: list(widths) for operand, widths in accelerator.words.items()},
        "dram_bits_per_cycle": accelerator.dram_bits_per_cycle,
        "peak_taps_per_cycle": elements,
        "ridge_taps_per_dram_byte": 8 * elements / accelerator.dram_bits_per_cycle,
    }


def _table(table):
    fields = ("name", "title", "source", "node_nm", "voltage", "unit")
    return {**{field: getattr(table, field) for field in fields}, "rules": dict(table.reasons)}
