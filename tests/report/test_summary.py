"""The summary is plain text in a pipe and says what the document says."""

import io

from rich.console import Console

from adderhw.cost.baselines import ANN
from adderhw.report.document import Network
from adderhw.report.summary import print_summary
from tests.report.example import document, mac


def printed(doc):
    console = Console(file=io.StringIO(), width=100)
    print_summary(doc, console)
    return console.file.getvalue()


def test_the_summary_says_accuracy_tallies_energies_ratio_and_check():
    text = printed(document())
    assert "top-1 accuracy: 95.00 % (190 of 200), top-5 100.00 %" in text
    assert "as papers count: mul 2,048, add 29,696, xnor 0" in text
    assert "sub:8 13,824" in text
    assert "Horowitz 2014, 45 nm" in text
    assert "accumulators ANN 16 bit, CNN 24 bit" in text
    assert "  CNN (programmable weights)" in text
    assert "The adder network does not win against BNN (programmable weights), which takes" in text
    assert "check: 4,096 values of 8 images against onnxruntime, 0 mismatches" in text


def test_a_pipe_gets_no_escape_codes_and_names_are_no_markup():
    model = {"path": "[red]x[/red].onnx", "sha256": "0", "domain_version": 1, "parameters": 1}
    text = printed(document(model=model, accuracy=None, check=None))
    assert "\x1b" not in text
    assert "[red]x[/red].onnx" in text
    assert "no labels" in text
    assert "check: not run" in text


def test_a_network_that_was_only_counted_says_so_and_why():
    network = Network("cnn", "CNN", "Weights are random.", tally_only="no data", rivals=(ANN,))
    text = printed(document(network=network, accuracy=None, layers=[mac("m", "Conv", 9, 4)]))
    assert text.startswith("ann.onnx as CNN\ntally only, nothing was simulated: no data\nWeights are random.\n")
    assert "top-1" not in text
    assert "CNN / ANN over all tables" not in text


def test_a_network_without_adder_layers_has_no_line_for_them():
    text = printed(document(layers=[mac("m", "Conv", 9, 4)]))
    assert "No layer is rewritten" in text
    assert "CNN / ANN" not in text
