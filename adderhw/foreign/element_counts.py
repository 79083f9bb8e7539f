"""What ops execute that work element by element."""

import numpy as np

from adderhw.cost.baselines import ceil_log2
from adderhw.cost.events import Tally
from adderhw.errors import CostError
from adderhw.fixed import bits_for
from adderhw.foreign import function_counts as functions
from adderhw.foreign.calls import Counted, given, grid_at, rescaled_code
from adderhw.foreign.values import CODE, FLOAT, SCALED, SUM, Value, arithmetic, as_float, each, scaled


def qlinear_add(call):
    """Both codes times their scales over the output's, added, and rounded to a code."""
    value, tally = _sum(call, (call.inputs[0], call.inputs[3]))
    return rescaled_code(call, value, tally, grid_at(call, 6))


def qlinear_mul(call):
    """The product of two codes, rescaled to a code."""
    value, tally = _product(call, call.inputs[0], call.inputs[3])
    return rescaled_code(call, value, tally, grid_at(call, 6))


def batch_norm(call):
    """Folded into the layer before it: its bias, an addition an element. Else a multiplication and an addition."""
    x = call.inputs[0]
    if x.kind == FLOAT:
        return Counted(x, each(x, ("fadd", x.bits)) if call.folded else each(x, ("fmul", x.bits), ("fadd", x.bits)))
    if call.folded:
        return Counted(x, Tally())
    return _offset(x, call)


def add(call):
    """An addition an element; integers come onto one grid first. A layer's bias joins its rescaling."""
    values = [value for value in call.inputs if value is not None]
    if arithmetic(values) == FLOAT:
        return _floating(call, values, ("fadd",) * (len(values) - 1))
    if call.folded:
        return Counted(next(value for value in values if not value.constant), Tally())
    moving = [value for value in values if not value.constant]
    if len(moving) == 1 and moving[0].kind == SUM:
        return Counted(moving[0], each(moving[0], ("add", moving[0].bits)))
    return Counted(*_sum(call, values))


def multiply(call):
    """A multiplication an element."""
    values = call.inputs[:2]
    if arithmetic(values) == FLOAT:
        return _floating(call, values, ("fmul",))
    return Counted(*_product(call, *values))


def divide(call):
    """A multiplication by the inverse of a constant; of anything else the inverse is computed too."""
    return multiply(call) if call.inputs[1].constant else functions.quotient(call)


def power(call):
    """A multiplication for a square; any other power is the exponential of a logarithm."""
    exponent = call.arrays.get(1)
    if exponent is None or np.asarray(exponent).size != 1 or float(np.asarray(exponent).reshape(())) != 2:
        return functions.power(call)
    return multiply(call._replace(inputs=(call.inputs[0],) * 2))


def relu(call):
    """A float's ReLU reads its sign; an integer's is part of the clip behind it."""
    return Counted(call.inputs[0]._replace(shape=call.shape, host=False), Tally())


def magnitude(call):
    """|x| and −x set a float's sign; of an integer a conditional negation."""
    x = call.inputs[0]._replace(host=False)
    return Counted(x, Tally() if x.kind == FLOAT else each(x, ("abs", x.bits)))


def clip(call):
    """A comparison a bound of a float; an integer's clip is part of the one behind it, and narrows codes."""
    x, bounds = (
        call.inputs[0]._replace(host=False),
        sum(given(call, i) for i in (1, 2)) or sum(k in call.node.attributes for k in ("min", "max")),
    )
    if x.kind == FLOAT:
        return Counted(x, each(x, *[("cmp", x.bits)] * bounds))
    ends = [call.arrays.get(i) for i in (1, 2)]
    if x.kind != CODE or any(end is None for end in ends):
        return Counted(x, Tally())
    low, high = (int(np.asarray(end).reshape(())) for end in ends)
    return Counted(x._replace(bits=min(x.bits, bits_for(low, max(low, high))[0])), Tally())


def leaky(call):
    """A multiplication by the slope an element, whichever sign it has."""
    x = call.inputs[0]
    return Counted(x, each(x, ("fmul", x.bits))) if x.kind == FLOAT else Counted(*scaled(x, call.rules))


def hard_sigmoid(call):
    """A multiplication, an addition and two comparisons of a float; for integers it has no cost."""
    return _float_only(call, ("fmul", "fadd", "cmp", "cmp"))


def hard_swish(call):
    """As hard_sigmoid, and a multiplication by the input."""
    return _float_only(call, ("fmul", "fadd", "cmp", "cmp", "fmul"))


def extreme(call):
    """A comparison an element and further input."""
    values = [value for value in call.inputs if value is not None]
    if len({value.kind for value in values}) > 1 or (values[0].fixed and len({value.grid for value in values}) > 1):
        call.node.fail("numbers of different kinds or grids", "one kind and grid", CostError)
    out = values[0]._replace(shape=call.shape, constant=False, host=False)
    return Counted(out, each(out, *[("cmp", out.bits)] * (len(values) - 1)))


def _sum(call, values):
    """(the sum of integers brought onto one grid, its Tally)."""
    tally, widest = Tally(), 0
    for value in values:
        wide, more = scaled(value._replace(shape=call.shape), call.rules)
        widest = max(widest, wide.bits)
        if not value.constant:
            tally += scaled(value, call.rules)[1]
    out = Value(call.shape, SCALED, widest + ceil_log2(len(values)))
    return out, tally + each(out, *[("add", out.bits)] * (len(values) - 1))


def _product(call, a, b):
    out = Value(call.shape, SUM, a.bits + b.bits)
    return out, each(out, ("mul", a.bits, b.bits))


def _offset(x, call):
    """An integer times a constant, plus a constant."""
    wide, tally = scaled(x, call.rules)
    return Counted(wide, tally + each(x, ("add", wide.bits)))


def _floating(call, values, kinds):
    """Operations of floats an element of the output, after integers among the operands became floats."""
    bits = max(value.bits for value in values if value.kind == FLOAT)
    tally = Tally()
    for value in values:
        tally += as_float(value, bits)[1]
    out = Value(call.shape, FLOAT, bits)
    return Counted(out, tally + each(out, *[(kind, bits) for kind in kinds]))


def _float_only(call, kinds):
    x = call.inputs[0]
    if x.kind != FLOAT:
        call.node.fail(f"integers of {x.bits} bits, for which it has no cost here", "floats", CostError)
    return Counted(x, each(x, *[(kind, x.bits) for kind in kinds]))
