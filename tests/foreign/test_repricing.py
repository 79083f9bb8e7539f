"""Topologies with other arithmetic: what --as prices equals the rival that stands beside the network."""

import pytest

from adderhw.errors import AdderHwError
from adderhw.simulation import SHIPPED_MODEL, simulate
from tests.foreign.models import float_cnn, plain_cnn, quantised


@pytest.fixture(scope="module")
def shipped():
    return simulate(limit=1)


@pytest.mark.parametrize("name", ["cnn", "bnn"])
def test_this_toolkits_network_as_another_is_its_rival(shipped, name):
    other = simulate(SHIPPED_MODEL, arithmetic=name)
    for key in ("paper", "events", "energy_pj"):
        assert other["totals"][key] == shipped["baselines"][name][key], key
    assert other["network"]["name"] == name
    assert other["tally_only"] == "its topology is priced with other arithmetic than the file's"
    assert (other["accuracy"], other["check"], other["data"]["count"]) == (None, None, 0)


def test_this_toolkits_network_as_an_adder_network_is_itself(shipped):
    other = simulate(SHIPPED_MODEL, arithmetic="adder")
    assert other["totals"]["events"] == shipped["totals"]["events"]
    assert other["ratios"] == shipped["ratios"]


def test_a_foreign_network_as_an_adder_network_by_hand(tmp_path):
    path = quantised(plain_cnn(), tmp_path, "QDQ")
    own, other = simulate(path), simulate(path, arithmetic="adder")
    taps = {layer["name"]: layer["taps"] for layer in own["layers"] if layer["taps"]}
    assert list(taps.values()) == [6912, 972, 120]
    inner = other["layers"][[layer["name"] for layer in other["layers"]].index(list(taps)[1])]
    # 8 bits, 18 taps an output: 8 + 5 bits
    assert inner["events"] == {"add:13": 972, "sub:8": 972, "abs:9": 972}
    assert (inner["kind"], inner["cause"], inner["paper"]["add"]) == ("adder", "adder layers", 2 * 972)
    assert own["baselines"]["ann"]["events"] == other["totals"]["events"]
    assert other["baselines"]["cnn"]["events"] == own["totals"]["events"]
    assert own["ratios"] == other["ratios"]


def test_rivals_of_a_float_network_have_the_width_that_was_asked_for(tmp_path):
    import onnx

    onnx.save(float_cnn(), tmp_path / "f.onnx")
    document = simulate(tmp_path / "f.onnx", bits=4)
    assert document["network"]["title"] == "CNN, fp32"
    assert document["baselines"]["cnn"]["bits"] == {"input": [4, 4], "weight": [4, 4]}
    assert document["totals"]["events"]["fmul:32"] == 16152
    assert "mul:4" in document["baselines"]["cnn"]["events"]
    assert document["model"]["parameters"] == 4 * 27 + 4 * 36 + 20
    half = document["baselines"]["float16"]["events"]
    assert half["fmul:16"] == 16152


def test_the_bits_of_an_integer_network_are_not_asked_for(tmp_path):
    with pytest.raises(AdderHwError, match="bits: found 8 for an integer model, expected none"):
        simulate(quantised(plain_cnn(), tmp_path, "QDQ"), bits=8)


def test_memory_is_priced_for_a_foreign_network(tmp_path):
    document = simulate(quantised(float_cnn(), tmp_path, "QOperator"), accelerator="output_like")
    moved = document["memory"]["networks"]
    assert {"cnn", "ann", "bnn"} <= set(moved)
    add = next(layer for layer in document["layers"] if layer["op"] == "QLinearAdd")
    assert add["memory"]["accesses"]["dram"]["activations"]["read"] == 256
    assert add["memory"]["bits"]["dram"] == 256 * 8
