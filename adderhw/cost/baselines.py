"""The same network with other arithmetic: what its layers would execute as a CNN, binary, shift or float network.

DeepShift is M. Elhoushi et al., "DeepShift: Towards Multiplication-Less Neural Networks", CVPR Workshops 2021.
ShiftAddNet is H. You et al., "ShiftAddNet: A Hardware-Inspired Deep Network", NeurIPS 2020.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.cost.operands import Operands, needed
from adderhw.fixed import bits_for
from adderhw.ops.conv_integer import mac_bounds, shift_add_events

PROGRAMMABLE, HARD_WIRED = "programmable", "hard-wired"
_SHARED = (
    "Arithmetic only (processing elements): no memory, registers, wires, clock or control is priced. Weights are "
    "programmable, not hard-wired, but in layers of constant shift-adds. All other layers, requantisation included, "
    "keep the events of the adder network."
)
_WIRED = (
    "Weights are hard-wired: no multiplier, one circuit for each constant product, a weight of 0 costs nothing, and no "
    "digits are shared between products. Arithmetic only, as for the others; requantisation and the remaining layers "
    "keep the events of the adder network."
)


REQUANTISING = ("Requantize", "QuantizeLinear")
ADDITIONS = ("Add", "Sub", "Sum", "QLinearAdd")
_FLOAT_KINDS = {"add": "fadd", "mul": "fmul"}


class Pass(NamedTuple):
    """One run over an array of processing elements: the operands and the widths of input, weight and sum in bits."""

    operands: Operands
    input_bits: int
    weight_bits: int
    accumulator_bits: int


@dataclass(frozen=True)
class Baseline:
    """One rival arithmetic: how it rewrites the layers, what is assumed of it, and what it is fairly held against.

    name, title, assumptions: in words; {weights} in the last stands for where hard-wired weights come from.
    weights: 'programmable' or 'hard-wired'. rewrite: (LayerWork, Operands or None) → LayerWork of a layer of `kinds`,
    and of one that is marked as inner.
    passes: (rewritten LayerWork, Operands) → the Pass records that an array runs for it.
    """

    name: str
    title: str
    weights: str
    assumptions: str
    rewrite: Callable[[LayerWork, Operands | None], LayerWork]
    kinds: tuple[str, ...] = ("adder",)
    passes: Callable[[LayerWork, Operands], tuple[Pass, ...]] = lambda work, operands: own_pass(work, operands)

    def layers(self, layers, operands=None):
        """The LayerWork records of the rival network, for `operands` one entry a layer (None: nothing known)."""
        operands = operands or [None] * len(layers)
        return tuple(
            self.rewrite(layer, known) if layer.kind in self.kinds or layer.rewritten else layer
            for layer, known in zip(layers, operands, strict=True)
        )


_OVER_PRODUCTS = (
    ("Each |x − w| and each integer product becomes", "Each product becomes"),
    ("Each |x − w| becomes", "Each x · w between the first and the last layer becomes"),
    ("each adder layer becomes", "each layer between the first and the last becomes"),
    ("the adder layer has", "the layer has"),
    ("the adder network", "this network"),
)


def assumptions_over(baseline, adder):
    """What a Baseline assumes, in words; adder: whether the network that it rewrites has adder layers, or products."""
    text = baseline.assumptions
    for of_adders, of_products in () if adder else _OVER_PRODUCTS:
        text = text.replace(of_adders, of_products)
    return text


def own_pass(work, operands):
    """The one Pass of a layer at its own widths."""
    return (Pass(needed(work, operands), work.input_bits, work.weight_bits, work.accumulator_bits),)


def ceil_log2(number):
    """⌈log2(number)⌉ of an integer of 1 or more, exactly."""
    return (number - 1).bit_length()


def _as_adder(layer, operands):
    """Every tap |x − w| on one grid of the wider operand, summed in a count that cannot overflow."""
    if layer.kind == "adder":
        return layer
    bits = max(layer.input_bits, layer.weight_bits)
    accumulator = bits + ceil_log2(layer.reduction)
    events = Tally({event("sub", bits): layer.taps, event("abs", bits + 1): layer.taps})
    events[event("add", accumulator)] += layer.taps
    return replace(
        layer, kind="adder", input_bits=bits, weight_bits=bits, accumulator_bits=accumulator, events=events,
        paper=PaperCount(add=2 * layer.taps),
    )  # fmt: skip


def _as_mac(layer, operands):
    """Every tap a multiplication at the layer's own operand widths and an addition that cannot overflow."""
    accumulator = layer.input_bits + layer.weight_bits + ceil_log2(layer.reduction)
    events = Tally({_mul(layer): layer.taps, event("add", accumulator): layer.taps})
    paper = PaperCount(mul=layer.taps, add=layer.taps)
    return replace(layer, kind="mac", accumulator_bits=accumulator, events=events, paper=paper)


