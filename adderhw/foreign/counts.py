"""What each ONNX op executes, as events; an op that is not in COUNTS has no cost and is refused by name."""

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from adderhw.cost.baselines import ceil_log2
from adderhw.cost.events import Tally
from adderhw.errors import CostError
from adderhw.foreign.taps import Taps, convolution, product
from adderhw.foreign.values import (
    CODE,
    FLOAT,
    SCALED,
    SUM,
    Rules,
    Value,
    arithmetic,
    as_float,
    each,
    requantised,
    scaled,
)
from adderhw.ops.pooling import window_sizes


class Call(NamedTuple):
    """A node to be counted: inputs are its Values (None where left out), arrays its constant inputs by position.

    folded: a layer of taps right before it takes it in (batch norm, bias). merged: a batch norm behind it does so.
    """

    node: Any
    inputs: tuple[Value | None, ...]
    shape: tuple[int, ...]
    dtype: np.dtype | None
    arrays: Mapping[int, np.ndarray]
    rules: Rules
    folded: bool = False
    merged: bool = False


class Counted(NamedTuple):
    """value: what the output holds. events: besides those of the taps. taps: of a convolution or matrix product."""

    value: Value
    events: Tally
    taps: Taps | None = None


def count(call):
    """The Counted of one node; raises CostError, naming it, where its op has no cost."""
    known = COUNTS.get((call.node.domain, call.node.op))
    if known is None:
        names = ", ".join(sorted({op for _, op in COUNTS}))
        domain = call.node.domain or "ai.onnx"
        call.node.fail(f"op {domain}::{call.node.op}, which has no cost here", f"one of {names}", CostError)
    return known(call)


def wiring(call):
    """The same numbers in another place or shape: no event."""
    if call.node.op == "Gather" and not call.inputs[1].constant:
        call.node.fail("indices that the network computes, which have no cost here", "constant ones", CostError)
    moved = [value for value in call.inputs if value is not None and not value.constant] or call.inputs[:1]
    first = moved[0]
    grids = {value.grid for value in moved}
    if len({value.kind for value in moved}) > 1:
        call.node.fail("floats beside integers", "one kind of numbers", CostError)
    value = first._replace(
        shape=call.shape, bits=max(value.bits for value in moved), grid=grids.pop() if len(grids) == 1 else None,
        host=all(value.host for value in moved),
    )  # fmt: skip
    return Counted(value, Tally())


def conv(call):
    """A multiplication and an addition a tap, and for a bias an addition an output (into an integer's rescaling)."""
    operands, tally = _operands(call)
    return _with_taps(call, convolution(call.node, *operands, call.shape), tally, bias=_given(call, 2))


def gemm(call):
    """As conv; alpha and beta belong to the weights."""
    turned = {
        "trans_a": bool(call.node.attributes.get("transA", 0)),
        "trans_b": bool(call.node.attributes.get("transB", 0)),
    }
    operands, tally = _operands(call)
    return _with_taps(call, product(*operands, call.shape, **turned), tally, bias=_given(call, 2))


def matmul(call):
    """As conv, without a bias; its matrices may both be activations."""
    operands, tally = _operands(call)
    return _with_taps(call, product(*operands, call.shape), tally, bias=False)


def qlinear_conv(call):
    """The taps of a convolution of codes, whose sums are rescaled to codes."""
    x, w = call.inputs[0], call.inputs[3]
    return _rescaled(call, *convolution(call.node, x, w, call.shape), grid=_grid(call, 6))


def qlinear_matmul(call):
    """The taps of a product of codes, whose sums are rescaled to codes."""
    x, w = call.inputs[0], call.inputs[3]
    return _rescaled(call, *product(x, w, call.shape), grid=_grid(call, 6))


def qgemm(call):
    """As qlinear_matmul; without an output scale the sums become floats."""
    attributes = call.node.attributes
    turned = {"trans_a": bool(attributes.get("transA", 0)), "trans_b": bool(attributes.get("transB", 0))}
    taps, value = product(call.inputs[0], call.inputs[3], call.shape, **turned)
    if _given(call, 7):
        return _rescaled(call, taps, value, grid=_grid(call, 7))
    return Counted(*as_float(value, 32), taps)


def qlinear_add(call):
    """Both codes times their scales over the output's, added, and rounded to a code."""
    value, tally = _sum(call, (call.inputs[0], call.inputs[3]))
    return _code(call, value, tally, _grid(call, 6))


def qlinear_mul(call):
    """The product of two codes, rescaled to a code."""
    value, tally = _product(call, call.inputs[0], call.inputs[3])
    return _code(call, value, tally, _grid(call, 6))


def qlinear_pool(call):
    """The sum of each window of codes, rescaled to a code."""
    pooled = average_pool(call)
    return _code(call, pooled.value, pooled.events, _grid(call, 3))


