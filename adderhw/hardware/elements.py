"""What synthesis measures: the processing elements, the tree of sums and the requantisations, at stated widths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

DEFAULT_LANES = 16  # of adder_array
TREE_TAPS = 8
M_BITS = 14  # of a requantisation's multiplier, as quant chooses it for 8 bits: 13 and a sign
SHIFT_ADD_DIGITS = 3


@dataclass(frozen=True)
class Element:
    """A module to synthesise.

    parameters: (bits of the operands, headroom) → {parameter: value}; with `headroom` bits beyond one term an
    accumulator holds 2^headroom taps. taps: bits → taps a clock, 0 for a module that takes none.
    """

    name: str
    module: str
    parameters: Callable[[int, int], Mapping[str, int]]
    taps: Callable[[int], int] = lambda bits: 1


def element(term, **fixed):
    """The parameters of a processing element whose terms are term(bits) bits wide."""
    return lambda bits, headroom: {"BITS": bits, "ACC_BITS": term(bits) + headroom, **fixed}


def tree(bits, headroom):
    """Those of a bare tree of sums, which has no accumulator: one for every headroom."""
    return {"INPUTS": TREE_TAPS, "BITS": bits, "SUM_BITS": bits + (TREE_TAPS - 1).bit_length()}


def requantisation(digits):
    """Those of a requantisation from an accumulator to unsigned outputs of `bits` bits.

    C and the product hold what an accumulator's largest value needs (see adderhw.hardware.layers); rounding half up.
    """

    def parameters(bits, headroom):
        accumulator = bits + headroom
        return {
            "SUM_BITS": accumulator + 1,
            "M_BITS": M_BITS,
            "C_BITS": accumulator + M_BITS - 1,
            "T_BITS": accumulator + M_BITS + 1,
            "OUT_BITS": bits,
            "QMIN": 0,
            "QMAX": (1 << bits) - 1,
            "ROUNDING": 1,
            "DIGITS": digits,
        }

    return parameters


def same(bits):
    """The width of an adder element's term: its operands'."""
    return bits


ADDER = Element("adder, subtractor and inversion", "adder_pe", element(same, FORM=1))
SATURATING_ADDER = Element("adder, saturating", "adder_pe", element(same, FORM=1, SATURATE=1))
MULTIPLY_ACCUMULATE = Element("multiply-accumulate", "mac_pe", element(lambda bits: 2 * bits))
XNOR = Element("XNOR and popcount", "xnor_pe", element(lambda bits: 1), taps=lambda bits: bits)
ELEMENTS = (
    ADDER,
    Element("adder, two subtractors", "adder_pe", element(same, FORM=0)),
    SATURATING_ADDER,
    MULTIPLY_ACCUMULATE,
    XNOR,
    Element(
        f"adder tree, {TREE_TAPS} taps", "adder_tree_pe", element(same, TAPS=TREE_TAPS), taps=lambda bits: TREE_TAPS
    ),
    Element(f"bare tree, {TREE_TAPS} values", "adder_tree", tree, taps=lambda bits: 0),
    Element("requantise, multiplier", "requantise", requantisation(0), taps=lambda bits: 0),
    Element("requantise, shift", "requantise", requantisation(1), taps=lambda bits: 0),
    Element(
        f"requantise, {SHIFT_ADD_DIGITS} shifts and adds",
        "requantise",
        requantisation(SHIFT_ADD_DIGITS),
        taps=lambda bits: 0,
    ),
)
