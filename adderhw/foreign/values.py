"""What a tensor holds while operations are counted, and what it costs to change it."""

from typing import NamedTuple

from adderhw.cost.events import Tally, event

FLOAT, CODE, SUM, SCALED = "float", "code", "sum", "scaled"
FLOAT32_MANTISSA = 24
QUANT_MULTIPLIER_BITS = 14  # the default of python -m quant


class Value(NamedTuple):
    """A tensor: its shape with the batch axis, what its numbers are, and their width in bits.

    kind: 'float' (IEEE 754); 'code' (an integer on a grid); 'sum' (integers summed, to be scaled); 'scaled' (integers
    already multiplied by their scale, to be rounded). grid: what a code's scale and zero point are, None if unknown.
    constant: known before any image. host: fed by the host, at most moved since.
    """

    shape: tuple[int, ...]
    kind: str
    bits: int
    grid: object = None
    constant: bool = False
    host: bool = False

    @property
    def elements(self):
        """Elements of an image."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def fixed(self):
        """Whether its numbers are integers."""
        return self.kind != FLOAT


class Rules(NamedTuple):
    """How sums become codes. scale_bits: width of the constant they are multiplied by. additions: per value, of
    offset and rounding. bits: every activation is requantised to so many bits; None: where the file says so.
    """

    scale_bits: int
    additions: int
    bits: int | None


FILE_RULES = Rules(FLOAT32_MANTISSA, 2, None)


def rules_at(bits):
    """The Rules of a float network as python -m quant would make it an integer one of `bits` bits."""
    return Rules(QUANT_MULTIPLIER_BITS, 1, bits)


def scaled(value, rules):
    """(the value multiplied by a constant, its Tally); a scaled value stays as it is."""
    if value.kind == SCALED:
        return value, Tally()
    width = value.bits + rules.scale_bits
    return value._replace(kind=SCALED, bits=width), each(value, ("mul", value.bits, rules.scale_bits))


def requantised(value, bits, grid, rules):
    """(the code of `bits` bits that an integer value becomes, its Tally): scale, offset, rounding, shift and clip."""
    wide, tally = scaled(value, rules)
    tally = tally + each(
        value, *[("add", wide.bits)] * rules.additions, ("shift", wide.bits), *[("cmp", value.bits)] * 2
    )
    return value._replace(kind=CODE, bits=bits, grid=grid, host=False), tally


def as_float(value, bits):
    """(the value as a float of `bits` bits, its Tally): a multiplication by the scale, and an adder to normalise it.

    Constants and what the host feeds are converted before the network runs.
    """
    if not value.fixed or value.constant or value.host:
        return value._replace(kind=FLOAT, bits=bits if value.fixed else value.bits), Tally()
    return value._replace(kind=FLOAT, bits=bits, grid=None), each(value, ("fmul", bits), ("fadd", bits))


def each(value, *operations):
    """The Tally of (kind, bits, …) operations, each once an element."""
    tally = Tally()
    for kind, *bits in operations:
        tally[event(kind, *bits)] += value.elements
    return tally


def arithmetic(values):
    """'float' where any of the values that are no constants is, else 'fixed'."""
    kinds = {value.kind == FLOAT for value in values if not value.constant} or {value.kind == FLOAT for value in values}
    return "float" if True in kinds else "fixed"
