"""What a network moves on a described accelerator: accesses, cycles, roofline and the energy of its memories."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from adderhw.cost.accelerator import OPERANDS, Accelerator
from adderhw.cost.baselines import ADDITIONS
from adderhw.cost.memory_table import MemoryTable
from adderhw.cost.tiling import choose_mapping, layer_of
from adderhw.cost.traffic import LEVELS, traffic
from adderhw.errors import CostError


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
    operand from DRAM; what is stored beside a layer's output is written there.
    """
    if work.taps:
        passes = baseline_passes(work, operands)
        written = [accelerator.word("activations", one.input_bits, work.name) for one in passes[:-1]]
        written.append(_stored_word(work, accelerator))
        parts = zip(passes, written, strict=True)
        return sum_of(_pass(work, one, word, accelerator, table) for one, word in parts)
    adds = work.op in ADDITIONS and work.events
    if adds or work.stored_bits:
        way, word = "read" if adds else "write", _stored_word(work, accelerator)
        accesses = Counter({("dram", "activations", way): work.outputs})
        return _priced(accesses, dict.fromkeys(OPERANDS, word), word, 0, 0, accelerator, table)
    return NOTHING


def _stored_word(work, accelerator):
    """Bits of a word of what a layer with taps or a Requantize stores, or of an addition's second operand."""
    if work.stored_bits:
        return accelerator.word("partial_sums", work.stored_bits, work.name)
    if not work.input_bits:
        raise CostError(f"layer {work.name}: found no width of what {work.op} reads from memory, expected one")
    return accelerator.word("activations", work.input_bits, work.name)


def sum_of(parts):
    """The Moved of several, one after the other."""
    total = NOTHING
    for part in parts:
        total = total.plus(part)
    return total


def _pass(work, one, written, accelerator, table):
    widths = zip(OPERANDS, (one.input_bits, one.weight_bits, one.accumulator_bits), strict=True)
    words = {operand: accelerator.word(operand, bits, work.name) for operand, bits in widths}
    layer = layer_of(one.operands, work.output_shape[1:] or (1, 1))
    found = traffic(layer, choose_mapping(work.name, layer, words, accelerator))
    return _priced(found.accesses, words, written, found.cycles, layer.taps, accelerator, table)


def _priced(accesses, words, written, cycles, taps, accelerator, table):
    """The Moved of accesses; words: bits by operand, written: bits of a word that is written to DRAM."""
    bits, energy = Counter(), dict.fromkeys(MemoryEnergy._fields, 0.0)
    low, high = table.dram_pj_per_bit()
    for (level, operand, way), count in accesses.items():
        moved = count * (written if (level, way) == ("dram", "write") else words[operand])
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
