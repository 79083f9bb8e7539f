"""Numbers read as people write them."""

import pytest

from adderhw.report.figures import count_text, energy_text, multiplications, percent_text, ratio_text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (16384, "16,384"), (40813184, "40.81 M"), (269722, "269.72 k"), (1.8e9, "1.80 G")]
)
def test_counts(number, text):
    assert count_text(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0.00 pJ"), (7.56e6, "7.56 µJ"), (999, "999.00 pJ"), (2e9, "2.00 mJ")]
)
def test_energies(number, text):
    assert energy_text(number) == text


def test_ratios_percentages_and_multiplications():
    assert (ratio_text(4.309), ratio_text(None)) == ("4.31 ×", "no ratio")
    assert percent_text(0.9234) == "92.34 %"
    assert multiplications({"mul:8": 3, "mul:18x13": 4, "add:8": 5}) == 7
