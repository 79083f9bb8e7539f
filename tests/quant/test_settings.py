"""Settings refuse what lies outside their range, in one line."""

import json

import pytest

from adderhw.errors import AdderHwError
from quant import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bits", 1),
        ("bits", 17),
        ("edge_bits", 1),
        ("range", "minmax"),
        ("quantile", 0.3),
        ("quantile", float("nan")),
        ("guard_bits", -1),
        ("multiplier_bits", 2),
        ("realisation", "shift_add"),
        ("realisation", "shift_add:0"),
        ("rounding", "up"),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(AdderHwError, match=f"{name}: found"):
        Settings(**{name: value})


def test_settings_travel_as_json():
    assert json.loads(Settings(bits=5).json())["bits"] == 5


def test_signed_digits_follow_the_realisation():
    found = [Settings(realisation=text).signed_digits for text in ("multiplier", "shift", "shift_add:3")]
    assert found == [None, 1, 3]


def test_the_default_quantile_follows_the_width():
    found = [Settings(bits=bits).quantile for bits in (2, 4, 5, 7, 8, 9, 16)]
    assert found == [0.999, 0.999, 0.9997, 0.9997, 0.9999, 1, 1]
    assert Settings(bits=4, quantile=0.5001).quantile == 0.5001
