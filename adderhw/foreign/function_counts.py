"""What ops execute whose functions no single event is: each as a stated program of float multiplications and additions.

Programs of single precision, from an IEEE 754 format's bits on: exponentials by range reduction and a polynomial of
degree 6, inverses and inverse roots by three Newton steps from a first value that one integer operation gives, the
logarithm by a polynomial of degree 8, erf as 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions, 1964.
Where the file's arithmetic is integer, codes become floats first: that is part of the count.
"""

from math import prod
from typing import NamedTuple

from adderhw.cost.events import Tally
from adderhw.errors import CostError
from adderhw.foreign.calls import Counted, times
from adderhw.foreign.values import CODE, FLOAT, Value, as_float, each

WIDE = 32  # bits of the floats in which integers are put through a function


class Program(NamedTuple):
    """Operations on floats: multiplications, additions, comparisons."""

    fmul: int = 0
    fadd: int = 0
    cmp: int = 0

    def __add__(self, other):
        return Program(*(a + b for a, b in zip(self, other, strict=True)))

    def tally(self, bits, number):
        """The Tally of the program so many times, in floats of `bits` bits."""
        return sum((times((kind, bits), count * number) for kind, count in self._asdict().items()), Tally())


MULTIPLY, ADD, COMPARE = Program(fmul=1), Program(fadd=1), Program(cmp=1)
INVERSE = Program(fmul=6, fadd=4)  # first value; three steps y·(2 − x·y)
INVERSE_ROOT = Program(fmul=10, fadd=4)  # first value, x/2; three steps y·(1.5 − x/2·y·y)
EXPONENTIAL = Program(fmul=8, fadd=10)  # n = round(x·log2 e) (two additions), x − n·ln 2, polynomial, exponent + n
LOGARITHM = Program(fmul=9, fadd=11)  # exponent and fraction, polynomial, exponent · ln 2, sum
QUOTIENT = INVERSE + MULTIPLY
ROOT = INVERSE_ROOT + MULTIPLY
SIGMOID = EXPONENTIAL + ADD + INVERSE
TANH = SIGMOID + Program(fmul=2, fadd=1)
ERF = Program(fmul=8, fadd=6) + INVERSE + EXPONENTIAL  # t = 1/(1 + p·|x|), polynomial in t, exp(−x·x), 1 − product
ROUND = Program(fadd=2)  # a large number is added and taken away
POWER = LOGARITHM + MULTIPLY + EXPONENTIAL
SOFTPLUS = EXPONENTIAL + ADD + LOGARITHM
ELU = EXPONENTIAL + Program(fmul=1, fadd=1)

ELEMENTWISE = {
    "Exp": EXPONENTIAL,
    "Log": LOGARITHM,
    "Sqrt": ROOT,
    "Reciprocal": INVERSE,
    "Sigmoid": SIGMOID,
    "Tanh": TANH,
    "Erf": ERF,
    "Gelu": ERF + Program(fmul=3, fadd=1),
    "Softplus": SOFTPLUS,
    "Softsign": ADD + QUOTIENT,
    "Mish": SOFTPLUS + TANH + MULTIPLY,
    "Swish": SIGMOID + Program(fmul=2),
    "Elu": ELU,
    "Celu": ELU + MULTIPLY,
    "Selu": ELU + MULTIPLY,
    "Floor": ROUND,
    "Ceil": ROUND,
    "Round": ROUND,
}
"""Op → its Program an element."""


def elementwise(call):
    """The op's program an element."""
    return _counted(call, ELEMENTWISE[call.node.op], call.inputs[0].elements)


def power(call):
    """exp(y · log x) an element."""
    return _counted(call, POWER, prod(call.shape))


def quotient(call):
    """An inverse and a multiplication an element of the output."""
    return _counted(call, QUOTIENT, prod(call.shape), inputs=2)


def softmax(call):
    """The largest taken away, an exponential, the sum, its inverse a row and a multiplication an element."""
    element = Program(fmul=1, fadd=2, cmp=1) + EXPONENTIAL
    return _counted(call, element, call.inputs[0].elements, INVERSE, _rows(call))


def log_softmax(call):
    """As softmax, with the logarithm of the sum taken away in place of a multiplication by its inverse."""
    element = Program(fadd=3, cmp=1) + EXPONENTIAL
    return _counted(call, element, call.inputs[0].elements, LOGARITHM, _rows(call))


def layer_norm(call):
    """Mean, deviation and square, their mean, an inverse root a row; scale and offset an element."""
    return _normalised(call, _rows(call, first=True))


def instance_norm(call):
    """As layer_norm, a row being a channel's image."""
    return _normalised(call, prod(call.shape[:2]))


def group_norm(call):
    """As layer_norm, a row being a group of channels."""
    return _normalised(call, call.shape[0] * int(call.node.attributes["num_groups"]))


def root_mean_square_norm(call):
    """As layer_norm without the mean and the offset."""
    row = Program(fmul=1, fadd=1) + INVERSE_ROOT
    return _counted(call, Program(fmul=3, fadd=1), call.inputs[0].elements, row, _rows(call, first=True))


def response_norm(call):
    """A square, the sum of `size` of them, its power and a quotient an element."""
    size = int(call.node.attributes["size"])
    element = Program(fmul=2, fadd=size) + POWER + QUOTIENT
    return _counted(call, element, call.inputs[0].elements)


def largest(call):
    """A comparison an element and number that is sought, as a selection has it: an upper bound."""
    x, sought = call.inputs[0], 1
    if call.node.op == "TopK":
        sought = max(1, call.shape[call.node.attributes.get("axis", -1)])
    value = x._replace(shape=call.shape, host=False, constant=False)
    return Counted(value, times(("cmp", x.bits), sought * x.elements))


def chosen(call):
    """A comparison of one bit an element: what chooses one of two numbers."""
    values = call.inputs[1:3]
    if len({value.kind for value in values}) > 1:
        call.node.fail("floats beside integers", "one kind of numbers", CostError)
    widest = max(values, key=lambda value: value.bits)
    out = Value(call.shape, widest.kind, widest.bits)
    return Counted(out, each(out, ("cmp", 1)))


def compared(call):
    """A comparison an element, which gives one bit."""
    values = [value for value in call.inputs if value is not None]
    out = Value(call.shape, CODE, 1)
    return Counted(out, times(("cmp", max(value.bits for value in values)), prod(call.shape)))


def _normalised(call, rows):
    row = Program(fmul=2, fadd=1) + INVERSE_ROOT
    return _counted(call, Program(fmul=3, fadd=4), call.inputs[0].elements, row, rows)


def _rows(call, *, first=False):
    """How many rows a function of rows has: along one axis, or (first) from that axis to the last."""
    shape = call.inputs[0].shape
    axis = int(call.node.attributes.get("axis", -1)) % len(shape)
    return prod(shape) // (prod(shape[axis:]) if first else shape[axis])


def _counted(call, program, number, row=None, rows=0, inputs=1):
    """The Counted of a program an element and one a row; integers become floats before."""
    values = [value for value in call.inputs[:inputs] if value is not None]
    bits = max((value.bits for value in values if value.kind == FLOAT), default=WIDE)
    tally = sum((as_float(value, bits)[1] for value in values), Tally()) + program.tally(bits, number)
    if row is not None:
        tally += row.tally(bits, rows)
    out = Value(call.shape, FLOAT, bits)
    if call.rules.bits is None or not any(value.fixed for value in values):
        return Counted(out, tally)
    code = Value(call.shape, CODE, call.rules.bits)
    return Counted(code, tally + each(out, ("fmul", bits), ("fadd", bits), *[("cmp", bits)] * 2))
