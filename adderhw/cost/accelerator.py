"""The described accelerator: an array of processing elements, its buffers, word widths and dataflow."""

from collections.abc import Mapping
from dataclasses import dataclass

from adderhw.cost.toml_fields import expect, positive_integers, read_description, same_fields, texts
from adderhw.errors import CostError

ACCELERATORS = ("eyeriss_like", "systolic_like", "output_like")
DATAFLOWS = ("weight_stationary", "output_stationary", "row_stationary")
OPERANDS = ("activations", "weights", "partial_sums")
_SECTIONS = {
    "array": ("rows", "columns"),
    "buffers": tuple(f"{operand}_kib" for operand in OPERANDS),
    "registers": ("weights",),
    "words": OPERANDS,
    "dram": ("bits_per_cycle",),
}
_TEXTS = ("name", "title", "source", "dataflow", "memory")


@dataclass(frozen=True)
class Accelerator:
    """What docs/energy.md says of each field. buffers_kib, words: by operand (activations, weights, partial_sums).

    words: the widths in bits that a value may be stored in, rising. weight_registers: weights a processing element
    holds. dram_bits_per_cycle: of all traffic together. memory: name or path of the memory table.
    """

    name: str
    title: str
    source: str
    dataflow: str
    memory: str
    rows: int
    columns: int
    buffers_kib: Mapping[str, int]
    weight_registers: int
    words: Mapping[str, tuple[int, ...]]
    dram_bits_per_cycle: int

    def word(self, operand, bits, layer):
        """The narrowest word that stores `bits` of an operand; raises CostError, naming the layer, without one."""
        for width in self.words[operand]:
            if bits <= width:
                return width
        raise CostError(
            f"accelerator {self.name}: layer {layer}: found {operand} of {bits} bits, "
            f"expected at most {self.words[operand][-1]}"
        )


def load_accelerator(name_or_path):
    """The Accelerator that ships as `name_or_path` or lies in that .toml file; raises CostError in one line."""
    fields, where = read_description(name_or_path, "accelerator", "accelerators", ACCELERATORS)
    same_fields(fields, (*_TEXTS, *_SECTIONS), where)
    texts(fields, _TEXTS, where)
    expect(fields["dataflow"] in DATAFLOWS, where, "dataflow", fields["dataflow"], f"one of {', '.join(DATAFLOWS)}")
    for name, expected in _SECTIONS.items():
        same_fields(fields[name], expected, f"{where}: {name}")
        if name != "words":
            positive_integers(fields[name], where, name)
    for operand, widths in fields["words"].items():
        valid = isinstance(widths, list) and widths and all(type(bits) is int and bits > 0 for bits in widths)
        valid = valid and widths == sorted(set(widths))
        expect(valid, where, f"words.{operand}", widths, "a list of rising widths in bits")
    return Accelerator(
        **{name: fields[name] for name in _TEXTS},
        **fields["array"],
        buffers_kib={operand: fields["buffers"][f"{operand}_kib"] for operand in OPERANDS},
        weight_registers=fields["registers"]["weights"],
        words={operand: tuple(widths) for operand, widths in fields["words"].items()},
        dram_bits_per_cycle=fields["dram"]["bits_per_cycle"],
    )
