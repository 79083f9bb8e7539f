"""Bias correction: the means of every layer's output become the float network's."""

import numpy as np
import pytest

from adderhw.plan import Plan
from quant import Settings, correction
from quant.choices import Choices, source_grid
from quant.correction import Passage, corrected
from quant.float_graph import read_float_graph
from quant.lowering import Lowering
from quant.op_kinds import LAYERS
from quant.ranges import calibrate
from tests.quant.networks import adder_network, images, mixed_cnn, ordinary_cnn


def channel_means(values):
    """float64 (C,): the mean of each channel of an integer tensor (N, C, …)."""
    axes = (0, *range(2, values.ndim))
    return values.sum(axis=axes, dtype=np.int64) / (values.size // values.shape[1])


def tensors_of(graph, x):
    """Every integer tensor of the graph on the images."""
    return Plan(graph, keep_all=True).run({graph.inputs[0].name: x})


def one_by_one(graph, observed, x, settings):
    """The corrections with the whole network lowered and run again for each layer."""
    corrections = {}
    for node in graph.nodes:
        if node.op in LAYERS:
            choices = Choices(corrections=corrections)
            lowering = Lowering(graph, observed, source_grid(x, settings), settings, choices)
            total_of = tensors_of(lowering.run()[0], x)
            total = lowering.totals[node.output]
            found = total.a * channel_means(total_of[total.name]) + total.b
            corrections[node.output] = observed[node.output].mean - found
    return corrections


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn])
def test_the_means_of_every_layers_output_become_the_float_networks(make):
    graph, x, settings = read_float_graph(make()), images(), Settings(bits=4, range="max")
    observed = calibrate(graph, x)
    source = source_grid(x, settings)
    before = Lowering(graph, observed, source, settings)
    integer = tensors_of(before.run()[0], x)
    corrections = corrected(graph, observed, x, settings, Choices())
    after = Lowering(graph, observed, source, settings, Choices(corrections=corrections))
    fixed = tensors_of(after.run()[0], x)
    gains = 0
    for node in graph.nodes:
        if node.op in LAYERS:
            mean = observed[node.output].mean
            total, was = after.totals[node.output], before.totals[node.output]
            found = total.a * channel_means(fixed[total.name]) + total.b + corrections[node.output]
            np.testing.assert_allclose(found, mean, rtol=1e-9, atol=1e-9)
            uncorrected = was.a * channel_means(integer[was.name]) + was.b
            gains += np.abs(uncorrected - mean).sum() > np.abs(found - mean).sum() + 1e-6
    assert gains >= 2


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn, mixed_cnn])
@pytest.mark.parametrize("memory", [1 << 29, 150_000, 1])
def test_one_pass_gives_what_a_run_for_every_layer_gives_however_little_memory(make, memory, monkeypatch):
    monkeypatch.setattr(correction, "MEMORY", memory)
    graph, x, settings = read_float_graph(make()), images(19), Settings(bits=4)
    observed = calibrate(graph, x)
    found, expected = corrected(graph, observed, x, settings, Choices()), one_by_one(graph, observed, x, settings)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("make", [adder_network, mixed_cnn])
def test_a_passage_ends_with_the_corrected_graph_and_its_outputs(make):
    graph, x, settings = read_float_graph(make()), images(24), Settings(bits=5)
    observed, source = calibrate(graph, x[:10]), source_grid(x[:10], settings)
    means = {node.output: observed[node.output].mean for node in graph.nodes if node.op in LAYERS}
    lowering = Lowering(graph, observed, source, settings)
    done = Passage(lowering, x, means, count=10).finish()
    choices = Choices(corrections=corrected(graph, observed, x[:10], settings, Choices()))
    integer, _ = Lowering(graph, observed, source, settings, choices).run()
    assert done.graph.nodes == integer.nodes
    assert done.graph.metadata == integer.metadata
    assert all(np.array_equal(done.graph.parameters[name], integer.parameters[name]) for name in integer.parameters)
    outputs = Plan(integer).run({graph.inputs[0].name: x})
    assert all(np.array_equal(done.outputs[name], outputs[name]) for name in outputs)


def test_a_branch_leaves_the_passage_as_it_was():
    graph, x, settings = read_float_graph(adder_network()), images(16), Settings(bits=5)
    observed, source = calibrate(graph, x), source_grid(x, settings)
    passage = Passage(Lowering(graph, observed, source, settings), x, {})
    expected = Passage(Lowering(graph, observed, source, settings), x, {}).finish()
    passage.advance(7)
    other = passage.branch(Choices(ranges=dict.fromkeys(observed, (-9, 9)))).finish()
    found = passage.finish()
    assert np.array_equal(found.outputs["logits"], expected.outputs["logits"])
    assert not np.array_equal(other.outputs["logits"], expected.outputs["logits"])
