"""The 512-bit tiles' layout on any CPU: the same loops, with the two AVX-512 instructions spelt out in plain ones."""

from typing import NamedTuple

import numpy as np
import pytest
from llvmlite import ir
from numba import njit

from adderhw.kernels import (
    Geometry,
    adder_conv,
    compiled,
    convolution,
    integer_conv,
    pack_adder_conv,
    pack_integer_conv,
)
from tests import naive
from tests.kernels.cases import nchw, nhwc


def every(builder, vector, first, step):
    """Elements first, first + step, … of a vector."""
    indices = range(first, vector.type.count, step)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), list(indices))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def summed(builder, vector, size):
    """Sums of `size` neighbouring elements."""
    total = every(builder, vector, 0, size)
    for first in range(1, size):
        total = builder.add(total, every(builder, vector, first, size))
    return total


def sad(builder, kind, x, w):
    bytes_, words = (ir.VectorType(ir.IntType(bits), 64) for bits in (8, 16))
    x, w = (builder.zext(builder.bitcast(value, bytes_), words) for value in (x, w))
    difference, negated = builder.sub(x, w), builder.sub(w, x)
    absolute = builder.select(builder.icmp_signed(">", difference, negated), difference, negated)
    return builder.zext(summed(builder, absolute, 8), ir.VectorType(ir.IntType(64), 8))


def multiply_pairs(builder, kind, x, w):
    words, ints = (ir.VectorType(ir.IntType(bits), 32) for bits in (16, 32))
    x, w = (builder.sext(builder.bitcast(value, words), ints) for value in (x, w))
    return summed(builder, builder.mul(x, w), 2)


class EmulatedSad(NamedTuple):
    tag: int = 0
    emit = staticmethod(sad)
    unit, lane, lanes = compiled.Sad512.unit, compiled.Sad512.lane, compiled.Sad512.lanes
    positions, vectors = compiled.Sad512.positions, compiled.Sad512.vectors


class EmulatedMultiply(NamedTuple):
    tag: int = 0
    emit = staticmethod(multiply_pairs)
    unit, lane, lanes = compiled.Multiply512.unit, compiled.Multiply512.lane, compiled.Multiply512.lanes
    positions, vectors = compiled.Multiply512.positions, compiled.Multiply512.vectors


UNCACHED = njit(compiled.convolve.py_func)


@pytest.fixture
def wide(monkeypatch):
    """Makes the portable path use the emulated tiles, compiled outside the disk cache."""
    monkeypatch.setattr(compiled, "convolve", UNCACHED)
    monkeypatch.setitem(convolution.SCRATCH, EmulatedSad, convolution.SCRATCH[compiled.Sad512])
    monkeypatch.setitem(convolution.SCRATCH, EmulatedMultiply, convolution.SCRATCH[compiled.Multiply512])
    monkeypatch.setitem(convolution.ADDER_KINDS, "portable", EmulatedSad)
    monkeypatch.setitem(convolution.INTEGER_KINDS, "portable", EmulatedMultiply)


@pytest.mark.slow
@pytest.mark.parametrize(("outputs", "groups"), [(16, 1), (21, 1), (40, 1), (6, 2)])
def test_512_bit_tiles_equal_the_oracles(wide, outputs, groups):
    rng = np.random.default_rng(outputs)
    x = rng.integers(0, 256, (2, 10, 5, 4)).astype(np.uint8)
    w = rng.integers(0, 256, (outputs, 10 // groups, 3, 2)).astype(np.uint8)
    geometry = Geometry((1, 1), (1, 0, 0, 1), (1, 2), groups)
    sums = adder_conv(nhwc(x), pack_adder_conv(w, geometry, "portable"), 3)
    assert (nchw(sums) == naive.adder_conv(x, w, zero_point=3, **geometry._asdict())).all()
    products = integer_conv(nhwc(x), pack_integer_conv(w, 9, geometry, "portable"), 3)
    expected = naive.integer_conv(x, w, x_zero_point=3, w_zero_point=9, **geometry._asdict())
    assert (nchw(products) == expected).all()
