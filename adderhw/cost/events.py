"""Events: what hardware executes, by kind and width, and the per-layer record that carries their tally."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from adderhw.errors import CostError

KINDS = ("add", "sub", "abs", "mul", "shift", "cmp", "xnor", "vshift", "fadd", "fmul")
LAYER_KINDS = ("adder", "mac", "other")
MIN_EVENT_BITS, MAX_EVENT_BITS = 1, 64

KIND_MEANING = {
    "add": "two's complement adder; the width is that of the result it stores (an accumulator's real width)",
    "sub": "two's complement subtractor; the width is that of its operands",
    "abs": "conditional negation of a signed number; the width is that of the signed number",
    "mul": "multiplier of two variable operands; one width, or two where the operands differ",
    "shift": "shift by a constant; the width is that of the shifted number",
    "cmp": "comparison of two numbers (a pooling maximum, one bound of a clip); the width is that of its operands",
    "xnor": "bitwise equality of two numbers; the width is the number of bits compared",
    "vshift": "shift by an amount that is loaded (a barrel shifter); the width is that of the shifted number",
    "fadd": "IEEE 754 floating-point adder; the width is that of the format, 16 or 32",
    "fmul": "IEEE 754 floating-point multiplier; the width is that of the format, 16 or 32",
}


class Event(NamedTuple):
    """One operation of hardware: its kind (of KINDS) and its operand widths in bits.

    bits has one entry, (8,), or for a multiplier of unequal operands two, (18, 13). Use `event` to
    make one that is validated and in this normal form.
    """

    kind: str
    bits: tuple[int, ...]

    def __str__(self):
        bits = self.bits[:1] if len(set(self.bits)) == 1 else self.bits
        return f"{self.kind}:{'x'.join(map(str, bits))}"

    @classmethod
    def parse(cls, text):
        """The event written 'add:8' or 'mul:18x13'; raises CostError for any other text."""
        kind, colon, widths = text.partition(":")
        parts = widths.split("x")
        if not colon or not all(part.isascii() and part.isdigit() for part in parts):
            raise CostError(f"event: found {text!r}, expected kind:bits such as 'add:8' or 'mul:18x13'")
        return event(kind, *map(int, parts))


Tally = Counter[Event]
"""How often each event happens, per image. Tallies add with +; a count is a non-negative integer."""


def event(kind, *bits):
    """A validated Event; equal multiplier widths fold into one. Raises CostError for a bad kind or width."""
    if kind not in KINDS:
        raise CostError(f"event: found kind {kind!r}, expected one of {', '.join(KINDS)}")
    if len(bits) == 2 and bits[0] == bits[1]:
        bits = bits[:1]
    if len(bits) not in ((1, 2) if kind == "mul" else (1,)):
        raise CostError(f"event {kind}: found {len(bits)} widths, expected 1{' or 2' if kind == 'mul' else ''}")
    for width in bits:
        if isinstance(width, bool) or not isinstance(width, int) or not MIN_EVENT_BITS <= width <= MAX_EVENT_BITS:
            raise CostError(f"event {kind}: found {width!r} bits, expected {MIN_EVENT_BITS} to {MAX_EVENT_BITS}")
    return Event(kind, tuple(bits))


def tally_by_name(tally):
    """{'add:8': n, …} of a Tally in the order of KINDS, then by width; raises CostError for a negative count."""
    named = {}
    for counted, count in sorted(tally.items(), key=lambda item: (KINDS.index(item[0].kind), item[0].bits)):
        if count < 0:
            raise CostError(f"event {counted}: found a count of {count}, expected 0 or more")
        named[str(counted)] = named.get(str(counted), 0) + int(count)
    return named


@dataclass(frozen=True)
class PaperCount:
    """Operations per image as the adder-network papers count them (Xu 2020, Table 2).

    An adder tap is two additions, a convolution's tap one multiplication and one addition, a binary
    tap one XNOR; batch norm, requantisation, pooling and residual additions are not counted.
    """

    mul: int = 0
    add: int = 0
    xnor: int = 0

    def __add__(self, other):
        return PaperCount(self.mul + other.mul, self.add + other.add, self.xnor + other.xnor)


@dataclass(frozen=True)
class LayerWork:
    """What one node of the graph executes per image.

    name, op: the node's. kind: 'adder' (adder convolution or gemm), 'mac' (convolution or linear layer)
    or 'other'. output_shape: without the batch axis. taps: absolute differences or multiply-accumulates
    (0 for other). reduction: taps per output element, K. outputs: output elements. input_bits,
    weight_bits, accumulator_bits: widths, 0 where they do not apply. events: Tally in the hardware
    convention. paper: PaperCount. inner: whether rivals rewrite the layer although it is no adder layer. stored_bits:
    in words of sums, the width at which a layer with taps stores its output instead of its own input_bits, or another
    node one beside that of the same sums, such as a wide residual branch; of an addition that at which its second
    operand is stored, whose input_bits hold the width where that is a layer's ordinary output; else 0.
    Raises CostError for another kind.
    """

    name: str
    op: str
    kind: str
    output_shape: tuple[int, ...]
    taps: int
    reduction: int
    outputs: int
    input_bits: int
    weight_bits: int
    accumulator_bits: int
    events: Tally
    paper: PaperCount
    inner: bool = False
    stored_bits: int = 0

    @property
    def rewritten(self):
        """Whether the networks of other arithmetic have another layer here."""
        return self.kind == "adder" or self.inner

    def __post_init__(self):
        if self.kind not in LAYER_KINDS:
            raise CostError(f"layer {self.name}: found kind {self.kind!r}, expected one of {', '.join(LAYER_KINDS)}")
