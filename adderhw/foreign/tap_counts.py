"""What convolutions and matrix products execute, with what becomes of their sums."""

from adderhw.cost.events import Tally
from adderhw.foreign.calls import Counted, given, grid_at, storage_bits
from adderhw.foreign.taps import convolution, product, transposed
from adderhw.foreign.values import CODE, FLOAT, as_float, each, requantised


def conv(call):
    """A multiplication and an addition a tap, and for a bias an addition an output (into an integer's rescaling)."""
    operands, tally = _operands(call)
    return _with_taps(call, convolution(call.node, *operands, call.shape), tally, bias=given(call, 2))


def conv_transpose(call):
    """As conv, with a tap for each input and element of its filter."""
    operands, tally = _operands(call)
    return _with_taps(call, transposed(*operands, call.shape), tally, bias=given(call, 2))


def gemm(call):
    """As conv; alpha and beta belong to the weights."""
    turned = {
        "trans_a": bool(call.node.attributes.get("transA", 0)),
        "trans_b": bool(call.node.attributes.get("transB", 0)),
    }
    operands, tally = _operands(call)
    return _with_taps(call, product(*operands, call.shape, **turned), tally, bias=given(call, 2))


def matmul(call):
    """As conv, without a bias; its matrices may both be activations."""
    operands, tally = _operands(call)
    return _with_taps(call, product(*operands, call.shape), tally, bias=False)


def qlinear_conv(call):
    """The taps of a convolution of codes, whose sums are rescaled to codes."""
    x, w = call.inputs[0], call.inputs[3]
    return _rescaled(call, *convolution(call.node, x, w, call.shape), grid=grid_at(call, 6))


def qlinear_matmul(call):
    """The taps of a product of codes, whose sums are rescaled to codes."""
    x, w = call.inputs[0], call.inputs[3]
    return _rescaled(call, *product(x, w, call.shape), grid=grid_at(call, 6))


def qgemm(call):
    """As qlinear_matmul; without an output scale the sums become floats."""
    attributes = call.node.attributes
    turned = {"trans_a": bool(attributes.get("transA", 0)), "trans_b": bool(attributes.get("transB", 0))}
    taps, value = product(call.inputs[0], call.inputs[3], call.shape, **turned)
    if given(call, 7):
        return _rescaled(call, taps, value, grid=grid_at(call, 7))
    return Counted(*as_float(value, 32), taps)


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
