"""Charts: scales with round ticks, marks where the figures say, escaped names, nothing outside the drawing."""

import re

import pytest

from adderhw.report.accuracy_charts import accuracy_chart, sqnr_chart
from adderhw.report.charts import charts_of
from adderhw.report.ratio_chart import table_shapes
from adderhw.report.roofline_chart import roofline_chart
from adderhw.report.svg import Frame, Linear, Logarithmic, element, round_up, rounded_top
from tests.report.example import adder, document, full_document


def numbers(name, chart):
    return [float(value) for value in re.findall(rf'\b{name}="(-?[\d.]+)"', chart)]


def test_elements_escape_what_they_hold():
    assert element("text", "<b>", x=1.5, class_="a", text_anchor=None) == '<text x="1.5" class="a">&lt;b&gt;</text>'
    assert element("rect", x='"') == '<rect x="&#34;"/>'


@pytest.mark.parametrize(("number", "up"), [(0.7, 1), (1, 1), (1.1, 2), (3, 5), (51, 100), (2e-3, 2e-3)])
def test_steps_are_1_2_or_5(number, up):
    assert round_up(number) == pytest.approx(up)


def test_scales_put_their_ends_at_0_and_1_and_tick_at_round_numbers():
    assert Linear(0, 300).ticks() == [0, 50, 100, 150, 200, 250, 300]
    assert (Linear(2, 4).at(3), Logarithmic(1, 100).at(10)) == (0.5, 0.5)
    assert Logarithmic(0.3, 12).ticks() == pytest.approx([0.5, 1, 2, 5, 10])
    assert Logarithmic(1, 1e6).ticks() == pytest.approx([1, 10, 100, 1e3, 1e4, 1e5, 1e6])
    assert (rounded_top(280).high, rounded_top(0).high) == (300, 1)


def test_a_frame_counts_up_from_its_lower_left_corner():
    frame = Frame(10, 20, 100, 50, Linear(0, 10), Linear(0, 5))
    assert (frame.x(0), frame.y(0), frame.x(10), frame.y(5)) == (10, 70, 110, 20)


@pytest.mark.parametrize("name", ["ratios", "memory_ratios", "layers", "memory_layers", "accuracy", "sqnr", "roofline"])
def test_nothing_lies_outside_the_drawing(name):
    chart = charts_of(full_document())[name]
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', chart).groups())
    for axis, most in (("x", width), ("cx", width), ("x1", width), ("x2", width), ("y", height), ("cy", height)):
        assert all(0 <= value <= most for value in numbers(axis, chart)), axis


def test_columns_are_as_high_as_their_energy():
    made = document()
    heights = re.findall(r'<rect [^>]*height="([\d.]+)" class="c0"', charts_of(made)["layers"])
    energies = [layer["energy_pj"]["horowitz45"] for layer in made["layers"] if layer["kind"] == "adder"]
    assert float(heights[0]) / float(heights[1]) == pytest.approx(energies[0] / energies[1], rel=0.01)


def test_names_in_tooltips_are_escaped():
    made = document(layers=[adder("<script>", 9, 4)])
    assert "<script>" not in charts_of(made)["layers"]


def test_each_of_four_tables_has_a_shape_of_its_own():
    assert len(set(table_shapes("abcd").values())) == 4


def test_a_layer_on_the_roof_is_drawn_on_it():
    made = full_document()
    for layer in made["layers"]:
        if layer["taps"]:
            moved = layer["memory"]
            roof = min(168, moved["taps_per_dram_byte"] * 168 / 21)
            assert layer["taps"] / moved["cycles"] <= roof * (1 + 1e-9)
    assert "bound by DRAM below 21" in roofline_chart(made)


def test_accuracy_needs_two_runs_and_names_both():
    assert charts_of(document())["accuracy"] is None
    chart = charts_of(full_document())["accuracy"]
    assert ">four bits<" in chart
    assert ">ann<" in chart


def test_runs_far_apart_in_energy_stand_on_a_logarithmic_axis():
    points = [
        {"label": str(at), "top1": 0.9, "count": 100, "energy_pj": {"t": 10.0**at}, "own": not at} for at in range(3)
    ]
    places = numbers("cx", accuracy_chart(points, "t"))
    assert len(places) == 2
    assert accuracy_chart(points[:1] * 2, "t").count("error") == 2


def test_a_ratio_below_0_decibels_is_inside_the_chart():
    layers = [{"name": "a", "kind": "adder", "sqnr_db": -3.0}, {"name": "b", "kind": "mac", "sqnr_db": 12.0}]
    assert min(numbers("cy", sqnr_chart(layers))) > 0
