"""A node that is to be counted, what its count gives, and what all counts read from it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from adderhw.cost.events import Tally
from adderhw.foreign.taps import Taps
from adderhw.foreign.values import FLOAT, Rules, Value, each, requantised


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
    """value: what the output holds. events: besides those of the taps. taps: of a convolution or matrix product.

    after: what makes the output a code where the node itself does it, None where another does or a layer of taps.
    """

    value: Value
    events: Tally
    taps: Taps | None = None
    after: Tally | None = None


def storage_bits(dtype):
    """Bits of an integer dtype, ONNX's 4-bit ones included."""
    return int("".join(c for c in str(dtype) if c.isdigit()))


def given(call, position):
    """Whether the node has an input at `position`."""
    return position < len(call.inputs) and call.inputs[position] is not None


def grid_at(call, position):
    """Scale and zero point as something to compare, from the inputs at `position` and behind it."""
    parts = [call.arrays.get(i) for i in (position, position + 1)]
    if parts[0] is None:
        return None
    zero = 0 if parts[1] is None else parts[1]
    return tuple(np.asarray(part, np.float64).reshape(-1).tobytes() for part in (parts[0], zero))


def times(operation, number):
    """The Tally of one operation so many times."""
    return +Tally(dict.fromkeys(each(Value((1,), FLOAT, 1), operation), number))


def rescaled_code(call, value, tally, grid):
    """The Counted of an integer value that becomes a code of the output's width, besides `tally`."""
    code, more = requantised(value, storage_bits(call.dtype), grid, call.rules)
    return Counted(code, tally, after=more)
