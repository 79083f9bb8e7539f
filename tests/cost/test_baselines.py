"""The rivals are the same topology with other arithmetic, counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.cost.baselines import (
    ANN,
    ANN_WIRED,
    BASELINES,
    BNN,
    CNN,
    CNN_WIRED,
    FLOAT32,
    SHIFT,
    SHIFT_ADD,
    SHIFT_WIRED,
    ceil_log2,
)
from adderhw.cost.energy import energy, load_table
from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.cost.operands import Operands
from adderhw.errors import CostError


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


def operands(*weights, outputs=10):
    """A layer of `outputs` channels that all have these weights, on one pixel of x in 0 … 255."""
    weight = np.tile(np.array(weights, np.int64)[None, :, None, None], (outputs, 1, 1, 1))
    return Operands((len(weights), 1, 1), weight, (0, 255))


def test_a_shift_tap_is_a_loaded_shift_a_sign_and_an_addition():
    (layer,) = SHIFT.layers([adder()])
    assert layer.events == Tally({event("vshift", 15): 1440, event("abs", 15): 1440, event("add", 23): 1440})
    assert (layer.weight_bits, layer.accumulator_bits) == (4, 23)  # sign and k of 0 to 6; 8 + 7 + ⌈log2 144⌉
    assert layer.paper == PaperCount(add=1440)


def test_a_shift_add_layer_is_followed_by_an_adder_layer_of_its_output_channels():
    (layer,) = SHIFT_ADD.layers([adder(reduction=4)], [operands(1, 2, 3, 4)])
    shifts, adds = 40, 10 * 10  # 10 outputs of 4 taps, then 10 outputs of 10 taps
    assert layer.taps == shifts + adds
    assert layer.events == Tally(
        {
            event("vshift", 15): shifts, event("abs", 15): shifts, event("add", 17): shifts,
            event("shift", 17): 10, event("cmp", 17): 20,
            event("sub", 8): adds, event("abs", 9): adds, event("add", 12): adds,
        }
    )  # fmt: skip


def test_a_wired_product_is_the_shifts_and_adds_of_its_signed_digits():
    (layer,) = CNN_WIRED.layers([adder(reduction=4)], [operands(0, 1, 3, 255)])
    # digits 0, 1, 2 (4 − 1), 2 (256 − 1); products reach 255 · 255 (16 bits), the sum 255 · 259 (17 bits)
    assert layer.events == Tally({event("shift", 16): 50, event("add", 16): 20, event("add", 17): 30})


def test_a_wired_difference_at_an_end_of_x_is_one_addition():
    (layer,) = ANN_WIRED.layers([adder(reduction=4)], [operands(0, 1, 3, 255)])
    assert layer.events == Tally({event("sub", 8): 20, event("abs", 9): 20, event("add", 16): 40})


def test_a_wired_shift_is_wiring_and_an_addition():
    (layer,) = SHIFT_WIRED.layers([adder()], [operands(*range(144))])
    assert layer.events == Tally({event("shift", 15): 1440, event("add", 23): 1440})


def test_an_adder_network_has_one_grid_of_the_wider_operand_and_a_count_that_cannot_overflow():
    multiplied = replace(STEM, input_bits=8, weight_bits=4, inner=True)
    taken, kept = ANN.layers([multiplied, adder()])
    assert taken.events == Tally({event("sub", 8): 27, event("abs", 9): 27, event("add", 8 + 5): 27})
    assert (taken.kind, taken.input_bits, taken.weight_bits, taken.accumulator_bits) == ("adder", 8, 8, 13)
    assert taken.paper == PaperCount(add=2 * 27)
    assert kept == adder()


def test_a_layer_of_constant_shifts_stays_as_it_is_where_weights_are_wired():
    constant = replace(STEM, events=Tally({event("shift", 12): 27, event("add", 12): 27}))
    assert CNN_WIRED.layers([constant], [operands(1, 2, 3, outputs=1)]) == (constant,)


def test_a_float_network_is_float_throughout():
    requantise = LayerWork(
        "r", "Requantize", "other", (5,), 0, 0, 5, 0, 0, 0, Tally({event("mul", 9): 5}), PaperCount()
    )
    residual = LayerWork("s", "Add", "other", (5,), 0, 0, 5, 0, 0, 0, Tally({event("add", 12): 5}), PaperCount())
    layers = FLOAT32.layers([STEM, adder(), requantise, residual])
    assert [layer.events for layer in layers] == [
        Tally({event("fmul", 32): 27, event("fadd", 32): 27}),
        Tally({event("fmul", 32): 1440, event("fadd", 32): 1440}),
        Tally({event("fadd", 32): 5}),
        Tally({event("fadd", 32): 5}),
    ]


def test_every_rival_says_whether_its_weights_are_loaded_or_wired():
    assert {baseline.name: baseline.weights for baseline in BASELINES} == {
        **dict.fromkeys(("cnn", "bnn", "shift", "shift_add", "float32", "float16"), "programmable"),
        **dict.fromkeys(("ann_wired", "cnn_wired", "shift_wired"), "hard-wired"),
    }
    assert all("programmable" in b.assumptions or "hard-wired" in b.assumptions for b in BASELINES)


def test_a_layer_without_weights_is_refused_where_they_decide():
    with pytest.raises(CostError, match="layer a: found no operands, expected its geometry and weights"):
        CNN_WIRED.layers([adder()])


@given(st.integers(1, 2**40))
def test_ceil_log2_is_the_least_power_that_reaches(number):
    power = ceil_log2(number)
    assert 2**power >= number
    assert power == 0 or 2 ** (power - 1) < number
