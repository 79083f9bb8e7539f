"""JSON and CSV hold what the document holds."""

import csv
import json

import pytest

from adderhw.errors import AdderHwError
from adderhw.report.page import write_html
from adderhw.report.tables import write_csv, write_json
from tests.report.example import document, full_document


def test_json_reads_back_as_the_document(tmp_path):
    doc = document()
    write_json(doc, tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == doc


def test_csv_has_a_row_a_layer_that_adds_up(tmp_path):
    doc = document()
    write_csv(doc, tmp_path / "r.csv")
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [layer["name"] for layer in doc["layers"]]
    assert sum(int(row["sub:8"] or 0) for row in rows) == doc["totals"]["events"]["sub:8"]
    assert sum(float(row["qtools45 pJ"]) for row in rows) == pytest.approx(doc["totals"]["energy_pj"]["qtools45"])
    assert rows[1]["output_shape"] == "64x1x1"
    assert rows[1]["observed_bits"] == "13"
    assert rows[2]["observed_bits"] == ""


def test_csv_has_memory_areas_and_noise_where_the_run_has_them(tmp_path):
    doc = full_document()
    write_csv(doc, tmp_path / "r.csv")
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["dram_high pJ"]) == doc["layers"][1]["memory"]["energy_pj"]["dram_high"]
    assert float(rows[1]["horowitz45 um2"]) == doc["layers"][1]["pe_area_um2"]["horowitz45"]
    assert (rows[2]["cycles"], rows[2]["sqnr_db"]) == ("", "34.0")
    assert sum(int(row["dram_bits"] or 0) for row in rows) == doc["memory"]["networks"]["ann"]["bits"]["dram"]


@pytest.mark.parametrize("write", [write_json, write_csv, write_html])
def test_an_unwritable_place_is_one_line_and_leaves_nothing(tmp_path, write):
    with pytest.raises(AdderHwError, match="cannot write: No such file or directory"):
        write(document(), tmp_path / "none" / "r")
    assert list(tmp_path.iterdir()) == []
