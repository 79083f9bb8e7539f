"""Settings refuse what lies outside their range, in one line."""

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
        ("weight_realisation", "shift_add:x"),
        ("max_error", 0.0),
        ("max_error", float("inf")),
        ("max_error", float("nan")),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(AdderHwError, match=f"{name}: found"):
        Settings(**{name: value})


def test_signed_digits_follow_the_realisation():
    found = [Settings(realisation=text).signed_digits for text in ("multiplier", "shift", "shift_add:3")]
    assert found == [None, 1, 3]


def test_the_multiplication_free_preset_leaves_no_multiplier():
    preset = Settings(multiplication_free=True)
    assert None not in (preset.signed_digits, preset.weight_digits, preset.max_error)
    assert preset.multiplier_bits == 14
    wide = Settings(bits=16, multiplication_free=True)
    assert (wide.multiplier_bits, wide.signed_digits) == (22, 11)


def test_the_multiplication_free_preset_keeps_what_is_already_free():
    kept = Settings(realisation="shift_add:2", weight_realisation="shift", multiplication_free=True)
    assert (kept.realisation, kept.weight_realisation, kept.max_error) == ("shift_add:2", "shift", None)
    assert Settings(max_error=0.1, multiplication_free=True).max_error == 0.1


def test_the_default_quantile_follows_the_width():
    found = [Settings(bits=bits).quantile for bits in (2, 4, 5, 7, 8, 9, 16)]
    assert found == [0.999, 0.999, 0.9997, 0.9997, 0.9999, 1, 1]
    assert Settings(bits=4, quantile=0.5001).quantile == 0.5001


def test_the_default_range_follows_the_width():
    assert [Settings(bits=bits).range for bits in (2, 7, 8, 16)] == ["regions", "regions", "error", "error"]
    assert Settings(bits=2, range="max").range == "max"


@pytest.mark.parametrize("bits", [4, 8])
def test_a_tensor_of_another_width_has_the_range_of_that_width_unless_one_is_stated(bits):
    found = {width: Settings(bits=bits).at_width(width) for width in (3, 7, 8, 16)}
    assert found == {width: Settings(bits=width) for width in found}
    assert [each for each in found if Settings(bits=bits).by_regions(each)] == [3, 7]
    other = {"error": "regions", "regions": "error"}[Settings(bits=bits).range]
    for stated in (other, "max", "divergence"):
        settings = Settings(bits=bits, range=stated)
        assert {settings.at_width(each).range for each in found} == {stated}
        expected = {"regions": list(found), "divergence": [3, 7]}.get(stated, [])
        assert [each for each in found if settings.by_regions(each)] == expected


@pytest.mark.parametrize("name", ["max", "quantile", "divergence"])
def test_groups_of_filters_want_a_range_by_layers(name):
    with pytest.raises(AdderHwError, match="expected error or regions"):
        Settings(range=name, filter_groups=2)
