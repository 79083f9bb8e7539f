"""Runs side by side: raw values, differences from the first, and what must not be compared."""

import csv

import pytest

from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.energy import load_table
from adderhw.errors import AdderHwError
from adderhw.report.side_by_side import side_by_side
from adderhw.report.side_by_side_output import render_html, write_csv, write_markdown
from tests.report.example import adder, document, full_document, mac

PATHS = ("a.json", "b.json")


def row(runs, label):
    (found,) = [each for each in runs.rows if each.label == label]
    return found


@pytest.fixture(scope="module")
def pair():
    return document(layers=[adder("x", 9, 4), adder("y", 9, 4)]), document(layers=[adder("x", 9, 2)])


def test_values_are_the_documents_and_texts_say_the_difference(pair):
    runs = side_by_side(pair, PATHS)
    found = row(runs, "arithmetic energy, horowitz45")
    assert found.values == tuple(each["totals"]["energy_pj"]["horowitz45"] for each in pair)
    assert (found.unit, found.texts[1]) == ("pJ", f"{found.values[1]:.2f} pJ (-75.0 %)")
    assert row(runs, "top-1 ± one standard error").texts[0] == "95.00 % ± 1.54"
    assert row(runs, "bits of adder layers, x × w").texts == ("8 × 8", "8 × 8")
    assert not any(each.label == "cycles" for each in runs.rows)


def test_a_layer_that_one_run_lacks_is_shown_as_lacking(pair):
    runs = side_by_side(pair, PATHS)
    assert [each.label for each in runs.layers] == ["x", "y"]
    assert runs.layers[1].values[1] is None
    assert runs.layers[1].texts[1] == "–"


def test_runs_are_named_after_models_files_or_paths():
    first = document()
    second = document(model={**first["model"], "path": "other/ann4.onnx"})
    assert side_by_side([first, second], PATHS).names == ("ann", "ann4")
    assert side_by_side([first, first], PATHS).names == ("a", "b")
    assert side_by_side([first, first], ("x/a.json", "y/a.json")).names == ("x/a.json", "y/a.json")


def test_memory_is_shown_where_a_run_has_it():
    runs = side_by_side([document(), full_document()], PATHS)
    assert row(runs, "accelerator").values == (None, "eyeriss_like")
    assert row(runs, "cycles").values[1] > 0
    assert runs.notes == ()


def test_different_data_and_accelerators_are_said():
    other = {"name": "cifar10", "split": "test", "count": 9}
    runs = side_by_side(
        [full_document(), full_document(data=other, accelerator=load_accelerator("output_like"), earlier=())], PATHS
    )
    assert [note.split(":")[0] for note in runs.notes] == [
        "The runs are on different data sets",
        "The runs are on different accelerators",
    ]


def test_runs_without_a_table_in_common_are_refused():
    documents = [document(tables=[load_table(name)]) for name in ("horowitz45", "qtools45")]
    with pytest.raises(AdderHwError, match=r"a\.json: horowitz45; b\.json: qtools45, expected one energy table in all"):
        side_by_side(documents, PATHS)


def test_files_hold_what_was_printed(pair, tmp_path):
    runs = side_by_side(pair, PATHS)
    write_csv(runs, tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["section", "figure", "unit", "a", "b"]
    assert len(rows) == 1 + len(runs.rows) + len(runs.layers)
    write_markdown(runs, tmp_path / "c.md", layers=True)
    assert "(-75.0 %)" in (tmp_path / "c.md").read_text(encoding="utf-8")
    page = render_html(runs, pair)
    assert page.count('class="chart"') == 1
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_accuracies_on_different_data_are_not_drawn_together(pair):
    other = document(data={"name": "cifar10", "split": "test", "count": 9})
    documents = [pair[0], other]
    assert 'class="chart"' not in render_html(side_by_side(documents, PATHS), documents)


def test_a_run_without_adder_layers_or_labels_has_no_figure_there():
    runs = side_by_side([document(), document(layers=[mac("m", "Conv", 9, 4)], accuracy=None)], PATHS)
    assert row(runs, "bits of adder layers, x × w").values == ("8 × 8", None)
    assert row(runs, "accumulators of adder layers").texts == ("16", "–")
    assert row(runs, "top-1 ± one standard error").texts[1] == "–"
