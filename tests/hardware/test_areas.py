"""Synthesis of one element, and the table that ships."""

import pytest

from adderhw.errors import AdderHwError
from adderhw.hardware.areas import BITS, ELEMENTS, Area, area_of, find_liberty, load_table, logic_depth, synthesise
from tests.hardware.needs import needs, needs_library


@needs("yosys")
@needs_library
def test_an_element_has_the_area_that_the_table_states():
    found = synthesise(ELEMENTS[0], 4, 12, find_liberty())
    stated = area_of(load_table(), "adder_pe", 4, 12, ELEMENTS[0].name)
    assert isinstance(stated, Area)
    assert found.area == pytest.approx(stated.area, rel=0.1)  # another Yosys may map a little differently
    assert 4 < found.depth < 40


def test_the_table_has_every_element_at_every_width():
    table = load_table()
    assert {row["element"] for row in table["areas"]} == {element.name for element in ELEMENTS}
    assert {row["bits"] for row in table["areas"]} == set(BITS)
    assert all(row["area"] > 0 and row["cells"] > 0 and row["depth"] > 0 for row in table["areas"])


def test_widths_that_the_table_lacks_are_an_error():
    with pytest.raises(AdderHwError, match="found no row for 7 and 15 bits, expected one of"):
        area_of(load_table(), "adder_pe", 7, 15)


def test_a_library_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(AdderHwError, match="found no such file, expected a Liberty file"):
        find_liberty(tmp_path / "mine.lib")


def test_depth_counts_the_gates_between_registers():
    def cell(kind, a, y):
        directions = {"A": "input", "Y": "output"}
        return {"type": kind, "port_directions": directions, "connections": {"A": a, "Y": y}}

    chain = [cell("INVX1", [1], [2]), cell("INVX1", [2], [3]), cell("DFFPOSX1", [3], [1])]
    assert logic_depth(chain) == 2
