"""A CNN that torch writes by itself, and what onnxruntime's quantiser makes of it: its taps, forms and topology."""

import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from adderhw.onnx_reader import load_proto  # noqa: E402
from adderhw.simulation import SHIPPED_MODEL, simulate  # noqa: E402
from tests.foreign.models import quantised  # noqa: E402
from training.networks import build, taps  # noqa: E402


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("digits_resnet", "cnn", classes=10, in_channels=1).eval()


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    """The file of torch.onnx.export, in channels-last memory, hence with computed shapes and strides."""
    path = tmp_path_factory.mktemp("torch") / "cnn.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 1, 8, 8),), path, dynamo=True, verbose=False, external_data=False)
    return path


def layers_of(document):
    return [layer["taps"] for layer in document["layers"] if layer["taps"]]


def test_the_taps_are_those_of_the_torch_module(network, path):
    document = simulate(path)
    assert layers_of(document) == list(taps(network, (1, 8, 8)).values())
    assert document["totals"]["paper"]["mul"] == 1_123_648
    assert document["network"]["title"] == "CNN, fp32"


def test_both_quantised_forms_have_the_same_totals(path, tmp_path):
    qdq, qoperator = (simulate(quantised(load_proto(path), tmp_path, form)) for form in ("QDQ", "QOperator"))
    assert qdq["totals"] == qoperator["totals"]
    assert qdq["comparison"]["ratios"] == qoperator["comparison"]["ratios"]
    assert "adds on scales" in qdq["tally_only"]


def test_its_topology_as_an_adder_network_counts_as_the_adder_network_that_ships(path):
    adder, shipped = simulate(path, arithmetic="adder"), simulate(SHIPPED_MODEL, limit=1)
    assert adder["totals"]["paper"] == shipped["totals"]["paper"]
    assert layers_of(adder) == layers_of(shipped)
