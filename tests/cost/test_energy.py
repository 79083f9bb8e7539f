"""Energy tables give the published figures at the published widths and never guess."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.cost.energy import energy, energy_per_event, load_table, table_names
from adderhw.cost.events import KINDS, Event, Tally, event
from adderhw.errors import CostError

TABLES = {name: load_table(name) for name in table_names()}
tables = st.sampled_from(list(TABLES.values()))
FLOAT_KINDS = ("fadd", "fmul")
INTEGER_KINDS = tuple(kind for kind in KINDS if kind not in FLOAT_KINDS)


def picojoule(table, text):
    return TABLES[table].price(Event.parse(text)).picojoule


@pytest.mark.parametrize(
    ("text", "published"), [("add:8", 0.03), ("add:16", 0.05), ("add:32", 0.1), ("mul:8", 0.2), ("mul:32", 3.1)]
)
def test_horowitz_prices_are_the_published_points(text, published):
    assert TABLES["horowitz45"].price(Event.parse(text)) == (published, "point")


@pytest.mark.parametrize(
    ("text", "by_hand", "basis"),
    [
        ("add:4", 0.015, "extrapolated"),
        ("add:12", 0.04, "interpolated"),
        ("add:24", 0.075, "interpolated"),
        ("add:48", 0.15, "extrapolated"),
        ("sub:8", 0.03, "derived"),
        ("abs:16", 0.05, "derived"),
        ("cmp:32", 0.1, "derived"),
        ("xnor:2", 2 * 0.03 / 8, "extrapolated"),
        ("shift:31", 0.0, "derived"),
        ("mul:16", math.sqrt(0.2 * 3.1), "interpolated"),
        ("mul:4x16", 0.2, "derived"),
    ],
)
def test_horowitz_prices_between_and_beyond_the_points_follow_the_stated_rule(text, by_hand, basis):
    price = TABLES["horowitz45"].price(Event.parse(text))
    assert price.picojoule == pytest.approx(by_hand, rel=1e-12)
    assert price.basis == basis


@pytest.mark.parametrize("bits", [1, 8, 17, 64])
def test_qtools_prices_are_its_polynomials(bits):
    assert picojoule("qtools45", f"add:{bits}") == pytest.approx(0.003125 * bits)
    assert picojoule("qtools45", f"mul:{bits}") == pytest.approx(0.002994791667 * bits**2 + 0.001041666667 * bits)


def test_qtools_fit_agrees_with_horowitz_where_it_was_fitted():
    for text in ("add:32", "mul:8", "mul:32"):
        assert picojoule("qtools45", text) == pytest.approx(picojoule("horowitz45", text), rel=1e-8)


def test_aladdin_scales_from_its_32_bit_figures():
    assert picojoule("aladdin40", "add:32") == 0.21
    assert picojoule("aladdin40", "mul:8") == pytest.approx(12.68 / 16)
    assert picojoule("aladdin40", "mul:8x16") == pytest.approx(12.68 * 8 * 16 / 32**2)
    assert picojoule("aladdin40", "cmp:16") == pytest.approx(0.02947 / 2)


@given(tables, st.sampled_from(INTEGER_KINDS), st.integers(1, 63))
def test_a_wider_operation_never_costs_less(table, kind, bits):
    narrow, wide = (table.price(event(kind, width)).picojoule for width in (bits, bits + 1))
    assert wide > narrow or (kind == "shift" and wide == narrow == 0)


@given(tables, st.integers(1, 64), st.integers(1, 64))
def test_a_multiplier_costs_the_same_either_way_round(table, a, b):
    assert table.price(event("mul", a, b)).picojoule == table.price(event("mul", b, a)).picojoule


def test_the_energy_of_a_tally_is_the_sum_of_count_times_price():
    tally = Tally({event("sub", 8): 1000, event("abs", 9): 1000, event("add", 16): 1000})
    assert energy(tally, TABLES["horowitz45"]) == pytest.approx(1000 * (0.03 + 0.0325 + 0.05))
    assert energy_per_event(tally, TABLES["horowitz45"])[event("add", 16)] == pytest.approx(50)
    assert energy(Tally(), TABLES["horowitz45"]) == 0


@given(
    tables, st.dictionaries(st.builds(event, st.sampled_from(INTEGER_KINDS), st.integers(1, 64)), st.integers(0, 10**9))
)
def test_energies_of_two_tallies_add(table, counts):
    half = Tally(counts)
    assert energy(half + half, table) == pytest.approx(2 * energy(half, table))


def test_an_unknown_table_lists_the_available_ones():
    with pytest.raises(CostError, match="found 'horowitz', expected one of horowitz45, qtools45, aladdin40 or a"):
        load_table("horowitz")


GOOD = """
name = "mine"
title = "Mine"
source = "Somebody, somewhere"
node_nm = 45
voltage = "not stated"
unit = "pJ"
[kinds.add]
points = [[8, 0.03], [16, 0.05]]
between = "linear"
range = [4, 16]
reason = "given"
[kinds.sub]
as = "add"
reason = "the same"
[kinds.mul]
formula = { linear = 0.0, quadratic = 0.003 }
range = [1, 16]
reason = "given"
[kinds.shift]
free = true
reason = "wiring"
"""


def written(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_table_of_ones_own_is_read_from_its_file(tmp_path):
    table = load_table(written(tmp_path, GOOD))
    assert table.price(event("sub", 16)) == (0.05, "derived")
    assert table.reasons["shift"] == "wiring"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("xnor:1", "mine: found event xnor:1, expected one of the kinds add, sub, mul, shift"),
        ("sub:17", "mine: found event sub:17, expected add of 4 to 16 bits"),
        ("add:3", "mine: found event add:3, expected add of 4 to 16 bits"),
        ("mul:17x16", "mine: found event mul:17x16, expected mul of 1 to 16 bits"),
    ],
)
def test_an_event_without_a_price_is_an_error_that_names_event_table_and_range(tmp_path, text, message):
    with pytest.raises(CostError) as error:
        load_table(written(tmp_path, GOOD)).price(Event.parse(text))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "pJ"\n', "", ": missing unit"),
        ('unit = "pJ"', 'unit = "nJ"', ": unit: found 'nJ', expected 'pJ'"),
        (
            "node_nm = 45",
            "node_nm = 45\ncolour = 1",
            ": found unknown colour, expected only area_source, areas, kinds, name",
        ),
        ("node_nm = 45", "node_nm = 0", ": node_nm: found 0, expected a whole number above 0"),
        ("[kinds.sub]", "[kinds.div]", ": kinds: found 'div', expected one of add, sub"),
        ("0.03]", "-0.03]", ": kinds.add.points: found [8, -0.03], expected [bits, pJ], both above 0"),
        ("0.03]", "nan]", ": kinds.add.points: found [8, nan], expected [bits, pJ], both above 0"),
        ("0.03]", "0.06]", ": kinds.add.points: found [[8, 0.06], [16, 0.05]], expected widths and prices that rise"),
        (", [16, 0.05]", "", ": kinds.add.points: found [[8, 0.03]], expected two points or more for 'linear'"),
        ('"linear"\n', '"cubic"\n', ": kinds.add.between: found 'cubic', expected 'linear', 'power' or 'nothing'"),
        ('unit = "pJ"', 'unit = "pJ"\narea_source = "x"', ": area_source: found 'x', expected a text if and only if"),
        ("[kinds.sub]", "[areas.add]\nfree = true\nreason = 'x'\n[kinds.sub]", ": area_source: found None, expected"),
        ("[4, 16]", "[16, 4]", ": kinds.add.range: found [16, 4], expected [low, high] inside 1 to 64"),
        ("[4, 16]", "[4, 65]", ": kinds.add.range: found [4, 65], expected [low, high] inside 1 to 64"),
        ('between = "linear"\n', "", ": kinds.add: missing between"),
        ('as = "add"', 'as = "shift"', ": kinds.sub.as: found 'shift', expected one of add, mul"),
        ("quadratic = 0.003", "quadratic = -1", ": kinds.mul.formula.quadratic: found -1, expected 0 or a number"),
        ("quadratic = 0.003", "cubic = 1.0", ": kinds.mul.formula: missing quadratic"),
        ("free = true", "free = false", ": kinds.shift.free: found False, expected true"),
        ("free = true\n", "", ": kinds.shift: found [], expected exactly one of points, formula, as, free"),
        ('reason = "wiring"', 'reason = ""', ": kinds.shift.reason: found '', expected a text"),
        ('between = "linear"', 'between = "linear"\nexponent = 2.0', ": kinds.add.exponent: found 2.0, expected no"),
        ('name = "mine"', "name = ", ": cannot read: "),
    ],
)
def test_a_malformed_table_is_refused_in_one_line_that_names_file_and_field(tmp_path, old, new, message):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CostError) as error:
        load_table(path)
    assert str(error.value).startswith(f"energy table {path}{message}")
    assert "\n" not in str(error.value)


def test_a_missing_table_file_is_refused(tmp_path):
    with pytest.raises(CostError, match=r"none\.toml: cannot read: No such file or directory"):
        load_table(tmp_path / "none.toml")


@pytest.mark.parametrize("name", table_names())
def test_shipped_tables_price_every_kind_and_state_source_and_reasons(name):
    table = load_table(name)
    assert table.name == name
    assert len(table.source) > 60
    assert set(table.rules) == set(table.reasons)
    assert set(INTEGER_KINDS) <= set(table.rules) <= set(KINDS)
    assert table.unit == "pJ"
    assert table.node_nm in (40, 45)
    assert all(rule.widths for rule in table.rules.values() if hasattr(rule, "widths"))


@pytest.mark.parametrize("name", ["horowitz45", "qtools45"])
def test_floating_point_costs_what_is_published_and_only_at_the_published_widths(name):
    published = {"fadd:16": 0.4, "fadd:32": 0.9, "fmul:16": 1.1, "fmul:32": 3.7}
    assert {text: picojoule(name, text) for text in published} == published
    with pytest.raises(CostError, match=f"{name}: found event fadd:24, expected fadd of 16 or 32 bits"):
        picojoule(name, "fadd:24")


def test_a_source_without_floating_point_prices_none():
    with pytest.raises(CostError, match="aladdin40: found event fmul:32, expected one of the kinds add, mul"):
        picojoule("aladdin40", "fmul:32")


@pytest.mark.parametrize(
    ("table", "text", "by_hand"),
    [
        ("horowitz45", "add:8", 36),
        ("horowitz45", "add:12", 51.5),
        ("horowitz45", "mul:32", 3495),
        ("aladdin40", "add:16", 139),
        ("aladdin40", "mul:8", 6350 / 16),
        ("aladdin40", "cmp:32", 71),
    ],
)
def test_areas_follow_the_source_and_its_rule(table, text, by_hand):
    assert TABLES[table].area(Event.parse(text)) == pytest.approx(by_hand)


def test_a_source_without_areas_gives_none():
    with pytest.raises(
        CostError, match=r"qtools45: found area of event add:8, expected .* none, the source gives none"
    ):
        TABLES["qtools45"].area(event("add", 8))
