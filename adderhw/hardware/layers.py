"""The adder layers of a graph as hardware sees them: geometry, weights, widths and the requantisation that follows."""

from dataclasses import dataclass

import numpy as np

from adderhw.errors import ModelError
from adderhw.fixed import Format, Rounding, bits_for
from adderhw.kernels import Geometry, Requant
from adderhw.ops.base import Node, scalar
from adderhw.ops.convolution import geometry
from adderhw.ops.realisation import realisation
from adderhw.ops.requantize import product_ends, requant_of

ADDER_OPS = ("AdderConvInteger", "AdderGemmInteger")
POINTWISE = Geometry((1, 1), (0, 0, 0, 0), (1, 1), 1)


@dataclass(frozen=True)
class Requantisation:
    """q = clip(round_shift(S·M + C, n)): constants int64 (O,), the output tensor and the widths that hold everything.

    digits: 0 for a multiplier, else how many signed digits an M may have. t_bits: holds every S·M + C, is more
    than each other width and at least the largest n.
    """

    node: Node
    constants: Requant
    digits: int
    m_bits: int
    c_bits: int
    t_bits: int
    output: Format

    @property
    def rounding(self):
        """The Rounding."""
        return Rounding(self.constants.rounding)


@dataclass(frozen=True)
class AdderLayer:
    """One adder layer; a fully connected one is a 1×1 convolution on one pixel.

    x: name of its activations, channels, height, width: their shape. weight: (O, C/groups, kh, kw). operands: Format of
    x and w. accumulator_bits: the width that is built; saturate: what it does beyond (it wraps otherwise).
    requantise: None where no Requantize reads the sums.
    """

    node: Node
    x: str
    shape: tuple[int, int, int]
    weight: np.ndarray
    geometry: Geometry
    zero_point: int
    operands: Format
    bound_bits: int
    accumulator_bits: int
    saturate: bool
    requantise: Requantisation | None

    @property
    def name(self):
        """The node's name."""
        return self.node.name

    @property
    def narrow(self):
        """Whether the accumulator is too narrow for some sum, so that it may overflow."""
        return self.accumulator_bits < self.bound_bits

    @property
    def output_hw(self):
        """(H', W')."""
        return self.geometry.output_hw(*self.shape[1:], *self.weight.shape[2:])

    @property
    def taps(self):
        """Taps of an image: all its outputs' |x − w|."""
        out_h, out_w = self.output_hw
        return self.weight.size * out_h * out_w


def adder_layers(graph, names=None, accumulator_bits=0, saturate=False):
    """The AdderLayers of `graph` in order, of all nodes or of those called `names`.

    accumulator_bits: 0 for the exact bound's width, else the width of every accumulator whose bound needs more.
    Raises ModelError for a name that is no adder layer, and for a model without one.
    """
    nodes = [node for node in graph.nodes if node.op in ADDER_OPS]
    known = [node.name for node in nodes]
    if not nodes:
        raise ModelError(f"model {graph.name!r}: found no adder layer, expected {' or '.join(ADDER_OPS)}")
    for name in names or ():
        if name not in known:
            raise ModelError(f"layer {name!r}: found no adder layer of that name, expected one of {', '.join(known)}")
    return [adder_layer(graph, n, accumulator_bits, saturate) for n in nodes if not names or n.name in names]


def adder_layer(graph, node, accumulator_bits, saturate):
    """The AdderLayer of one node."""
    x, w, *rest = graph.args(node)
    sums = graph.tensors[node.output]
    is_conv = node.op == "AdderConvInteger"
    bound_bits = bits_for(0, sums.highest)[0]
    narrow = 0 < accumulator_bits < bound_bits
    width = accumulator_bits if narrow else bound_bits
    return AdderLayer(
        node=node,
        x=x.name,
        shape=tuple(x.shape[1:]) if is_conv else (x.shape[1], 1, 1),
        weight=w.value if is_conv else w.value[:, :, None, None],
        geometry=geometry(node) if is_conv else POINTWISE,
        zero_point=scalar(node, rest[0], "x_zero_point") if is_conv else 0,
        operands=operand_format(x, w),
        bound_bits=bound_bits,
        accumulator_bits=width,
        saturate=narrow and saturate,
        requantise=requantisation(graph, sums, width),
    )


def operand_format(x, w):
    """The narrowest Format of the operands' signedness that holds both x and w."""
    bits, signed = bits_for(min(x.format.min, w.lowest), max(x.format.max, w.highest))
    return Format(bits, signed)


def requantisation(graph, sums, accumulator_bits):
    """The Requantisation of the first Requantize that reads `sums`, or None."""
    node = next((n for n in graph.consumers.get(sums.name, ()) if n.op == "Requantize"), None)
    if node is None:
        return None
    constants = requant_of(node, graph.args(node))
    ends = [end for end, _ in product_ends(sums, constants)] + [int(c) for c in constants.c]
    kind, digits = realisation(node)
    output = Format(*bits_for(constants.qmin, constants.qmax))
    m_bits, c_bits = signed_bits(constants.m), signed_bits(constants.c)
    at_least = max(accumulator_bits + 2, m_bits + 1, c_bits + 1, output.bits + 2, int(constants.n.max()))
    return Requantisation(
        node=node,
        constants=constants,
        digits=0 if kind == "multiplier" else digits,
        m_bits=m_bits,
        c_bits=c_bits,
        t_bits=max(signed_bits(np.array(ends, object)) + 1, at_least),
        output=output,
    )


def signed_bits(values):
    """Bits of the narrowest two's complement that holds every integer of `values`."""
    low, high = min(-1, int(values.min())), int(values.max())
    return bits_for(low, high)[0]
