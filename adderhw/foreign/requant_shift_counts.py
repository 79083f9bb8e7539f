"""What RequantShift executes, by which Quantlab and Deeploy make codes of sums: (x · mul + add) / div, floor, clip.

Its attributes are tensors: div, a power of two, and n_levels_out, how many codes there are. Its files hold their whole
numbers in floats; then it counts in floats, as all of the file does.
"""

import numpy as np
from onnx import numpy_helper

from adderhw.errors import CostError
from adderhw.fixed import bits_for
from adderhw.foreign.calls import Counted
from adderhw.foreign.function_counts import ROUND, Program
from adderhw.foreign.values import CODE, FLOAT, Value, each

DOMAINS = ("", "PACTOps", "ai.onnx.contrib")
IN_FLOATS = Program(fmul=2, fadd=1, cmp=2) + ROUND


def requant_shift(call):
    """Of integers a product by a constant, an addition, a shift and two comparisons; of floats the same, floored."""
    x, levels = call.inputs[0], stated(call, "n_levels_out")
    stated(call, "div")
    if x.kind == FLOAT:
        return Counted(Value(call.shape, FLOAT, x.bits), IN_FLOATS.tally(x.bits, x.elements))
    factor = call.arrays.get(1)
    if factor is None:
        call.node.fail("a factor that the network computes", "a constant one", CostError)
    width = bits_for(int(np.min(factor)), int(np.max(factor)))[0]
    wide = x.bits + width
    tally = each(x, ("mul", x.bits, width), ("add", wide), ("shift", wide), *[("cmp", x.bits)] * 2)
    return Counted(Value(call.shape, CODE, max(1, (levels - 1).bit_length())), tally)


def stated(call, name):
    """The attribute's number, a power of two; raises CostError for another."""
    tensor = call.node.attributes.get(name)
    if tensor is None:
        call.node.fail(f"no attribute {name}", "a power of two", CostError)
    number = float(np.max(numpy_helper.to_array(tensor) if hasattr(tensor, "data_type") else tensor))
    if number < 1 or number != int(number) or int(number) & (int(number) - 1):
        call.node.fail(f"{name} {number:g}", "a power of two", CostError)
    return int(number)
