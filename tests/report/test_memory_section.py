"""The document with an accelerator: every loaded network moved and priced, its layers add up, misfits are named."""

import pytest

from adderhw.cost.accelerator import load_accelerator
from adderhw.errors import CostError
from tests.report.example import document, mac
from tests.report.test_summary import printed


@pytest.fixture(scope="module")
def doc():
    return document(accelerator=load_accelerator("systolic_like"))


def test_without_an_accelerator_there_is_no_memory():
    doc = document()
    assert doc["memory"] is None
    assert {layer["memory"] for layer in doc["layers"]} == {None}


def test_the_networks_figures_are_the_sums_of_its_layers(doc):
    whole = doc["memory"]["networks"]["ann"]
    layers = [layer["memory"] for layer in doc["layers"] if layer["memory"]]
    for field in ("cycles", "array_cycles", "dram_cycles"):
        assert whole[field] == sum(layer[field] for layer in layers)
    for level, bits in whole["bits"].items():
        assert bits == sum(layer["bits"][level] for layer in layers)
    for level, picojoule in whole["energy_pj"].items():
        assert picojoule == pytest.approx(sum(layer["energy_pj"][level] for layer in layers))


def test_the_ratio_with_memory_adds_arithmetic_and_memory(doc):
    energy = {name: network["energy_pj"] for name, network in doc["memory"]["networks"].items()}
    whole = {name: memory["registers"] + memory["buffer"] + memory["dram_low"] for name, memory in energy.items()}
    own = doc["totals"]["energy_pj"]["qtools45"] + whole["ann"]
    rival = doc["baselines"]["cnn"]["energy_pj"]["qtools45"] + whole["cnn"]
    ratio = doc["memory"]["ratios"]["cnn"]
    assert ratio["by_table"]["qtools45, DRAM low"] == pytest.approx(rival / own)
    assert len(ratio["by_table"]) == 2 * len(doc["comparison"]["tables"])
    assert 1 < ratio["by_table"]["qtools45, DRAM low"] < doc["comparison"]["ratios"]["cnn"]["by_table"]["qtools45"]


def test_wired_networks_have_no_array_and_say_so(doc):
    assert set(doc["memory"]["unfit"]) == {"ann_wired", "cnn_wired", "shift_wired"}
    assert not set(doc["memory"]["unfit"]) & set(doc["memory"]["networks"])


def test_a_network_that_does_not_fit_is_an_error_and_a_rival_is_named():
    with pytest.raises(
        CostError, match="accelerator eyeriss_like: layer wide: found 9000 weights of an output channel"
    ):
        document(layers=[mac("wide", "MatMulInteger", 9000, 10)], accelerator=load_accelerator("eyeriss_like"))
    doc = document(layers=[mac("w", "MatMulInteger", 4000, 10)], accelerator=load_accelerator("eyeriss_like"))
    assert doc["memory"]["unfit"]["float32"].endswith("found 4000 weights of an output channel, expected at most 2048")


def test_the_summary_says_both_figures_and_what_each_assumes(doc):
    text = printed(doc)
    assert "on Systolic, 32 × 32, weight stationary: " in text
    assert "times this network's energy, arithmetic and memory, over the same tables and both ends of DRAM:" in text
    assert "arithmetic only: no memory, registers, wires" in text
    assert "memory: Horowitz 2014 memories, 45 nm. Layer by layer:" in text
    assert "no figure for ANN, hard-wired; CNN, hard-wired; Shift network, hard-wired: hard-wired weights:" in text
