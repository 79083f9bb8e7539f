"""Synthesis of one element, the tables that ship, and areas at the widths of a layer."""

import json
import shutil
import sys

import pytest

from adderhw import synthesis
from adderhw.errors import AdderHwError
from adderhw.hardware import areas
from adderhw.hardware.areas import (
    HEADROOMS,
    LIBRARIES,
    area_of,
    check_table,
    find_liberty,
    load_table,
    measure,
    side_by_side,
    table_text,
    wanted_rows,
)
from adderhw.hardware.elements import ADDER, ELEMENTS, MULTIPLY_ACCUMULATE
from adderhw.hardware.netlists import logic_depth
from tests.hardware.needs import needs, needs_library

EVERY_WIDTH = tuple(range(2, 17))


@needs("yosys")
@needs_library
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.name)
def test_an_element_has_the_area_that_the_table_states(element):
    found = measure(element, 2, 4, find_liberty())
    stated = next(
        row for row in load_table()["areas"] if (row["element"], row["parameters"]) == (element.name, found.parameters)
    )
    assert found.area == pytest.approx(stated["area"], rel=0.1)  # another Yosys may map a little differently
    assert (found.bits, found.accumulator_bits, found.taps) == tuple(
        stated[key] for key in ("bits", "accumulator_bits", "taps")
    )
    assert 3 < found.depth < 60


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_table_that_ships_has_every_element_at_every_width_and_nothing_else(library):
    table = load_table(library)
    wanted = [(element.name, dict(element.parameters(b, h))) for element, b, h in wanted_rows(EVERY_WIDTH, HEADROOMS)]
    assert [(row["element"], row["parameters"]) for row in table["areas"]] == wanted
    assert (table["library"], table["area_unit"]) == (f"{library}_stdcells.lib", "µm²")
    assert table["tool"].startswith("Yosys 0.")
    assert all(row["area"] > 0 and row["cells"] > 0 and row["depth"] > 0 for row in table["areas"])


def test_an_area_is_looked_up_or_interpolated_between_accumulators():
    table = load_table()
    at_16, at_20 = area_of(table, ADDER, 8, 16), area_of(table, ADDER, 8, 20)
    assert (at_16.basis, at_20.basis) == ("synthesised", "synthesised")
    between = area_of(table, ADDER, 8, 17)
    assert between == (pytest.approx(0.75 * at_16.area + 0.25 * at_20.area), "interpolated")


def test_widths_that_the_table_does_not_span_are_an_error():
    with pytest.raises(AdderHwError, match="8 bits with an accumulator of 21, expected accumulators of 12 to 20 bits"):
        area_of(load_table(), ADDER, 8, 21)
    narrow = {**load_table(), "areas": [row for row in load_table()["areas"] if row["bits"] == 4]}
    with pytest.raises(AdderHwError, match=r"multiply-accumulate of 8 bits .* expected another width"):
        area_of(narrow, MULTIPLY_ACCUMULATE, 8, 24)


def test_the_adder_gains_with_the_width():
    ratios = [adder["area"] / product["area"] for _, adder, product, _ in side_by_side(load_table(), 8)]
    assert len(ratios) == len(EVERY_WIDTH)
    assert ratios[0] > ratios[6] > ratios[-1]
    assert ratios[6] == pytest.approx(7002 / 22032)


def test_a_library_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(AdderHwError, match="found no such file, expected a Liberty file"):
        find_liberty(tmp_path / "mine.lib")
    with pytest.raises(AdderHwError, match="library: found 'osu999', expected one of osu018, osu035"):
        find_liberty(library="osu999")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, "found no schema 2"),
        ({"tool": None}, "tool: found None, expected a text"),
        ({"areas": []}, r"areas\[0\]: found None, expected the fields element, module, parameters"),
        ({"areas": 7}, r"areas\[0\]: found None, expected the fields"),
        ({"areas": [{"area": 3}]}, r"areas\[0\]: found {'area': 3}, expected the fields"),
    ],
)
def test_a_table_that_is_not_whole_is_one_line(tmp_path, change, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**load_table(), **change}))
    with pytest.raises(AdderHwError, match=message):
        load_table(path)


def test_an_area_that_is_no_number_above_0_is_one_line(tmp_path):
    table = load_table()
    path = tmp_path / "mine.json"
    path.write_text(table_text({**table, "areas": [table["areas"][0] | {"area": 0}]}))
    with pytest.raises(AdderHwError, match=r"areas\[0\].area: found 0, expected a number above 0"):
        load_table(path)


def test_the_table_prints_rows_and_the_comparison_and_is_written_as_it_was_read(tmp_path, monkeypatch, capsys):
    path = tmp_path / "mine.json"
    monkeypatch.setattr(sys, "argv", ["synthesis", "--table", "--bits", "8", "--json", str(path)])
    with pytest.raises(SystemExit) as done:
        synthesis.main()
    printed = " ".join(capsys.readouterr().out.split())
    assert done.value.code == 0
    assert "adder, subtractor and inversion 8 16 7,002 203 21" in printed
    assert "7,002 / 203 / 21 22,032 / 609 / 30" in printed
    assert "-68%" in printed
    assert "-65.5 %" in printed
    rows = [row for row in load_table()["areas"] if row["bits"] == 8]
    assert load_table(path)["areas"] == rows


@needs("yosys")
@needs_library
def test_a_library_of_ones_own_makes_a_table_that_the_simulator_takes(tmp_path, monkeypatch):
    mine = tmp_path / "mine.lib"
    shutil.copyfile(find_liberty(), mine)
    path = tmp_path / "mine.json"
    monkeypatch.setattr(areas, "ELEMENTS", (ADDER,))
    monkeypatch.setattr(sys, "argv", ["synthesis", "--liberty", str(mine), "--bits", "2", "--json", str(path)])
    with pytest.raises(SystemExit) as done:
        synthesis.main()
    table = load_table(path)
    assert done.value.code == 0
    assert (table["name"], table["library"], table["area_unit"]) == (str(path), "mine.lib", "the library's unit")
    assert area_of(table, ADDER, 2, 10).area == pytest.approx(area_of(load_table(), ADDER, 2, 10).area, rel=0.1)


def test_depth_counts_the_gates_between_registers():
    def cell(kind, a, y):
        directions = {"A": "input", "Y": "output"}
        return {"type": kind, "port_directions": directions, "connections": {"A": a, "Y": y}}

    chain = [cell("INVX1", [1], [2]), cell("INVX1", [2], [3]), cell("DFFPOSX1", [3], [1])]
    assert logic_depth(chain) == 2


@pytest.mark.parametrize(("field", "value"), [("bits", "8"), ("element", None), ("area", True), ("parameters", [])])
def test_a_value_of_another_kind_is_one_line(field, value, tmp_path):
    table = load_table()
    path = tmp_path / "mine.json"
    path.write_text(table_text({**table, "areas": [table["areas"][0] | {field: value}]}))
    with pytest.raises(AdderHwError, match=rf"areas\[0\]\.{field}: found .*, expected a value of"):
        load_table(path)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_tables_that_ship_are_whole(library):
    check_table(load_table(library), library)
