"""A band spans every table that prices the figure, and says which do not."""

import pytest

from adderhw.cost.bands import all_tables, band, energies, pe_area, ratios_by_table
from adderhw.cost.energy import load_table, table_names
from adderhw.cost.events import LayerWork, PaperCount, Tally, event

TALLY = Tally({event("add", 32): 10})


def test_the_band_is_over_the_tables_asked_for_and_all_that_ship():
    assert [table.name for table in all_tables([load_table("aladdin40")])] == ["aladdin40", "horowitz45", "qtools45"]
    assert len(all_tables([])) == len(table_names())


def test_the_ends_name_their_tables():
    priced, unpriced = energies(TALLY, all_tables([]))
    found = band(priced)
    assert unpriced == {}
    assert found.low == (pytest.approx(1.0), "horowitz45")
    assert found.high == (pytest.approx(2.1), "aladdin40")


def test_a_table_without_a_price_is_named_with_the_reason_and_is_no_part_of_the_band():
    priced, unpriced = energies(Tally({event("fadd", 16): 10}), all_tables([]))
    assert priced == {"horowitz45": pytest.approx(4), "qtools45": pytest.approx(4)}
    assert unpriced["aladdin40"].startswith("aladdin40: found event fadd:16, expected one of the kinds add")


def test_a_ratio_needs_both_prices_and_something_to_divide_by():
    assert ratios_by_table({"a": 3.0, "b": 1.0, "c": 1.0}, {"a": 2.0, "b": 0.0}) == {"a": 1.5}
    assert band({}) is None


def test_the_area_of_a_pe_is_that_of_one_tap():
    events = Tally({event("mul", 8): 6, event("add", 16): 6})
    layer = LayerWork("m", "ConvInteger", "mac", (2,), 6, 3, 2, 8, 8, 16, events, PaperCount())
    assert pe_area(layer, load_table("horowitz45")) == pytest.approx(282 + 67)
    assert pe_area(layer, load_table("qtools45")) is None