def _as_binary(layer, operands):
    """Every tap one XNOR gate and an addition to a count that reaches the reduction."""
    accumulator = ceil_log2(layer.reduction + 1)
    events = Tally({event("xnor", 1): layer.taps, event("add", accumulator): layer.taps})
    paper = PaperCount(xnor=layer.taps)
    return replace(
        layer, kind="mac", input_bits=1, weight_bits=1, accumulator_bits=accumulator, events=events, paper=paper
    )


def _as_constant(layer, operands):
    """Every product by its constant: d shifts and d − 1 adds for d signed digits, summed in the exact bound's width."""
    if layer.kind == "mac" and not any(counted.kind == "mul" for counted in layer.events):
        return layer
    weight, ends = needed(layer, operands).weight, operands.input_ends
    low, high = mac_bounds(weight, 0, *ends)
    accumulator = bits_for(int(low.min()), int(high.max()))[0]
    events = shift_add_events(weight, ends, layer.outputs // len(weight), accumulator)
    return replace(layer, kind="mac", accumulator_bits=accumulator, events=events, paper=_mac_paper(layer))


def _as_wired(layer, operands):
    """|x − w| of a constant w; first and last layer constant shift-adds.

    A w at or beyond an end of x leaves x − w or w − x, whose w joins the layer's constant: one addition. Any other
    subtracts a constant at the price of any subtraction (an upper bound).
    """
    if layer.kind == "mac":
        return _as_constant(layer, operands)
    weight, (low, high) = needed(layer, operands).weight, operands.input_ends
    inside = int(((weight > low) & (weight < high)).sum()) * (layer.outputs // len(weight))
    events = Tally({event("sub", layer.input_bits): inside, event("abs", layer.input_bits + 1): inside})
    events[event("add", layer.accumulator_bits)] += layer.taps
    return replace(layer, events=+events)


def _as_shift(layer, operands):
    """Every tap a shift by a loaded amount, a negation by a loaded sign, and an addition that cannot overflow."""
    product, accumulator = _shifted_bits(layer)
    events = Tally()
    for counted in (event("vshift", product), event("abs", product), event("add", accumulator)):
        events[counted] += layer.taps
    return replace(
        layer, kind="mac", weight_bits=_shift_weight_bits(layer), accumulator_bits=accumulator, events=events,
        paper=PaperCount(add=layer.taps),
    )  # fmt: skip


def _as_wired_shift(layer, operands):
    """Every tap a shift that is wiring, and an addition or subtraction; first and last layer constant."""
    if layer.kind == "mac":
        return _as_constant(layer, operands)
    product, accumulator = _shifted_bits(layer)
    events = Tally({event("shift", product): layer.taps, event("add", accumulator): layer.taps})
    return replace(layer, kind="mac", accumulator_bits=accumulator, events=events, paper=PaperCount(add=layer.taps))


def _as_shift_add(layer, operands):
    """A shift layer, a clip to the layer's width, and an adder layer of as many channels and the same kernel."""
    shifted, second = _as_shift(layer, operands), _second_layer(layer, needed(layer, operands))
    clip = Tally({event("shift", shifted.accumulator_bits): layer.outputs})
    clip[event("cmp", shifted.accumulator_bits)] += 2 * layer.outputs
    return replace(
        layer, kind="mac", taps=layer.taps + second.taps, weight_bits=shifted.weight_bits,
        accumulator_bits=max(shifted.accumulator_bits, second.accumulator_bits),
        events=shifted.events + clip + second.events, paper=shifted.paper + second.paper,
    )  # fmt: skip


def _second_layer(layer, operands):
    """The LayerWork of ShiftAddNet's adder layer behind `layer`: all output channels, stride 1."""
    channels, _, height, width = operands.weight.shape
    reduction = channels * height * width
    taps, accumulator = layer.outputs * reduction, layer.input_bits + ceil_log2(reduction)
    events = Tally({event("sub", layer.input_bits): taps, event("abs", layer.input_bits + 1): taps})
    events[event("add", accumulator)] += taps
    return replace(
        layer, taps=taps, reduction=reduction, weight_bits=layer.input_bits, accumulator_bits=accumulator,
        events=events, paper=PaperCount(add=2 * taps),
    )  # fmt: skip


def _shift_add_passes(work, operands):
    """The shift layer's Pass and that of the adder layer behind it, whose padding keeps the image's size."""
    if work.kind != "mac" or work.taps == work.outputs * work.reduction:
        return own_pass(work, operands)
    channels, _, height, width = operands.weight.shape
    rows, columns = work.output_shape[1:] or (1, 1)
    second = Operands(
        input_shape=(channels, rows, columns),
        weight=operands.weight[:, :1].repeat(channels, axis=1),
        input_ends=operands.input_ends,
        pads=((height - 1) // 2, (width - 1) // 2, height // 2, width // 2),
    )
    accumulator = work.input_bits + ceil_log2(channels * height * width)
    first = Pass(operands, work.input_bits, work.weight_bits, work.accumulator_bits)
    return first, Pass(second, work.input_bits, work.input_bits, accumulator)


def _as_float(bits):
    """The rewrite to IEEE 754 arithmetic of `bits`, batch norm folded into the weights and one addition an element."""

    def rewrite(layer, operands):
        if layer.taps:
            events = Tally({event("fmul", bits): layer.taps, event("fadd", bits): layer.taps})
            return replace(
                layer, kind="mac", input_bits=bits, weight_bits=bits, accumulator_bits=bits, events=events,
                paper=_mac_paper(layer), stored_bits=0,
            )  # fmt: skip
        if layer.op in (*REQUANTISING, *ADDITIONS):
            events = Tally({event("fadd", bits): layer.outputs}) if layer.events else Tally()
            read = bits if layer.op in ADDITIONS else layer.input_bits
            # no grid: a branch is what the next layer reads
            return replace(layer, input_bits=read, events=events, stored_bits=0)
        events = Tally()
        for counted, count in layer.events.items():
            events[event(_FLOAT_KINDS.get(counted.kind, counted.kind), bits)] += count
        return replace(layer, events=events)

    return rewrite


def _mac_paper(layer):
    return PaperCount(mul=layer.taps, add=layer.taps)


def _shifted_bits(layer):
    """(product, accumulator) bits of x times ±2^k, k from 0 to weight bits − 2."""
    product = layer.input_bits + layer.weight_bits - 1
    return product, product + ceil_log2(layer.reduction)


def _shift_weight_bits(layer):
    """Bits that store a sign and an exponent of weight bits − 1 values."""
    return 1 + max(1, ceil_log2(layer.weight_bits - 1))


def _mul(layer):
    return event("mul", layer.input_bits, layer.weight_bits)


def _float_words(bits):
    return (
        f"Each |x − w| and each integer product becomes x · w in IEEE 754 with {bits} bits, summed in {bits} bits, "
        "first and last layer included; batch norm is folded into the weights and one addition an element, ReLU reads "
        "the sign; residual and pooling additions are float too. Arithmetic only. Weights are programmable."
    )


ANN = Baseline(
    "ann",
    "ANN",
    PROGRAMMABLE,
    "Each x · w becomes |x − w| on one grid of the wider operand's b bits, summed in b + ⌈log2 K⌉ bits, K taps to an "
    "output. Its accuracy is not that of this network. " + _SHARED.replace("the adder network", "this network"),
    _as_adder,
)
CNN = Baseline(
    "cnn",
    "CNN",
    PROGRAMMABLE,
    "Each |x − w| becomes x · w on a multiplier of the same operand widths (8 × 8 bit where the adder layer has "
    "8 bit), summed in input bits + weight bits + ⌈log2 K⌉ bits, K taps to an output. " + _SHARED,
    _as_mac,
)
BNN = Baseline(
    "bnn",
    "BNN",
    PROGRAMMABLE,
    "Each |x − w| becomes one XNOR of a bit and its addition to a count of ⌈log2 (K + 1)⌉ bits; the first and the "
    "last layer stay as they are. Its accuracy is not that of this network. " + _SHARED,
    _as_binary,
)
SHIFT = Baseline(
    "shift",
    "Shift network",
    PROGRAMMABLE,
    "DeepShift: each weight is ±2^k, k from 0 to weight bits − 2. A tap is a shift by a loaded amount, a negation by a "
    "loaded sign and an addition in input bits + weight bits − 1 + ⌈log2 K⌉ bits; first and last layer stay as they "
    "are. Its accuracy is not that of this network. " + _SHARED,
    _as_shift,
)
SHIFT_ADD = Baseline(
    "shift_add",
    "ShiftAdd network",
    PROGRAMMABLE,
    "ShiftAddNet: each adder layer becomes a shift layer of its shape, whose sums are shifted and clipped to the "
    "input's width, and an adder layer behind it from all output channels to as many, same kernel, stride 1, as in the "
    "published ResNet code. First and last layer stay as they are. Its accuracy is not that of this network. "
    + _SHARED,
    _as_shift_add,
    passes=_shift_add_passes,
)
FLOAT32 = Baseline(
    "float32", "CNN, fp32", PROGRAMMABLE, _float_words(32), _as_float(32), kinds=("adder", "mac", "other")
)
FLOAT16 = Baseline(
    "float16", "CNN, fp16", PROGRAMMABLE, _float_words(16), _as_float(16), kinds=("adder", "mac", "other")
)
ANN_WIRED = Baseline(
    "ann_wired",
    "ANN, hard-wired",
    HARD_WIRED,
    "|x − w| of a constant costs what the adder layers' taps do (an upper bound), but where w lies at or beyond an "
    "end of x: then x − w or w − x remains, its w joins the layer's constant, and the tap is one addition. First and "
    "last layer are constant shift-adds of their own integer weights. " + _WIRED,
    _as_wired,
    kinds=("adder", "mac"),
)
CNN_WIRED = Baseline(
    "cnn_wired",
    "CNN, hard-wired",
    HARD_WIRED,
    "Each |x − w| becomes a product by a constant out of its canonical signed digits: d shifts, which are wires, and "
    "d − 1 additions for d digits; first and last layer too. Sums have the width of their exact bound. The constants: "
    "{weights}. " + _WIRED,
    _as_constant,
    kinds=("adder", "mac"),
)
SHIFT_WIRED = Baseline(
    "shift_wired",
    "Shift network, hard-wired",
    HARD_WIRED,
    "DeepShift with its shifts and signs wired in: a tap is an addition or subtraction in input bits + weight bits − 1 "
    "+ ⌈log2 K⌉ bits; no weight is 0. First and last layer are constant shift-adds of their own integer weights. Its "
    "accuracy is not that of this network. " + _WIRED,
    _as_wired_shift,
    kinds=("adder", "mac"),
)
BASELINES = (CNN, BNN, SHIFT, SHIFT_ADD, FLOAT32, FLOAT16, ANN_WIRED, CNN_WIRED, SHIFT_WIRED)
FLOAT_BASELINES = (FLOAT32, FLOAT16)
