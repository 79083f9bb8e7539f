"""What a change of format executes: quantisation, and casts between floats."""

from adderhw.cost.events import Tally
from adderhw.errors import CostError
from adderhw.foreign.calls import Counted, grid_at, storage_bits
from adderhw.foreign.values import CODE, FLOAT, Value, each, requantised


def quantise(call):
    """Codes of floats: a multiplication, a rounding addition and two comparisons; of integers: their rescaling.

    What the host feeds or what is constant is quantised before the network runs; codes on that grid already are free.
    """
    x, bits, grid = call.inputs[0], storage_bits(call.dtype), grid_at(call, 1)
    done = Value(call.shape, CODE, bits, grid, x.constant, x.host)
    if x.constant or x.host or (x.kind == CODE and x.grid == grid and x.bits == bits):
        return Counted(done, Tally())
    if x.kind == FLOAT:
        return Counted(done, each(x, ("fmul", x.bits), ("fadd", x.bits), *[("cmp", x.bits)] * 2))
    return Counted(*requantised(x, bits, grid, call.rules))


def dequantise(call):
    """The codes with their grid: what reads them says what arithmetic they enter."""
    x = call.inputs[0]
    return Counted(x._replace(grid=grid_at(call, 1)), Tally())


def cast(call):
    """Between floats or from integers: a float adder, which normalises and rounds; to an integer it has no cost."""
    x = call.inputs[0]
    if call.dtype is None or call.dtype.kind not in "fV":
        call.node.fail(f"a cast to {call.dtype}, which has no cost here", "a cast to a float", CostError)
    bits = 8 * call.dtype.itemsize
    if x.constant or x.host or (x.kind == FLOAT and x.bits == bits):
        return Counted(x._replace(kind=FLOAT, bits=bits), Tally())
    return Counted(
        x._replace(kind=FLOAT, bits=bits, grid=None), each(x, ("fadd", max(bits, x.bits) if x.kind == FLOAT else bits))
    )
