"""What hardware does a product by a constant: a multiplier, one shift, or shifts and adds by its signed digits."""

import numpy as np

from adderhw.ops.base import Attribute

REALISATION = Attribute("string", "multiplier")


def realisation(node):
    """('multiplier' | 'shift' | 'shift_add', K); raises ModelError for another text."""
    kind, _, digits = node.attributes["realisation"].partition(":")
    if kind in ("multiplier", "shift") and not digits:
        return kind, 1
    if kind == "shift_add" and digits.isascii() and digits.isdigit() and int(digits) >= 1:
        return kind, int(digits)
    return node.fail(f"realisation {node.attributes['realisation']!r}", "'multiplier', 'shift' or 'shift_add:K'")


def signed_digits(value):
    """How many non-zero digits `value` has in canonical signed digit form (Reitwiesner 1960)."""
    value = abs(int(value))
    return (value ^ (3 * value)).bit_count()


def signed_digit_counts(constants):
    """{constant: (its signed digits, how often it occurs)} of an integer array."""
    values, counts = np.unique(constants, return_counts=True)
    return {int(v): (signed_digits(v), int(count)) for v, count in zip(values, counts, strict=True)}


def check_realisation(node, constants, what):
    """Checks that every constant has no more signed digits than the node's realisation allows."""
    kind, limit = realisation(node)
    if kind == "multiplier":
        return
    most = max(digits for digits, _ in signed_digit_counts(constants).values())
    if most > limit:
        node.fail(f"a {what} with {most} signed digits", f"at most {limit} for realisation {kind}")
