"""What a network moves on a described accelerator: accesses, cycles, roofline and the energy of its memories."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from adderhw.cost.accelerator import OPERANDS, Accelerator
from adderhw.cost.baselines import ADDITIONS
from adderhw.cost.memory_table import MemoryTable
from adderhw.cost.tiling import choose_mapping, layer_of
from adderhw.cost.traffic import LEVELS, traffic


class MemoryEnergy(NamedTuple):
    """Picojoules by level; DRAM as the low and the high end that its source gives."""

    registers: float = 0.0
    buffer: float = 0.0
    dram_low: float = 0.0
    dram_high: float = 0.0

    def plus(self, other):
        """The sum, level by level."""
        return MemoryEnergy(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def ends(self):
        """{'DRAM low': pJ of all levels, 'DRAM high': pJ of all levels}."""
        return {
            "DRAM low": self.registers + self.buffer + self.dram_low,
            "DRAM high": self.registers + self.buffer + self.dram_high,
        }


@dataclass(frozen=True)
class Moved:
    """What one layer or a whole network moves for an image.

    accesses: Counter of (level, operand, 'read' or 'write'), in values. bits: {level: bits}. array_cycles: of the
    array, cycles: the larger of those and DRAM's, layer by layer. taps: executed. energy: MemoryEnergy.
    """

    accesses: Counter
    bits: Counter
    array_cycles: int
    dram_cycles: int
    cycles: int
    taps: int
    energy: MemoryEnergy

    def plus(self, other):
        """Both, one after the other."""
        return Moved(
            self.accesses + other.accesses, self.bits + other.bits, self.array_cycles + other.array_cycles,
            self.dram_cycles + other.dram_cycles, self.cycles + other.cycles, self.taps + other.taps,
            self.energy.plus(other.energy),
        )  # fmt: skip


NOTHING = Moved(Counter(), Counter(), 0, 0, 0, 0, MemoryEnergy())


def moved_by(work, operands, baseline_passes, accelerator: Accelerator, table: MemoryTable):
    """The Moved of one LayerWork; NOTHING for a layer that works on the stream. Raises CostError where it does not fit.

    baseline_passes: (work, operands) → the Pass records of a layer with taps. A residual addition reads its second
    operand from DRAM, at the width of the sum; what is stored beside a layer's output is written there.
    """
    if work.taps:
        passes = baseline_passes(work, operands)
        return sum_of(_pass(work, one, accelerator, table) for one in passes)
    if work.op in ADDITIONS and work.events:
        width = _second_operand(work, accelerator)
        accesses = Counter({("dram", "activations", "read"): work.outputs})
        return _priced(accesses, dict.fromkeys(OPERANDS, width), 0, 0, accelerator, table)
    if work.stored_bits:
        width = accelerator.word("partial_sums", work.stored_bits, work.name)
        accesses = Counter({("dram", "activations", "write"): work.outputs})
        return _priced(accesses, dict.fromkeys(OPERANDS, width), 0, 0, accelerator, table)
    return NOTHING


def _second_operand(work, accelerator):
    """Bits of a word of an addition's operand: what the record states, or the sum's width."""
    if work.input_bits:
        return accelerator.word("activations", work.input_bits, work.name)
    return accelerator.word("partial_sums", max(counted.bits[0] for counted in work.events), work.name)


def sum_of(parts):
    """The Moved of several, one after the other."""
    total = NOTHING
    for part in parts:
        total = total.plus(part)
    return total


def _pass(work, one, accelerator, table):
    widths = zip(OPERANDS, (one.input_bits, one.weight_bits, one.accumulator_bits), strict=True)
    words = {operand: accelerator.word(operand, bits, work.name) for operand, bits in widths}
    layer = layer_of(one.operands, work.output_shape[1:] or (1, 1))
    found = traffic(layer, choose_mapping(work.name, layer, words, accelerator))
    return _priced(found.accesses, words, found.cycles, layer.taps, accelerator, table)


def _priced(accesses, words, cycles, taps, accelerator, table):
    bits, energy = Counter(), dict.fromkeys(MemoryEnergy._fields, 0.0)
    low, high = table.dram_pj_per_bit()
    for (level, operand, _), count in accesses.items():
        moved = count * words[operand]
        bits[level] += moved
        if level == "registers":
            energy["registers"] += moved * table.register_pj
        elif level == "buffer":
            energy["buffer"] += moved * table.buffer_pj_per_bit(accelerator.buffers_kib[operand])
        else:
            energy["dram_low"] += moved * low
            energy["dram_high"] += moved * high
    dram_cycles = -(-bits["dram"] // accelerator.dram_bits_per_cycle)
    return Moved(accesses, bits, cycles, dram_cycles, max(cycles, dram_cycles), taps, MemoryEnergy(**energy))


def fields_of(moved, accelerator):
    """A Moved as the document holds it; utilisation and intensity are null where nothing is computed."""
    elements, dram_bytes = accelerator.rows * accelerator.columns, moved.bits["dram"] / 8
    return {
        "accesses": {
            level: {
                operand: {way: moved.accesses[level, operand, way] for way in ("read", "write")} for operand in OPERANDS
            }
            for level in LEVELS
        },
        "bits": {level: moved.bits[level] for level in LEVELS},
        "array_cycles": moved.array_cycles,
        "dram_cycles": moved.dram_cycles,
        "cycles": moved.cycles,
        "utilisation": moved.taps / (elements * moved.array_cycles) if moved.array_cycles else None,
        "taps_per_dram_byte": moved.taps / dram_bytes if moved.taps else None,
        "bound": "dram" if moved.dram_cycles > moved.array_cycles else "array",
        "energy_pj": moved.energy._asdict(),
    }
