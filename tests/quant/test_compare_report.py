"""What a Comparison looks like: table, JSON, CSV and plot say the same figures, and nothing infinite."""

import csv
import json
import sys

import pytest
from rich.console import Console

from adderhw.errors import AdderHwError
from adderhw.fixed import Format
from quant.compare import QUANTILES, Comparison, ModelFile, TensorComparison, Top1
from quant.compare_report import (
    check_plot,
    document,
    figure,
    headlines,
    table,
    write_csv,
    write_json,
    write_plot,
)

GRID = Format(4, False, 0.5, 3)
SUM = Format(12, False)
FLAT = dict.fromkeys(QUANTILES, 1.0)
SPREAD = dict(zip(QUANTILES, (-2.0, -1.0, -0.5, 0.0, 0.5, 3.0, 12.0), strict=True))


def tensor(name, signal, noise, grid=GRID, clipped=(0.0, 0.0), ends=(-1.5, 6.0), quantiles=FLAT):
    """A TensorComparison of a Requantize on GRID, or of an AdderConvInteger where grid is SUM."""
    on_grid = grid is GRID
    node, op = (f"{name}_node", "Requantize") if on_grid else (name, "AdderConvInteger")
    shares, alone = (clipped, noise / 10) if on_grid else ((None, None), None)
    return TensorComparison(
        name, f"{name}_float", node, op, grid, on_grid, signal, noise, alone, 1.25, *shares, *ends, quantiles
    )


def comparison(threshold=10.0, top1=Top1(2, 2, 1, 0)):  # noqa: B008 - frozen
    """Four tensors: exact, a sum at 20 dB, one at 7 dB that clips at both ends, one without variance."""
    tensors = (
        tensor("exact", 1.0, 0.0),
        tensor("sums", 1.0, 0.01, SUM),
        tensor("coarse", 5.0, 1.0, clipped=(0.125, 0.25), ends=(-3.0, 60.0), quantiles=SPREAD),
        tensor("constant", 0.0, 1.0),
    )
    files = ModelFile("float.onnx", "aa"), ModelFile("integer.onnx", "bb")
    return Comparison(*files, "digits", "test", 4, threshold, tensors, top1)


def test_the_document_has_what_the_page_promises():
    found = document(comparison())
    assert found["schema"] == 1
    assert found["float_model"] == {"path": "float.onnx", "sha256": "aa"}
    assert found["data"] == {"name": "digits", "split": "test", "count": 4}
    assert found["top1"] == {
        "agreement": 0.5,
        "float": 0.5,
        "integer": 0.25,
        "difference": -0.25,
        "difference_error": pytest.approx(11**0.5 / 8),
    }
    assert (found["diverges_below_db"], found["first_divergence"]) == (10.0, "coarse")
    assert [entry["sqnr_db"] for entry in found["tensors"]] == [None, pytest.approx(20), pytest.approx(6.9897), None]
    assert [entry["grid_sqnr_db"] for entry in found["tensors"]] == [None, None, pytest.approx(16.9897), None]
    coarse, sums = found["tensors"][2], found["tensors"][1]
    assert (coarse["scale"], coarse["zero_point"], coarse["format"]) == (0.5, 3, "uint4")
    assert (coarse["representable_low"], coarse["representable_high"]) == (-1.5, 6.0)
    assert (coarse["clipped_low"], coarse["clipped_high"]) == (0.125, 0.25)
    assert coarse["quantiles"]["0.9999"] == 12.0
    assert [sums[key] for key in ("scale", "zero_point", "representable_low", "clipped_low")] == [None] * 4


def test_without_labels_or_logits_the_document_says_so():
    found = document(comparison(top1=Top1(3, None, None, None)))["top1"]
    assert found.pop("agreement") == 0.75
    assert found == dict.fromkeys(("float", "integer", "difference", "difference_error"))
    assert document(comparison(top1=None))["top1"] is None


def test_json_and_csv_hold_the_document(tmp_path):
    write_json(comparison(), tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == document(comparison())
    write_csv(comparison(), tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, document(comparison())["tensors"], strict=True):
        assert row == {key: "" if entry[key] is None else str(entry[key]) for key in row}
    assert {"name", "sqnr_db", "largest_error_lsb", "clipped_low", "clipped_high"} <= set(rows[0])


def test_the_table_has_a_row_a_tensor():
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table(comparison()))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in captured.get().splitlines() if "│" in line]
    assert rows == [
        ["exact", "Requantize", "uint4", "exact", "exact", "1.25", "0.000", "0.000"],
        ["sums", "AdderConvInteger", "uint12", "20.0", "", "1.25", "", ""],
        ["coarse", "Requantize", "uint4", "7.0", "17.0", "1.25", "12.500", "25.000"],
        ["constant", "Requantize", "uint4", "no signal", "no signal", "1.25", "0.000", "0.000"],
    ]


def test_the_headlines_name_the_first_tensor_that_diverges_and_top1():
    assert list(headlines(comparison())) == [
        "first tensor below 10 dB: coarse (Requantize), 7.0 dB",
        "top-1 on 4 images of digits: float 50.00 %, integer 25.00 %, same class 50.00 %",
        "integer less float: -25.00 points, standard error 41.46",
    ]
    assert list(headlines(comparison(5.5, Top1(3, None, None, None)))) == [
        "first tensor below 5.5 dB: none",
        "top-1 on 4 images of digits: same class 75.00 %",
    ]
    assert list(headlines(comparison(25, None))) == ["first tensor below 25 dB: sums (AdderConvInteger), 20.0 dB"]


def test_the_plot_shows_each_grid_with_its_values_in_units_of_the_grids_larger_end():
    pytest.importorskip("matplotlib")
    ranges, ratios = figure(comparison()).axes
    assert [label.get_text() for label in ranges.get_yticklabels()] == [
        "exact  uint4",
        "coarse  uint4",
        "constant  uint4",
    ]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ranges.patches]
    assert bars == [pytest.approx((-0.25, 1))] * 3
    rows = [line for line in ranges.lines if line.get_ydata()[0] == 1]
    assert [list(line.get_xdata()) for line in rows] == [[-1 / 3, 2], [-1 / 6, 0.5], [-1 / 12, 1 / 12], [-0.5], [10]]
    assert [line.get_label() for line in rows[3:]] == ["extreme, clipped"] * 2
    dots = [(line.get_xdata()[0], line.get_ydata()[0], line.get_color()) for line in ratios.lines[:-1]]
    assert dots == [(pytest.approx(16.9897), 1, "tab:blue"), (pytest.approx(6.9897), 1, "tab:red")]


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_plot_is_written_in_the_format_of_its_suffix(suffix, start, tmp_path):
    pytest.importorskip("matplotlib")
    write_plot(comparison(), tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").read_bytes().startswith(start)


def test_a_plot_of_another_kind_is_an_error():
    with pytest.raises(AdderHwError, match=r"plot\.bmp: found suffix '\.bmp', expected one of \.png, \.svg, \.pdf"):
        check_plot("plot.bmp")


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AdderHwError, match=r"plot: found no matplotlib, expected it: pip install adderhw\[figures\]"):
        check_plot("plot.png")
