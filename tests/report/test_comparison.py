"""Each rival is held against the adder network of its own case, and losses are computed, not believed."""

import pytest

from adderhw.report.comparison import losses
from tests.report.example import document


@pytest.fixture(scope="module")
def comparison():
    return document()["comparison"]


def test_the_band_spans_all_tables(comparison):
    assert comparison["tables"] == ["horowitz45", "qtools45", "aladdin40"]
    for name, ratio in comparison["ratios"].items():
        values = ratio["by_table"].values()
        assert (ratio["band"]["low"]["value"], ratio["band"]["high"]["value"]) == (min(values), max(values)), name


def test_loaded_weights_are_held_against_loaded_and_wired_against_wired(comparison):
    assert {ratio["weights"]: ratio["over"] for ratio in comparison["ratios"].values()} == {
        "programmable": "ann",
        "hard-wired": "ann_wired",
    }


def test_the_ratio_by_hand(comparison):
    # stem and classifier: 2048 taps of mul:8 and add:21; adders 13,824 taps; requantisation as in the example
    shared = 2048 * (0.2 + 0.05 + 0.05 * 5 / 16) + comparison_requantise()
    cnn, ann = 13824 * (0.2 + 0.075) + shared, 13824 * (0.03 + 0.0325 + 0.05) + shared
    assert comparison["ratios"]["cnn"]["by_table"]["horowitz45"] == pytest.approx(cnn / ann)


def comparison_requantise():
    return document()["layers"][2]["energy_pj"]["horowitz45"]


def entry(**ratios):
    return {
        "title": "X", "weights": "programmable", "over": "ann", "by_table": ratios,
        "band": {"low": {"value": min(ratios.values())}, "high": {"value": max(ratios.values())}},
    }  # fmt: skip


def test_a_loss_names_the_tables_and_a_win_is_no_sentence():
    assert losses({"x": entry(a=1.2, b=3.0)}) == []
    (one,) = losses({"x": entry(a=0.8, b=1.5)})
    assert one == (
        "The adder network does not win against X (programmable weights), which takes 0.80 to 1.50 times its energy, "
        "under a."
    )
    (every,) = losses({"x": entry(a=0.8, b=1.0)})
    assert every.endswith("under any table.")
    assert losses({"x": {**entry(a=2.0), "by_table": {}, "band": None}}) == []
