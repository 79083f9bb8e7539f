"""The Markdown report has every section, tables that are tables, and no name that Markdown reads."""

import pytest

from adderhw.cost.baselines import ANN
from adderhw.report.document import Network
from adderhw.report.markdown import escaped, markdown_table, render_markdown
from tests.report.example import adder, document, full_document, mac


def test_tables_have_as_many_cells_in_every_row():
    blocks = render_markdown(full_document()).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 5
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("| -:")


def test_the_figures_are_those_of_the_document():
    text = render_markdown(full_document())
    for shown in ("95.00 %", "0 of 4,096 values differ", "python -m adderhw.simulate ann.onnx", "| 37.0 |", "Eyeriss"):
        assert shown in text


def test_without_accelerator_or_labels_their_figures_are_left_out():
    text = render_markdown(document(accuracy=None, check=None, command=None))
    assert "no labels" in text
    assert "cycles" not in text
    assert "```" not in text


@pytest.mark.parametrize("name", ["a|b", "<script>", "# a", "a\nb"])
def test_names_cannot_break_a_table(name):
    row = markdown_table([("x", False)], [[name]]).splitlines()
    assert len(row) == 3
    assert row[2] == f"| {escaped(name)} |"
    assert "<script" not in render_markdown(document(layers=[adder(name, 9, 4)])).replace("\\<script", "")


def test_a_command_with_backticks_stays_in_its_fence():
    assert "\n````\necho ```\n````\n" in render_markdown(document(command="echo ```"))


def test_a_network_that_was_only_counted_says_so_and_why():
    network = Network("cnn", "CNN", "Weights are random.", tally_only="no <data>", rivals=(ANN,))
    text = render_markdown(document(network=network, accuracy=None, layers=[mac("m", "Conv", 9, 4)]))
    assert "CNN: tally only, nothing was simulated: no \\<data\\>. All figures are an image's." in text
    assert "200 images" not in text
