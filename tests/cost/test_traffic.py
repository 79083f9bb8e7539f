"""The closed forms of every dataflow are what its loops count, and a layer counted by hand agrees."""

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adderhw.cost.accelerator import DATAFLOWS
from adderhw.cost.traffic import Layer, Mapping, traffic
from tests.cost import loop_nest

small = st.integers(1, 3)


@st.composite
def layers(draw):
    kernel, image, stride, dilation = ((draw(small), draw(small)) for _ in range(4))
    image = tuple(size + draw(st.integers(0, 4)) for size in image)
    pads = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2)]
    output = tuple((image[a] + sum(pads[a]) - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1 for a in range(2))
    assume(min(output) >= 1)
    pad = (pads[0][0], pads[1][0])
    return Layer(draw(st.integers(1, 5)), draw(small), kernel, image, output, stride, pad, dilation, draw(small))


@st.composite
def mappings(draw):
    five = st.integers(1, 5)
    return Mapping(draw(st.sampled_from(DATAFLOWS)), *(draw(five) for _ in range(5)), draw(st.booleans()))


@settings(max_examples=250, deadline=None)
@given(layers(), mappings())
def test_the_closed_forms_are_what_the_loops_count(layer, mapping):
    counted, cycles = loop_nest.run(layer, mapping)
    found = traffic(layer, mapping)
    assert +found.accesses == +counted
    assert found.cycles == cycles


def by_hand(dataflow, **changes):
    """A 3×3 layer of 2 channels on 4×4 with padding 1, 4 outputs, on a 9 × 2 array, one tile."""
    layer = Layer(4, 2, (3, 3), (4, 4), (4, 4), pad=(1, 1))
    return traffic(layer, Mapping(dataflow, 9, 2, 2, 4, 4, True)._replace(**changes))


def test_weight_stationary_by_hand():
    found = by_hand("weight_stationary")
    inside = 2 * 10 * 10  # of 3·4 taps down and across, 2 lie on padding each
    assert found.cycles == 2 * (18 + 2 * 16)
    assert found.accesses["buffer", "weights", "read"] == 72
    assert found.accesses["buffer", "activations", "read"] == inside * 2
    assert found.accesses["buffer", "partial_sums", "write"] == 64 * 2
    assert found.accesses["buffer", "partial_sums", "read"] == 64 + 64
    assert found.accesses["dram", "activations", "read"] == 32
    assert found.accesses["dram", "activations", "write"] == 64
    assert found.accesses["registers", "partial_sums", "write"] == 18 * 64


def test_output_stationary_by_hand():
    found = by_hand("output_stationary")
    assert found.cycles == 2 * 2 * 18  # 16 positions in rows of 9, 4 channels in columns of 2
    assert found.accesses["buffer", "weights", "read"] == 72 * 2
    assert found.accesses["buffer", "partial_sums", "write"] == 64
    assert found.accesses["buffer", "partial_sums", "read"] == 64


def test_row_stationary_by_hand():
    found = by_hand("row_stationary")
    assert found.cycles == 1 * 2 * 4 * 4 * 3  # 6 filter rows fit, output rows in 2 folds, 4 filters, 4 columns, S
    assert found.accesses["buffer", "weights", "read"] == 72 * 2
    assert found.accesses["buffer", "activations", "read"] == 2 * (3 + 3) * 4 * 2  # rows 0-2, 1-3; 2 groups of filters
    assert found.accesses["buffer", "partial_sums", "write"] == 64


@pytest.mark.parametrize(("weights_outer", "reads"), [(True, (2 * (3 + 3) * 4 * 2, 72)), (False, (48, 144))])
def test_the_inner_operand_is_loaded_again_for_each_outer_tile(weights_outer, reads):
    found = by_hand("weight_stationary", block=2, strip=2, weights_outer=weights_outer)
    assert (found.accesses["dram", "activations", "read"], found.accesses["dram", "weights", "read"]) == reads


def test_groups_run_one_after_the_other():
    one = Layer(2, 1, (1, 1), (2, 2), (2, 2))
    mapping = Mapping("output_stationary", 2, 2, 1, 2, 2, True)
    three = traffic(one._replace(groups=3), mapping)
    assert three.accesses == Counter({key: 3 * count for key, count in traffic(one, mapping).accesses.items()})
    assert one._replace(groups=3).taps == 3 * one.taps