def qlinear_concat(call):
    """Codes side by side; those on another grid than the output's are rescaled."""
    out, tally = _grid(call, 0), Tally()
    for i in range(2, len(call.inputs), 3):
        if _grid(call, i + 1) != out:
            tally += requantised(call.inputs[i], call.inputs[i].bits, out, call.rules)[1]
    return Counted(call.inputs[2]._replace(shape=call.shape, grid=out), tally)


def quantise(call):
    """Codes of floats: a multiplication, a rounding addition and two comparisons; of integers: their rescaling.

    What the host feeds or what is constant is quantised before the network runs; codes on that grid already are free.
    """
    x, bits, grid = call.inputs[0], storage_bits(call.dtype), _grid(call, 1)
    done = Value(call.shape, CODE, bits, grid, x.constant, x.host)
    if x.constant or x.host or (x.kind == CODE and x.grid == grid and x.bits == bits):
        return Counted(done, Tally())
    if x.kind == FLOAT:
        return Counted(done, each(x, ("fmul", x.bits), ("fadd", x.bits), *[("cmp", x.bits)] * 2))
    return Counted(*requantised(x, bits, grid, call.rules))


def dequantise(call):
    """The codes with their grid: what reads them says what arithmetic they enter."""
    x = call.inputs[0]
    return Counted(x._replace(grid=_grid(call, 1)), Tally())


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
    """A multiplication by the inverse of a constant; division by anything else has no cost."""
    if not call.inputs[1].constant:
        call.node.fail("a division by what the network computes, which has no cost here", "a constant", CostError)
    return multiply(call)


def power(call):
    """A multiplication for a square; other powers have no cost."""
    exponent = call.arrays.get(1)
    if exponent is None or np.asarray(exponent).size != 1 or float(np.asarray(exponent).reshape(())) != 2:
        call.node.fail("a power that is no square, which has no cost here", "the constant exponent 2", CostError)
    return multiply(call._replace(inputs=(call.inputs[0],) * 2))


def relu(call):
    """A float's ReLU reads its sign; an integer's is part of the clip behind it."""
    return Counted(call.inputs[0]._replace(shape=call.shape), Tally())


def magnitude(call):
    """|x| and −x set a float's sign; of an integer a conditional negation."""
    x = call.inputs[0]
    return Counted(x, Tally() if x.kind == FLOAT else each(x, ("abs", x.bits)))


def clip(call):
    """A comparison a bound of a float; an integer's clip is part of the one behind it."""
    x, bounds = (
        call.inputs[0],
        sum(_given(call, i) for i in (1, 2)) or sum(k in call.node.attributes for k in ("min", "max")),
    )
    return Counted(x, each(x, *[("cmp", x.bits)] * bounds) if x.kind == FLOAT else Tally())


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


def max_pool(call):
    """A comparison less than there are elements inside each window, padding left out."""
    x = call.inputs[0]
    inside = _window(call, padded=False)
    tally = Tally()
    if inside > prod(call.shape):
        tally = _times(("cmp", x.bits), inside - prod(call.shape))
    return Counted(x._replace(shape=call.shape, host=False), tally)


def average_pool(call):
    """An addition an element of each window, and of floats a multiplication an output."""
    return _average(call, _window(call, padded=bool(call.node.attributes.get("count_include_pad", 0))))


def reduce_mean(call):
    """As average_pool, over whole axes."""
    return _average(call, call.inputs[0].elements)


