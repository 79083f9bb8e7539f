"""Cited energies of memories: SRAM by its size, DRAM as a range, registers by the bit."""

import math
from dataclasses import dataclass
from itertools import pairwise

from adderhw.cost.prices import Points
from adderhw.cost.toml_fields import expect, read_description, same_fields, texts
from adderhw.errors import CostError

MEMORIES = ("horowitz45",)
_TEXTS = ("name", "title", "source", "voltage", "unit")


@dataclass(frozen=True)
class MemoryTable:
    """Prices of one source. sram: Points of (KiB, pJ per word), a power law between. dram: (low, high) pJ per word.

    sram_word, dram_word: bits of the access that the source prices. register_pj: pJ per bit.
    reasons: {level: in words}.
    """

    name: str
    title: str
    source: str
    node_nm: int
    voltage: str
    unit: str
    sram: Points
    sram_word: int
    dram: tuple[float, float]
    dram_word: int
    register_pj: float
    reasons: dict

    def buffer_pj_per_bit(self, kib):
        """pJ per bit of an access to a buffer of `kib` KiB; raises CostError outside the published sizes."""
        if not self.sram.covers(kib):
            raise CostError(f"memory table {self.name}: found a buffer of {kib} KiB, expected {self.sram.widths} KiB")
        return self.sram.price(kib).picojoule / self.sram_word

    def dram_pj_per_bit(self):
        """(low, high) pJ per bit of an access to DRAM."""
        return tuple(picojoule / self.dram_word for picojoule in self.dram)


def load_memory_table(name_or_path):
    """The MemoryTable that ships as `name_or_path` or lies in that .toml file; raises CostError in one line."""
    fields, where = read_description(name_or_path, "memory table", "memories", MEMORIES)
    same_fields(fields, (*_TEXTS, "node_nm", "sram", "dram", "registers"), where)
    texts(fields, _TEXTS, where)
    expect(fields["unit"] == "pJ", where, "unit", fields["unit"], "'pJ'")
    node = fields["node_nm"]
    expect(type(node) is int and node > 0, where, "node_nm", node, "a whole number above 0")
    sram, dram, registers = fields["sram"], fields["dram"], fields["registers"]
    same_fields(sram, ("points", "word_bits", "reason"), f"{where}: sram")
    same_fields(dram, ("low", "high", "word_bits", "reason"), f"{where}: dram")
    same_fields(registers, ("pj_per_bit", "reason"), f"{where}: registers")
    for name in ("sram", "dram", "registers"):
        texts(fields[name], ("reason",), f"{where}: {name}")
    for name in ("sram", "dram"):
        bits = fields[name]["word_bits"]
        expect(type(bits) is int and bits > 0, where, f"{name}.word_bits", bits, "a whole number above 0")
    for name, value in (("dram.low", dram["low"]), ("registers.pj_per_bit", registers["pj_per_bit"])):
        expect(_positive(value), where, name, value, "a number above 0")
    valid = _positive(dram["high"]) and dram["high"] >= dram["low"]
    expect(valid, where, "dram.high", dram["high"], "a number of at least dram.low")
    return MemoryTable(
        **{name: fields[name] for name in _TEXTS},
        node_nm=node,
        sram=_sizes(sram["points"], where),
        sram_word=sram["word_bits"],
        dram=(float(dram["low"]), float(dram["high"])),
        dram_word=dram["word_bits"],
        register_pj=registers["pj_per_bit"],
        reasons={name: fields[name]["reason"] for name in ("sram", "dram", "registers")},
    )


def _sizes(points, where):
    """Points of rising (KiB, pJ), priced from the least to the largest published size and nowhere else."""
    valid = isinstance(points, list) and len(points) > 1
    valid = valid and all(isinstance(p, list) and len(p) == 2 and all(map(_positive, p)) for p in points)
    valid = valid and all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(points))
    expect(valid, where, "sram.points", points, "two or more [KiB, pJ], both rising")
    return Points(tuple(map(tuple, points)), "power", None, (points[0][0], points[-1][0]))


def _positive(number):
    return type(number) in (int, float) and math.isfinite(number) and number > 0
