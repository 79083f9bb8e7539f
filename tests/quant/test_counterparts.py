"""Counterparts: the integer file says which float tensor an integer tensor stands for, and what it says is checked."""

import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper

from adderhw.errors import ModelError
from adderhw.onnx_reader import graph_of
from adderhw.plan import Plan
from export.writer import model_of
from quant import Settings, quantise
from quant.counterparts import KEY, read_counterparts
from quant.float_graph import read_float_graph
from tests.quant.networks import Network, adder_network, images, mixed_cnn, ordinary_cnn


def with_entries(graph, **entries):
    """The Graph with more entries, or other ones, in its metadata."""
    stated = json.loads(graph.metadata[KEY]) | entries
    return replace(graph, metadata={**graph.metadata, KEY: json.dumps(stated)})


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn, mixed_cnn])
def test_every_sum_pool_and_requantised_tensor_has_a_float_tensor_of_the_model(make):
    graph = graph_of(model_of(quantise(make(), images(8))), "read")
    carried = ("Flatten", "Reshape", "DequantizeLinear")
    expected = [node.output for node in graph.nodes if node.op not in carried]
    found = read_counterparts(graph)
    assert list(found) == expected
    known = {"image"} | {node.output for node in read_float_graph(make()).nodes}
    assert {each.tensor for each in found.values()} <= known
    assert {name for name, each in found.items() if not each.on_grid} == {n for n in expected if n.endswith("_sum")}


def test_an_adder_sum_stands_for_the_layers_float_output():
    net = Network(shape=(2, 5, 5))
    model = net.model(net.conv("image", "y", 2, 3, adder=True))
    pixels = images(4, shape=(2, 5, 5))
    graph = quantise(model, pixels, Settings(bits=16, edge_bits=16, range="max"))
    w = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float64)
    sums = Plan(graph, keep_all=True).run({"image": pixels})["y_sum"]
    padded = np.pad(pixels.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = -np.abs(windows[:, None] - w.reshape(3, 2, 1, 1, 3, 3)[None]).sum(axis=(2, 5, 6))
    np.testing.assert_allclose(read_counterparts(graph)["y_sum"].real(sums), expected, atol=18 * 1e-3)


def test_names_that_are_taken_do_not_mislead():
    net = Network()
    x = net.relu(net.conv("image", "stem", 3, 4))
    net.nodes[-1].output[0] = x = "stem_q"
    y = net.conv(x, "stem_q_q", 4, 4)
    model = net.model(net.node("Flatten", [net.node("GlobalAveragePool", [y], "stem_sum")], "logits"))
    found = read_counterparts(quantise(model, images(8)))
    assert found["stem_sum_2"].tensor == "stem"
    assert found["stem_q_q_2"].tensor == "stem_q"
    assert found["stem_q_q_sum"].tensor == "stem_q_q"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"stranger": {"float": "stem"}}, "found tensor 'stranger', expected only those that a node computes"),
        ({"logits": {"float": "stem"}}, "tensor 'logits': found .* expected an integer tensor"),
        ({"stem_sum": {"float": "stem"}}, "tensor 'stem_sum': found no scale in its format"),
        ({"stem_sum": {"float": "stem", "scale": [1, 2], "offset": 0}}, r"found scale \[1, 2\], expected a number, or"),
        ({"stem_sum": {"float": "stem", "scale": [[1], 2], "offset": 0}}, "found scale .* expected a number, or"),
        ({"stem_sum": {"float": "stem", "scale": float("nan"), "offset": 0}}, "found scale nan, expected a number"),
        ({"stem_sum": {"float": "stem", "scale": 0, "offset": 0}}, "found scale 0"),
        ({"stem_sum": {"float": "stem", "scale": 1}}, "found offset None, expected a number"),
        ({"stem_sum": "stem"}, "tensor 'stem_sum': found stem, expected an integer tensor with the name"),
        ({"stem_sum": {"float": 3, "scale": 1, "offset": 0}}, "found {'float': 3.*, expected an integer tensor with"),
    ],
)
def test_entries_that_do_not_fit_are_an_error(entries, message):
    graph = with_entries(quantise(adder_network(), images(4)), **entries)
    with pytest.raises(ModelError, match=f"metadata {KEY}: .*{message}"):
        read_counterparts(graph)


def test_metadata_that_is_missing_is_an_error():
    graph = replace(quantise(adder_network(), images(4)), metadata={})
    with pytest.raises(ModelError, match=f"metadata {KEY}: found none, expected what this version"):
        read_counterparts(graph)


@pytest.mark.parametrize("text", ["[1, 2]", "{", "{}", "", "[" * 100_000])
def test_metadata_that_is_no_object_is_an_error(text):
    graph = quantise(adder_network(), images(4))
    with pytest.raises(ModelError, match="expected a JSON object with integer tensors"):
        read_counterparts(replace(graph, metadata={KEY: text}))
