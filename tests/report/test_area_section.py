"""Areas of processing elements in the document, the summary and the page."""

import pytest

from adderhw.cost.accelerator import load_accelerator
from adderhw.hardware.areas import area_of, load_table
from adderhw.hardware.elements import ADDER, MULTIPLY_ACCUMULATE, SATURATING_ADDER
from adderhw.report.area_section import area_lines
from adderhw.report.page import render_html
from tests.report.example import document, layers

TABLE = load_table("osu018")


def test_each_adder_layer_has_the_areas_of_the_table_at_its_own_widths():
    made = document(areas=TABLE)
    areas = [layer["area"] for layer in made["layers"]]
    assert [area is not None for area in areas] == [False, True, False, True, False]
    own, product = area_of(TABLE, ADDER, 8, 16), area_of(TABLE, MULTIPLY_ACCUMULATE, 8, 24)
    assert areas[1]["adder"] == {"area": own.area, "basis": "synthesised"}
    assert areas[1]["cnn_accumulator_bits"] == 24  # 8 + 8 + ⌈log2 144⌉
    assert areas[1]["multiply_accumulate"] == {"area": product.area, "basis": "synthesised"}
    assert areas[1]["cnn_over_ann"] == product.area / own.area
    assert areas[1]["elements_area"] == 16 * own.area
    assert made["area"]["table"]["tool"].startswith("Yosys 0.23")
    assert made["area"]["table"]["library"] == "osu018_stdcells.lib"


def test_an_accelerator_says_how_many_elements_there_are():
    array = document(areas=TABLE, accelerator=load_accelerator("eyeriss_like"))["area"]["array"]
    assert array["elements"] == 12 * 14
    assert array["elements_area"] == 168 * area_of(TABLE, ADDER, 8, 16).area
    assert array["title"].startswith("Eyeriss-like")


def test_only_narrow_accumulators_that_saturate_take_the_saturating_element():
    wide = document(areas=TABLE, saturate=True)["area"]["array"]
    assert wide["element"] == ADDER.name
    results = layers()
    narrow = [
        type(result)(
            type(result.work)(**{**vars(result.work), "accumulator_bits": 14}), result.accumulator, result.operands
        )
        if result.work.kind == "adder"
        else result
        for result in results
    ]
    made = document(layers=narrow, areas=TABLE, saturate=True)["area"]["array"]
    assert (made["element"], made["accumulator_bits"]) == (SATURATING_ADDER.name, 14)
    assert made["adder"] == area_of(TABLE, SATURATING_ADDER, 8, 14)._asdict()
    assert made["adder"]["basis"] == "interpolated"


def test_widths_that_the_table_lacks_have_no_area_and_say_why():
    only_4_bits = {**TABLE, "areas": [row for row in TABLE["areas"] if row["bits"] == 4]}
    made = document(areas=only_4_bits)
    array = made["area"]["array"]
    assert (array["adder"], array["elements_area"], array["cnn_over_ann"]) == (None, None, None)
    found = "adder, subtractor and inversion of 8 bits with an accumulator of 16"
    assert array["missing"][0] == f"area table osu018: found {found}, expected another width"
    assert list(area_lines(made)) == [f"no area: {reason}" for reason in array["missing"]]
    assert "no ratio" in render_html(made)


def test_the_page_and_the_summary_name_tool_and_library_and_claim_no_power():
    made = document(areas=TABLE)
    page, lines = render_html(made), " ".join(area_lines(made))
    own = f"{area_of(TABLE, ADDER, 8, 16).area:,.0f}"
    for text in (page, lines):
        assert "Yosys 0.23" in text
        assert "osu018_stdcells.lib" in text
        assert "no power is claimed" in text
        assert own in text


def test_without_a_table_or_an_adder_layer_there_is_no_area():
    assert document()["area"] is None
    assert list(area_lines(document())) == []
    macs = document(layers=[layers()[0], layers()[-1]], areas=TABLE)
    assert macs["area"]["array"] is None
    assert list(area_lines(macs)) == []
    assert "from synthesis" not in render_html(macs)


@pytest.mark.parametrize("name", ["osu018", "osu035"])
def test_both_tables_that_ship_span_the_example(name):
    assert document(areas=load_table(name))["area"]["array"]["missing"] == []
