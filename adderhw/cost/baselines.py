"""The same network with other arithmetic: what its layers would execute as a CNN or as a binary network."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from adderhw.cost.events import LayerWork, PaperCount, Tally, event

_SHARED = (
    "Arithmetic only (processing elements): no memory, registers, wires, clock or control is priced. Weights are "
    "programmable, not hard-wired, but in layers of constant shift-adds. All other layers, requantisation included, "
    "keep the events of the adder network."
)


@dataclass(frozen=True)
class Baseline:
    """One rival arithmetic: its short name, its title, what is assumed of it, and how it rewrites an adder layer."""

    name: str
    title: str
    assumptions: str
    rewrite: Callable[[LayerWork], LayerWork]

    def layers(self, layers):
        """The LayerWork records of the rival network; only adder layers differ."""
        return tuple(self.rewrite(layer) if layer.kind == "adder" else layer for layer in layers)


def ceil_log2(number):
    """⌈log2(number)⌉ of an integer of 1 or more, exactly."""
    return (number - 1).bit_length()


def _as_mac(layer):
    """Every tap a multiplication at the layer's own operand widths and an addition that cannot overflow."""
    accumulator = layer.input_bits + layer.weight_bits + ceil_log2(layer.reduction)
    events = Tally({_mul(layer): layer.taps, event("add", accumulator): layer.taps})
    paper = PaperCount(mul=layer.taps, add=layer.taps)
    return replace(layer, kind="mac", accumulator_bits=accumulator, events=events, paper=paper)


def _as_binary(layer):
    """Every tap one XNOR gate and an addition to a count that reaches the reduction."""
    accumulator = ceil_log2(layer.reduction + 1)
    events = Tally({event("xnor", 1): layer.taps, event("add", accumulator): layer.taps})
    paper = PaperCount(xnor=layer.taps)
    return replace(
        layer, kind="mac", input_bits=1, weight_bits=1, accumulator_bits=accumulator, events=events, paper=paper
    )


def _mul(layer):
    return event("mul", layer.input_bits, layer.weight_bits)


CNN = Baseline(
    "cnn",
    "CNN",
    "Each |x − w| becomes x · w on a multiplier of the same operand widths (8 × 8 bit where the adder layer has "
    "8 bit), summed in input bits + weight bits + ⌈log2 K⌉ bits, K taps to an output. " + _SHARED,
    _as_mac,
)
BNN = Baseline(
    "bnn",
    "BNN",
    "Each |x − w| becomes one XNOR of a bit and its addition to a count of ⌈log2 (K + 1)⌉ bits; the first and the "
    "last layer stay as they are. Its accuracy is not that of this network. " + _SHARED,
    _as_binary,
)
BASELINES = (CNN, BNN)
