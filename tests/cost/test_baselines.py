"""The CNN and the binary network are the same topology with other arithmetic, counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.cost.baselines import BNN, CNN, ceil_log2
from adderhw.cost.energy import energy, load_table
from adderhw.cost.events import LayerWork, PaperCount, Tally, event


def adder(bits=8, reduction=144, outputs=10):
    taps = reduction * outputs
    events = Tally({event("sub", bits): taps, event("abs", bits + 1): taps, event("add", 16): taps})
    paper = PaperCount(add=2 * taps)
    return LayerWork(
        "a", "AdderConvInteger", "adder", (outputs,), taps, reduction, outputs, bits, bits, 16, events, paper
    )


STEM = LayerWork(
    "stem", "ConvInteger", "mac", (1,), 27, 27, 1, 8, 8, 21, Tally({event("mul", 8): 27}), PaperCount(27, 27)
)


def test_the_cnn_multiplies_at_the_operand_widths_and_adds_without_overflow():
    (layer,) = CNN.layers([adder()])
    assert layer.events == Tally({event("mul", 8): 1440, event("add", 16 + 8): 1440})
    assert layer.paper == PaperCount(mul=1440, add=1440)
    assert layer.accumulator_bits == 24


def test_the_binary_network_counts_equal_bits():
    (layer,) = BNN.layers([adder()])
    assert layer.events == Tally({event("xnor", 1): 1440, event("add", 8): 1440})
    assert layer.paper == PaperCount(xnor=1440)


@pytest.mark.parametrize("baseline", [CNN, BNN])
def test_other_layers_stay_as_they_are(baseline):
    assert baseline.layers([STEM, adder(), STEM])[::2] == (STEM, STEM)


def test_a_multiplying_tap_costs_what_the_table_says():
    table = load_table("horowitz45")
    (layer,) = CNN.layers([adder()])
    assert energy(layer.events, table) == pytest.approx(1440 * (0.2 + 0.075))
    assert energy(adder().events, table) == pytest.approx(1440 * (0.03 + 0.0325 + 0.05))


@given(st.integers(1, 2**40))
def test_ceil_log2_is_the_least_power_that_reaches(number):
    power = ceil_log2(number)
    assert 2**power >= number
    assert power == 0 or 2 ** (power - 1) < number
