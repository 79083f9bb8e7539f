"""Corrections: the mean and the slope of every layer's output become the float network's."""

import numpy as np
import pytest

from adderhw.plan import Plan
from quant import Settings, correction
from quant.choices import Choices, source_grid
from quant.correction import Passage, corrected, gains, targets_of
from quant.float_graph import read_float_graph
from quant.fold import Correction
from quant.lowering import Lowering
from quant.op_kinds import LAYERS
from quant.ranges import calibrate, calibrate_and_record, places_of
from tests.quant.networks import adder_network, images, mixed_cnn, ordinary_cnn


def channel_means(values):
    """float64 (C,): the mean of each channel of an integer tensor (N, C, …)."""
    axes = (0, *range(2, values.ndim))
    return values.sum(axis=axes, dtype=np.int64) / (values.size // values.shape[1])


def tensors_of(graph, x):
    """Every integer tensor of the graph on the images."""
    return Plan(graph, keep_all=True).run({graph.inputs[0].name: x})


def recorded_of(graph, x):
    """calibrate_and_record with every layer's output."""
    return calibrate_and_record(graph, x, [node.output for node in graph.nodes if node.op in LAYERS])


def one_by_one(graph, observed, targets, x, settings):
    """The corrections with the whole network lowered and run again for each layer."""
    corrections = {}
    for name, target in targets.items():
        choices = Choices(corrections=corrections)
        lowering = Lowering(graph, observed, source_grid(x, settings), settings, choices)
        values = tensors_of(lowering.run()[0], x)
        total = lowering.totals[name]
        sums = values[total.name]
        gain = np.ones(len(total.a))
        if target.places is not None:
            at = np.stack(
                [each.reshape(len(each), -1)[:, own].T for each, own in zip(sums, target.places, strict=True)]
            )
            gain = gains(total.a * at, target.values)
        corrections[name] = Correction(gain, target.mean - gain * (total.a * channel_means(sums) + total.b))
    return corrections


@pytest.mark.parametrize("with_gain", [False, True])
@pytest.mark.parametrize("make", [adder_network, ordinary_cnn])
def test_the_means_of_every_layers_output_become_the_float_networks(make, with_gain):
    graph, x, settings = read_float_graph(make()), images(), Settings(bits=4, range="max", gain_correction=with_gain)
    observed, recorded = recorded_of(graph, x)
    source = source_grid(x, settings)
    before = Lowering(graph, observed, source, settings)
    integer = tensors_of(before.run()[0], x)
    corrections = corrected(graph, observed, x, settings, Choices(), targets_of(observed, recorded, settings))
    after = Lowering(graph, observed, source, settings, Choices(corrections=corrections))
    fixed = tensors_of(after.run()[0], x)
    better = 0
    for node in graph.nodes:
        if node.op in LAYERS:
            mean = observed[node.output].mean
            total, was, (gain, offset) = after.totals[node.output], before.totals[node.output], corrections[node.output]
            found = gain * (total.a * channel_means(fixed[total.name]) + total.b) + offset
            np.testing.assert_allclose(found, mean, rtol=1e-9, atol=1e-9)
            assert with_gain or (gain == 1).all()
            uncorrected = was.a * channel_means(integer[was.name]) + was.b
            better += np.abs(uncorrected - mean).sum() > np.abs(found - mean).sum() + 1e-6
    assert better >= 2


def errors_of(graph, observed, recorded, x, settings):
    """Layer output → the variance of its error on the sampled places, summed over the channels."""
    targets = targets_of(observed, recorded, Settings(gain_correction=True))
    corrections = corrected(graph, observed, x, settings, Choices(), targets_of(observed, recorded, settings))
    lowering = Lowering(graph, observed, source_grid(x, settings), settings, Choices(corrections=corrections))
    values, found = tensors_of(lowering.run()[0], x), {}
    for name, target in targets.items():
        total, (gain, offset) = lowering.totals[name], corrections[name]
        sums = values[total.name]
        at = np.stack([each.reshape(len(each), -1)[:, own].T for each, own in zip(sums, target.places, strict=True)])
        error = gain * (total.a * at + total.b) + offset - target.values
        found[name] = error.var(axis=(0, 1)).sum()
    return found


def test_with_the_gain_the_errors_of_a_coarse_network_are_smaller():
    graph, x = read_float_graph(adder_network()), images(64)
    observed, recorded = recorded_of(graph, x)
    without, with_gain = (
        errors_of(graph, observed, recorded, x, Settings(bits=2, gain_correction=on)) for on in (False, True)
    )
    assert sum(with_gain.values()) < 0.98 * sum(without.values())


def test_gains_are_slopes_where_the_images_tell_them_from_one():
    random = np.random.default_rng(0)
    found = random.normal(5, 2, (4_000, 2, 4))
    meant = found * [0.9, 1.2, 3.0, 1.0] + 7 + random.normal(0, 0.1, found.shape)
    slopes = gains(found, meant.astype(np.float32))
    np.testing.assert_allclose(slopes, [0.9, 1.2, 2.0, 1.0], atol=0.005)  # 3 is beyond the bound


def test_few_noisy_images_leave_the_gain_at_one():
    random = np.random.default_rng(1)
    found = random.normal(0, 1, (8, 1, 400))
    meant = (found + random.normal(0, 0.5, found.shape)).astype(np.float32)
    slopes = gains(found, meant)
    assert (slopes == 1).mean() > 0.5
    x = found - found.mean((0, 1))
    unshrunk = (x * meant).sum((0, 1)) / (x * x).sum((0, 1))
    assert np.abs(slopes - 1).mean() < 0.6 * np.abs(unshrunk - 1).mean()


def test_a_constant_sum_has_a_gain_of_one():
    assert gains(np.ones((5, 2, 1)), np.arange(10, dtype=np.float32).reshape(5, 2, 1)) == 1


@pytest.mark.parametrize("area", [1, 7, 8, 9, 64, 1024])
def test_places_are_inside_and_do_not_depend_on_the_batches(area):
    whole = places_of(0, 50, area)
    assert whole.shape == (50, min(area, 8))
    assert whole.min() == 0
    assert whole.max() < area
    assert np.array_equal(whole, np.concatenate([places_of(0, 20, area), places_of(20, 30, area)]))
    assert len(np.unique(whole)) >= min(area, 300)


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn, mixed_cnn])
@pytest.mark.parametrize("memory", [1 << 29, 150_000, 1])
def test_one_pass_gives_what_a_run_for_every_layer_gives_however_little_memory(make, memory, monkeypatch):
    monkeypatch.setattr(correction, "MEMORY", memory)
    graph, x, settings = read_float_graph(make()), images(19), Settings(bits=4, gain_correction=True)
    observed, recorded = recorded_of(graph, x)
    targets = targets_of(observed, recorded, settings)
    found = corrected(graph, observed, x, settings, Choices(), targets)
    expected = one_by_one(graph, observed, targets, x, settings)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("make", [adder_network, mixed_cnn])
def test_a_passage_ends_with_the_corrected_graph_and_its_outputs(make):
    graph, x, settings = read_float_graph(make()), images(24), Settings(bits=5, gain_correction=True)
    observed, recorded = recorded_of(graph, x[:10])
    source, targets = source_grid(x[:10], settings), targets_of(observed, recorded, settings)
    lowering = Lowering(graph, observed, source, settings)
    done = Passage(lowering, x, targets, count=10).finish()
    choices = Choices(corrections=corrected(graph, observed, x[:10], settings, Choices(), targets))
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
