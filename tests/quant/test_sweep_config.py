"""A sweep's file: every combination is a point, and each mistake is one line that names file and field."""

import pytest

from adderhw.errors import AdderHwError
from quant.sweep_config import accumulator_of, read_sweep, settings_of

GOOD = """
model = "m.onnx"
data = "digits"
limit = 8
[settings]
range = "quantile"
[axes]
bits = [8, 4]
realisation = ["multiplier", "multiplication_free"]
accumulator = ["exact", "saturate:12"]
accelerator = ["none", "eyeriss_like"]
energy = ["horowitz45", "qtools45"]
"""


def read(tmp_path, text):
    (tmp_path / "s.toml").write_text(text)
    return read_sweep(tmp_path / "s.toml")


def test_every_combination_is_a_point_and_defaults_fill_what_is_not_said(tmp_path):
    sweep = read(tmp_path, GOOD)
    points = sweep.points()
    assert (len(points), len(set(points))) == (32, 32)
    assert points[0] == (8, "multiplier", "exact", "none", "horowitz45")
    assert points[1].energy == "qtools45"
    assert (sweep.model, sweep.calibrate, sweep.split, sweep.samples) == (tmp_path / "m.onnx", "digits", "test", 256)
    assert len(read(tmp_path, 'model = "m.onnx"\ndata = "digits"').points()) == 1


def test_points_say_settings_and_accumulators(tmp_path):
    sweep = read(tmp_path, GOOD)
    last = sweep.points()[-1]
    assert settings_of(sweep.settings, last).multiplication_free
    assert settings_of(sweep.settings, last).range == "quantile"
    assert accumulator_of(last) == (12, "saturate")
    assert accumulator_of(sweep.points()[0]) == (0, "wrap")


def test_files_are_beside_the_sweep(tmp_path):
    text = GOOD.replace('"digits"', '"x.npz"').replace('"horowitz45", "qtools45"', '"mine.toml"')
    with pytest.raises(AdderHwError, match=r"mine\.toml"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('data = "digits"', "", "data: found None, expected a text"),
        ("limit = 8", "limit = 0", "limit: found 0, expected a whole number above 0"),
        ("limit = 8", "limits = 8", "limits: found an unknown field, expected only axes, calibrate"),
        ("[settings]", "[setting]", "setting: found an unknown field"),
        ('range = "quantile"', 'rnge = "max"', "settings.rnge: found an unknown field"),
        ('range = "quantile"', 'range = "mx"', "range: found 'mx', expected max or"),
        ('range = "quantile"', "bits = 8", "settings.bits: found it fixed, expected it as an axis"),
        ("bits = [8, 4]", "bits = []", "axes.bits: found [], expected a list of different values"),
        ("bits = [8, 4]", "bits = [8, 8]", "axes.bits: found [8, 8], expected a list of different values"),
        ("bits = [8, 4]", 'bits = ["8"]', "axes.bits: found '8', expected a int"),
        ("bits = [8, 4]", "bits = [8, 1]", "bits: found 1, expected 2 to 16"),
        ('"multiplication_free"', '"shifts"', "realisation: found 'shifts', expected multiplier, shift or"),
        ('"saturate:12"', '"clip:12"', "axes.accumulator: found 'clip:12', expected exact, wrap:P or saturate:P"),
        ('"saturate:12"', '"wrap:1"', "axes.accumulator: found 'wrap:1'"),
        ('"eyeriss_like"', '"eyeris"', "accelerator: found 'eyeris', expected one of"),
        ('"qtools45"', '"qtool"', "energy table: found 'qtool', expected one of"),
        ("[axes]", "[axes", "cannot read"),
    ],
)
def test_mistakes_are_one_line(tmp_path, old, new, words):
    assert old in GOOD
    with pytest.raises(AdderHwError) as error:
        read(tmp_path, GOOD.replace(old, new))
    assert str(error.value).startswith(str(tmp_path / "s.toml"))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
