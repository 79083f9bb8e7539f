"""Formats, storage, rounding: against exact fractions and the truth table in docs/numerics.md."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adderhw.errors import ModelError
from adderhw.fixed import Format, Rounding, bits_for, round_shift, storage_dtype
from tests import naive

MODES = [mode.name.lower() for mode in Rounding]


@given(st.integers(-(2**61), 2**61), st.integers(0, 62), st.sampled_from(list(Rounding)))
def test_round_shift_equals_the_oracle(t, n, mode):
    assert int(round_shift(t, n, mode)) == naive.round_shift(t, n, mode.name.lower())


@given(st.integers(-(2**20), 2**20), st.integers(1, 40), st.sampled_from(list(Rounding)))
def test_round_shift_of_ties_equals_the_oracle(k, n, mode):
    tie = (2 * k + 1) << (n - 1)
    assert int(round_shift(tie, n, mode)) == naive.round_shift(tie, n, mode.name.lower())


@given(st.integers(-1000, 1000), st.integers(0, 8), st.sampled_from(MODES))
def test_the_oracle_itself_is_within_its_definition(t, n, mode):
    error = Fraction(naive.round_shift(t, n, mode)) - Fraction(t, 1 << n)
    assert -1 < error <= 0 if mode == "floor" else abs(error) <= Fraction(1, 2)


def documented_table():
    """[(t / 4, {mode: result})] of the truth table in the docs."""
    text = (Path(__file__).parent.parent / "docs" / "numerics.md").read_text().replace("−", "-")
    lines = text.split("| t / 2^n |")[1].split("\n\n")[0].splitlines()[2:]
    for line in lines:
        first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        yield Fraction(first), dict(zip(MODES, map(int, rest), strict=True))


def test_the_truth_table_in_the_docs_is_what_is_computed():
    rows = list(documented_table())
    assert len(rows) >= 12
    assert any(value < 0 and value.denominator == 2 for value, _ in rows)
    for value, expected in rows:
        for mode, result in expected.items():
            assert int(round_shift(int(value * 4), 2, Rounding.parse(mode))) == result, (value, mode)


@given(st.integers(2, 16), st.booleans())
def test_storage_is_the_smallest_that_holds_the_format(bits, signed):
    fmt = Format(bits, signed)
    assert fmt.dtype.itemsize == (1 if bits <= 8 else 2)
    assert (fmt.dtype.kind == "i") == signed
    assert bits_for(fmt.min, fmt.max) == (bits, signed)


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40))
@example(-1, 0)
@example(-8, 0)
def test_bits_for_is_the_narrowest_format(low, span):
    bits, signed = bits_for(low, low + span)
    fmt = Format(bits, signed)
    assert fmt.min <= low
    assert low + span <= fmt.max
    if bits > 1:
        narrower = Format(bits - 1, signed)
        assert low < narrower.min or low + span > narrower.max


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, False), "found 0 bits"),
        ((65, False), "found 65 bits"),
        ((8, False, float("nan")), "scale nan"),
        ((8, False, 0.0), "scale 0.0"),
        ((8, False, -1.0), "scale -1.0"),
        ((8, False, float("inf")), "scale inf"),
        ((8, False, 1.0, 256), "zero point 256"),
        ((8, True, 1.0, -129), "zero point -129"),
    ],
)
def test_a_bad_format_is_refused_with_what_was_found(arguments, words):
    with pytest.raises(ModelError, match=words):
        Format(*arguments)


def test_unknown_names_and_ranges_are_refused():
    with pytest.raises(ModelError, match=r"'up'.*floor, half_up"):
        Rounding.parse("up")
    with pytest.raises(ModelError, match="found no storage"):
        storage_dtype(0, 2**64)
    with pytest.raises(ModelError, match="expected a Rounding"):
        round_shift(np.int64(1), 1, 9)