def reduce_sum(call):
    """An addition an element."""
    x = call.inputs[0]
    area = max(x.elements // prod(call.shape), 1)
    if x.kind == FLOAT:
        return Counted(x._replace(shape=call.shape, host=False), _times(("fadd", x.bits), x.elements))
    value = _summed(x, call.shape, area)
    return Counted(value, _times(("add", value.bits), x.elements))


def reduce_extreme(call):
    """A comparison less than there are elements in each window."""
    x = call.inputs[0]
    return Counted(x._replace(shape=call.shape, host=False), _times(("cmp", x.bits), x.elements - prod(call.shape)))


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


def resize(call):
    """Nearest neighbours are wiring; any interpolation has no cost."""
    mode = call.node.attributes.get("mode", "nearest")
    if mode != "nearest":
        call.node.fail(f"mode {mode!r}, which has no cost here", "'nearest'", CostError)
    return wiring(call._replace(inputs=call.inputs[:1]))


def storage_bits(dtype):
    """Bits of an integer dtype, ONNX's 4-bit ones included."""
    return int("".join(c for c in str(dtype) if c.isdigit()))


def _operands(call):
    """((x, w), Tally): what is multiplied; where either is no code or constant, both are floats."""
    values = call.inputs[:2]
    if all(value.kind == CODE or (value.fixed and value.constant) for value in values):
        return values, Tally()
    bits = max((value.bits for value in values if value.kind == FLOAT), default=32)
    converted = [as_float(value, bits) for value in values]
    return tuple(value for value, _ in converted), sum((tally for _, tally in converted), Tally())


def _with_taps(call, counted, tally, bias):
    """Sums as they are; a float's bias is an addition an output, unless a batch norm behind it takes it in."""
    taps, value = counted
    if taps.floating and bias and not call.merged:
        tally += each(value, ("fadd", value.bits))
    return Counted(value, tally, taps)


def _rescaled(call, taps, value, grid):
    code, tally = requantised(value, storage_bits(call.dtype), grid, call.rules)
    return Counted(code, tally, taps)


def _code(call, value, tally, grid):
    code, more = requantised(value, storage_bits(call.dtype), grid, call.rules)
    return Counted(code, tally + more)


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


def _average(call, inside):
    x, outputs = call.inputs[0], prod(call.shape)
    if x.kind == FLOAT:
        tally = _times(("fadd", x.bits), inside) + _times(("fmul", x.bits), outputs)
        return Counted(x._replace(shape=call.shape, host=False), tally)
    value = _summed(x, call.shape, -(-inside // outputs))
    return Counted(value, _times(("add", value.bits), inside))


def _summed(x, shape, area):
    return Value(shape, SUM if x.kind == CODE else x.kind, x.bits + ceil_log2(area))


def _times(operation, number):
    """The Tally of one operation so many times."""
    return +Tally(dict.fromkeys(each(Value((1,), FLOAT, 1), operation), number))


def _window(call, padded):
    """How many elements all windows of a pool read; a global pool's window is the image."""
    x, attributes = call.inputs[0], call.node.attributes
    if "kernel_shape" not in attributes:
        return x.elements
    kernel, axes = attributes["kernel_shape"], len(attributes["kernel_shape"])
    strides = attributes.get("strides", (1,) * axes)
    dilated = any(step != 1 for step in attributes.get("dilations", (1,) * axes))
    exact = attributes.get("auto_pad", "NOTSET") == "NOTSET" and not dilated
    if padded or not exact:
        return prod(call.shape) * prod(kernel)  # an upper bound where pads are not stated as numbers
    pads = attributes.get("pads", (0,) * (2 * axes))
    inside = [
        int(window_sizes(x.shape[2 + d], kernel[d], strides[d], pads[d], call.shape[2 + d]).sum()) for d in range(axes)
    ]
    return prod(call.shape[:2]) * prod(inside)


def _given(call, position):
    return position < len(call.inputs) and call.inputs[position] is not None


def _grid(call, position):
    """Scale and zero point as something to compare, from the inputs at `position` and behind it."""
    parts = [call.arrays.get(i) for i in (position, position + 1)]
    if parts[0] is None:
        return None
    zero = 0 if parts[1] is None else parts[1]
    return tuple(np.asarray(part, np.float64).reshape(-1).tobytes() for part in (parts[0], zero))


_WIRING = (
    *("Identity", "Dropout", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice"),
    *("Gather", "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth"),
)
_STANDARD = {
    **dict.fromkeys(_WIRING, wiring),
    "Conv": conv, "ConvInteger": conv, "Gemm": gemm, "MatMul": matmul, "MatMulInteger": matmul,
    "QLinearConv": qlinear_conv, "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantise, "DequantizeLinear": dequantise, "Cast": cast,
    "BatchNormalization": batch_norm, "Add": add, "Sub": add, "Sum": add, "Mul": multiply, "Div": divide, "Pow": power,
    "Relu": relu, "Neg": magnitude, "Abs": magnitude, "Clip": clip, "LeakyRelu": leaky, "PRelu": leaky,
    "HardSigmoid": hard_sigmoid, "HardSwish": hard_swish, "Min": extreme, "Max": extreme,
    "MaxPool": max_pool, "GlobalMaxPool": max_pool, "AveragePool": average_pool, "GlobalAveragePool": average_pool,
    "ReduceMean": reduce_mean, "ReduceSum": reduce_sum, "ReduceMax": reduce_extreme, "ReduceMin": reduce_extreme,
    "Resize": resize, "Upsample": resize,
}  # fmt: skip
_MICROSOFT = {
    "QLinearAdd": qlinear_add, "QLinearMul": qlinear_mul, "QGemm": qgemm, "QLinearConcat": qlinear_concat,
    "QLinearGlobalAveragePool": qlinear_pool, "QLinearAveragePool": qlinear_pool,
    "QuantizeLinear": quantise, "DequantizeLinear": dequantise,
}  # fmt: skip
COUNTS = {("", op): function for op, function in _STANDARD.items()}
COUNTS |= {("com.microsoft", op): function for op, function in _MICROSOFT.items()}
