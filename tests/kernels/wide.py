"""The 512-bit tiles on any CPU: the same loops and layout, the two AVX-512 instructions spelt out in plain ones."""

from contextlib import contextmanager
from typing import NamedTuple

import pytest
from llvmlite import ir
from numba import njit

from adderhw.kernels import compiled, convolution


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


@contextmanager
def emulated_avx512():
    """Inside, the path 'portable' runs the 512-bit tiles, compiled outside the disk cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "convolve", UNCACHED)
        patch.setitem(convolution.SCRATCH, EmulatedSad, convolution.SCRATCH[compiled.Sad512])
        patch.setitem(convolution.SCRATCH, EmulatedMultiply, convolution.SCRATCH[compiled.Multiply512])
        patch.setitem(convolution.ADDER_KINDS, "portable", EmulatedSad)
        patch.setitem(convolution.INTEGER_KINDS, "portable", EmulatedMultiply)
        yield
