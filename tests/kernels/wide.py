"""The 512-bit tiles on any CPU: the same loops and layout, their AVX-512 instructions spelt out in plain ones."""

from contextlib import contextmanager

import numba
import pytest
from llvmlite import ir

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


def widened(builder, value, bits, wide, signed=False):
    """A vector's bits as integers of `bits` bits, each widened to `wide`."""
    count = value.type.count * value.type.element.width // bits
    narrow, lanes = (ir.VectorType(ir.IntType(size), count) for size in (bits, wide))
    extend = builder.sext if signed else builder.zext
    return extend(builder.bitcast(value, narrow), lanes)


def sad(builder, kind, total, x, w):
    x, w = (widened(builder, value, 8, 16) for value in (x, w))
    difference, negated = builder.sub(x, w), builder.sub(w, x)
    absolute = builder.select(builder.icmp_signed(">", difference, negated), difference, negated)
    return builder.add(total, builder.zext(summed(builder, absolute, 8), total.type))


def twice_the_larger(builder, kind, total, x, w):
    x, w = (widened(builder, value, 8, 32) for value in (x, w))
    larger = summed(builder, builder.select(builder.icmp_signed(">", x, w), x, w), 4)
    return builder.add(total, builder.add(larger, larger))


def multiply_bytes(builder, kind, total, x, w):
    x, w = widened(builder, x, 8, 32), widened(builder, w, 8, 32, signed=True)
    return builder.add(total, summed(builder, builder.mul(x, w), 4))


def multiply_pairs(builder, kind, total, x, w):
    x, w = (widened(builder, value, 16, 32, signed=True) for value in (x, w))
    return builder.add(total, summed(builder, builder.mul(x, w), 2))


class EmulatedSad(compiled.Sad512):
    accumulate = staticmethod(sad)


class EmulatedMax(compiled.Max512):
    accumulate = staticmethod(twice_the_larger)


class EmulatedDot(compiled.Dot512):
    accumulate = staticmethod(multiply_bytes)


class EmulatedMultiply(compiled.Multiply512):
    accumulate = staticmethod(multiply_pairs)


def uncached(signature, cache):
    """numba.cfunc without the disk cache, which would not notice a change of this file."""
    return numba.cfunc(signature)


@contextmanager
def emulated_avx512(vnni):
    """Inside, the path 'portable' runs the tiles of 'avx512', or with `vnni` of 'vnni'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "cfunc", uncached)
        patch.setitem(convolution.ADDER_KINDS, "portable", EmulatedSad)
        patch.setitem(convolution.INTEGER_KINDS, "portable", EmulatedMultiply)
        if vnni:
            patch.setitem(convolution.WIDE_ADDER_KINDS, "portable", EmulatedMax)
            patch.setitem(convolution.BYTE_KINDS, "portable", EmulatedDot)
        yield
