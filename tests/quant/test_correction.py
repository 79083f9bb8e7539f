"""Bias correction: the means of every layer's output become the float network's."""

import numpy as np
import pytest

from adderhw.plan import Plan
from quant import Settings
from quant.choices import Choices, source_grid
from quant.convert import quantise
from quant.correction import channel_means, corrected, ending_at
from quant.float_graph import read_float_graph
from quant.lower import LAYERS, Lowering
from quant.ranges import calibrate
from tests.quant.networks import adder_network, images, ordinary_cnn


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn])
def test_the_means_of_every_layers_output_become_the_float_networks(make):
    graph, x, settings = read_float_graph(make()), images(), Settings(bits=4, range="max")
    observed = calibrate(graph, x)
    source = source_grid(x, settings)
    before = Lowering(graph, observed, source, settings)
    integer = before.run()[0]
    corrections = corrected(graph, observed, x, settings, Choices())
    after = Lowering(graph, observed, source, settings, Choices(corrections=corrections))
    fixed = after.run()[0]
    gains = 0
    for node in graph.nodes:
        if node.op in LAYERS:
            mean = observed[node.output].mean
            total, was = after.totals[node.output], before.totals[node.output]
            found = total.a * channel_means(fixed, total.name, x) + total.b + corrections[node.output]
            np.testing.assert_allclose(found, mean, rtol=1e-9, atol=1e-9)
            uncorrected = was.a * channel_means(integer, was.name, x) + was.b
            gains += np.abs(uncorrected - mean).sum() > np.abs(found - mean).sum() + 1e-6
    assert gains >= 2


def test_part_of_a_graph_computes_the_same_tensor():
    graph = quantise(adder_network(), images(), Settings(bits=6))
    x = {graph.inputs[0].name: images(3)}
    whole = Plan(graph, keep_all=True).run(x)
    for node in graph.nodes[3::4]:
        part = ending_at(graph, node.output)
        assert np.array_equal(Plan(part).run(x)[node.output], whole[node.output])
        assert len(part.nodes) <= len(graph.nodes)
    assert len(ending_at(graph, graph.nodes[0].output).nodes) == 1
