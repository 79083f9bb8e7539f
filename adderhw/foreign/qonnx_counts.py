"""What the quantisers of QONNX execute: Quant, BipolarQuant and Trunc, as Brevitas, QKeras converters and FINN write.

Their outputs are floats on a grid, which stand for codes of a stated width (https://qonnx.readthedocs.io). So they
count as QuantizeLinear does.
"""

from math import ceil

import numpy as np

from adderhw.cost.events import Tally
from adderhw.errors import CostError
from adderhw.foreign.calls import Counted, grid_at
from adderhw.foreign.values import CODE, FLOAT, Value, each, requantised

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "finn")
MOST_BITS = 32
ROUNDING_ADDS = {"FLOOR": 0}  # rounding modes that only drop bits; any other adds before


def quant(call):
    """As QuantizeLinear, at the width that the node states."""
    x, bits, grid = call.inputs[0], stated_bits(call, 3), grid_at(call, 1)
    done = Value(call.shape, CODE, bits, grid, x.constant, x.host)
    if x.constant or x.host or (x.kind == CODE and x.grid == grid and x.bits == bits):
        return Counted(done, Tally())
    if x.kind == FLOAT:
        return Counted(done, each(x, ("fmul", x.bits), ("fadd", x.bits), *[("cmp", x.bits)] * 2))
    return Counted(*requantised(x, bits, grid, call.rules))


def bipolar(call):
    """A comparison with 0."""
    x = call.inputs[0]
    done = Value(call.shape, CODE, 1, grid_at(call, 1), x.constant, x.host)
    return Counted(done, Tally() if x.constant or x.host else each(x, ("cmp", x.bits)))


def trunc(call):
    """A shift, and an addition before it but for the mode FLOOR."""
    x = call.inputs[0]
    bits = stated_bits(call, len(call.inputs) - 1)
    if x.kind == FLOAT:
        call.node.fail("floats", "codes, which a Trunc drops bits of", CostError)
    mode = str(call.node.attributes.get("rounding_mode", "FLOOR")).upper()
    additions = [("add", x.bits)] * ROUNDING_ADDS.get(mode, 1)
    return Counted(x._replace(kind=CODE, bits=bits, grid=None), each(x, *additions, ("shift", x.bits)))


def stated_bits(call, position):
    """The width that a constant input states, the largest where it states one a channel."""
    width = call.arrays.get(position)
    if width is None or np.asarray(width).size == 0:
        call.node.fail("a width that is no constant", "a constant one", CostError)
    bits = ceil(float(np.max(width)))
    if not 1 <= bits <= MOST_BITS:
        call.node.fail(f"a width of {bits} bits", f"1 to {MOST_BITS}", CostError)
    return bits
