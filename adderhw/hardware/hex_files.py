"""Arrays of integers as text for $readmemh: one two's-complement number a line, and the signed digits of constants."""

import numpy as np


def hex_text(values, bits):
    """One line for each element of the integer array `values` in C order, two's complement of `bits` bits."""
    width, mask = -(-bits // 4), (1 << bits) - 1
    return "".join([f"{value & mask:0{width}x}\n" for value in np.asarray(values).reshape(-1).tolist()])


def digit_codes(multiplier, digits):
    """`digits` bytes, the first the lowest, for the canonical signed digits of an integer (Reitwiesner 1960).

    A byte is 128 + 64·(negative) + exponent, or 0 for a digit that is not used.
    """
    codes, rest, exponent = 0, int(multiplier), 0
    position = 0
    while rest:
        if rest & 1:
            digit = 2 - (rest & 3)
            codes |= (0x80 | (0x40 if digit < 0 else 0) | exponent) << (8 * position)
            position += 1
            rest -= digit
        rest >>= 1
        exponent += 1
    if position > digits:
        raise ValueError(f"{multiplier} has {position} signed digits, expected at most {digits}")
    return codes
