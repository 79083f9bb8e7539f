"""JSON of others: finite numbers of 64 bits, brackets that Python can read, values of stated kinds."""

import pytest

from adderhw.errors import AdderHwError
from adderhw.json_files import fits, parse_json, read_json


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "found NaN, expected finite numbers"),
        ("[-Infinity]", "found -Infinity, expected finite numbers"),
        ("1e999", "found 1e999, expected finite numbers"),
        ("9223372036854775808", "found the whole number 9223372036854775808…, expected 64 bits"),
        ("9" * 5000, "4300"),
        ("[" * 100_000, "too many brackets inside each other"),
        ("", "Expecting value"),
    ],
)
def test_what_json_or_64_bits_cannot_hold_is_one_line(text, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AdderHwError, match="found no JSON") as error:
        read_json(path, "a table")
    assert words in str(error.value)
    assert str(error.value).endswith("expected a table")


def test_the_widest_whole_numbers_are_read():
    assert parse_json("[-9223372036854775808, 9223372036854775807, 0.5]") == [-(2**63), 2**63 - 1, 0.5]


@pytest.mark.parametrize(
    ("value", "kind", "does"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (True, float, False),
        (1.0, int, False),
        (None, (int, None), True),
        ("x", (int, None), False),
        ([1, 2], [int], True),
        ([1, "x"], [int], False),
        ({"a": 1}, {"a": int}, True),
        ({"a": 1, "b": 1}, {"a": int}, False),
        ({}, {"a": int}, False),
        ([], {"a": int}, False),
        ({}, dict, True),
    ],
)
def test_kinds(value, kind, does):
    assert fits(value, kind) is does
