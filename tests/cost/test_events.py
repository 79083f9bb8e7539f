"""Events parse what they print, refuse what is not hardware, and their tallies add."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.cost.events import (
    KIND_MEANING,
    KINDS,
    Event,
    LayerWork,
    PaperCount,
    Tally,
    event,
    tally_by_name,
)
from adderhw.errors import CostError

widths = st.integers(1, 64)
events = st.one_of(
    st.builds(event, st.sampled_from(KINDS), widths),
    st.builds(event, st.just("mul"), widths, widths),
)
tallies = st.dictionaries(events, st.integers(1, 10**12)).map(Counter)


@given(events)
def test_an_event_parses_back_from_its_text(one):
    assert Event.parse(str(one)) == one


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (event("add", 8), "add:8"),
        (event("mul", 18, 13), "mul:18x13"),
        (event("mul", 8, 8), "mul:8"),
        (Event("mul", (8, 8)), "mul:8"),
    ],
)
def test_events_print_as_kind_and_bits(made, text):
    assert str(made) == text


@pytest.mark.parametrize(
    ("kind", "bits", "message"),
    [
        (
            "div",
            (8,),
            "event: found kind 'div', expected one of add, sub, abs, mul, shift, cmp, xnor, vshift, fadd, fmul",
        ),
        ("add", (0,), "event add: found 0 bits, expected 1 to 64"),
        ("mul", (8, 65), "event mul: found 65 bits, expected 1 to 64"),
        ("add", (8, 9), "event add: found 2 widths, expected 1"),
        ("mul", (), "event mul: found 0 widths, expected 1 or 2"),
        ("add", (True,), "event add: found True bits, expected 1 to 64"),
    ],
)
def test_an_impossible_event_is_refused_with_what_was_found(kind, bits, message):
    with pytest.raises(CostError) as error:
        event(kind, *bits)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["add", "add:", "add:x", "add:-1", "add:8.0", "", "mul:8x", "add: 8"])
def test_text_that_is_no_event_is_refused(text):
    with pytest.raises(CostError, match=r"event: found .*, expected kind:bits such as 'add:8'"):
        Event.parse(text)


def test_every_kind_says_what_hardware_it_is():
    assert set(KIND_MEANING) == set(KINDS)


@given(tallies, tallies)
def test_tallies_add_event_by_event(one, two):
    total = tally_by_name(one + two)
    for name in tally_by_name(one) | tally_by_name(two):
        assert total[name] == tally_by_name(one).get(name, 0) + tally_by_name(two).get(name, 0)


def test_both_spellings_of_a_square_multiplier_are_one_name():
    assert tally_by_name(Tally({Event("mul", (8, 8)): 2, Event("mul", (8,)): 3})) == {"mul:8": 5}


def test_a_negative_count_is_refused():
    with pytest.raises(CostError, match="event add:8: found a count of -1, expected 0 or more"):
        tally_by_name(Tally({event("add", 8): -1}))


def test_paper_counts_add():
    assert PaperCount(1, 2, 3) + PaperCount(10, 20, 30) == PaperCount(11, 22, 33)


def test_a_layer_of_an_unknown_kind_is_refused():
    with pytest.raises(CostError, match="layer stem: found kind 'conv', expected one of adder, mac, other"):
        LayerWork("stem", "Conv", "conv", (1,), 0, 0, 1, 0, 0, 0, Tally(), PaperCount())
