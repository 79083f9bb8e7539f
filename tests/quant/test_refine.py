"""Refined ranges: never worse than their start, computed as whole networks are, kept only where others gain too."""

from dataclasses import replace

import numpy as np
import pytest

from adderhw.plan import Plan
from quant import Settings, quantise, refine
from quant.choices import Choices, source_grid
from quant.correction import corrected
from quant.divergence import divergence
from quant.float_graph import read_float_graph
from quant.lowering import Lowering
from quant.op_kinds import LAYERS
from quant.ranges import calibrate, calibrate_and_record, run, session_of
from quant.refine import PASSES, descend, first_uses, is_less, parts, refined, trial_of, with_all_ranges
from tests.quant.networks import Network, adder_layer, adder_network, images, mixed_cnn


def trial(make=adder_network, bits=3, count=40, **settings):
    """(Trial with every fourth image held out, choices with the calibration's ranges)."""
    graph, x, settings = read_float_graph(make()), images(count), Settings(bits=bits, **settings)
    layers = [node.output for node in graph.nodes if node.op in LAYERS]
    observed, recorded = calibrate_and_record(graph, x, layers)
    source = source_grid(x, settings)
    made = trial_of(graph, observed, source, settings, x, recorded, *parts(count))
    return made, with_all_ranges(graph, observed, source, settings, Choices())


@pytest.mark.parametrize(("make", "bits"), [(adder_network, 2), (adder_network, 4), (mixed_cnn, 3)])
def test_a_pass_never_ends_worse_than_its_start_on_its_own_loss(make, bits):
    made, choices = trial(make, bits)
    start = made.fitted(made.passage(choices, made.count)).mean()
    seen = []
    after = descend(made, choices, PASSES[0], 1, lambda *progress: seen.append(progress))
    assert made.fitted(made.passage(after, made.count)).mean() <= start
    assert after.ranges != choices.ranges
    assert list(after.ranges) == list(choices.ranges)
    count = len(choices.ranges)
    assert seen == [(count + at + 1, len(PASSES) * count) for at in range(count)]


def test_the_loss_of_a_trial_is_that_of_the_corrected_network():
    made, choices = trial()
    graph, x, settings = made.graph, made.images, made.settings
    fitted = calibrate(graph, x[: made.count])
    observed = {name: replace(seen, sums=fitted[name].sums, images=made.count) for name, seen in made.observed.items()}
    corrections = corrected(graph, observed, x[: made.count], settings, choices)
    lowering = Lowering(graph, observed, made.source, settings, replace(choices, corrections=corrections))
    found = Plan(lowering.run()[0]).run({graph.inputs[0].name: x})["logits"]
    expected = run(session_of(graph, graph.outputs), graph, x)[0]
    held = divergence({"logits": expected[made.count :]}, {"logits": found[made.count :]})
    assert made.held_out(choices) == pytest.approx(held, rel=1e-4)


def test_the_first_node_that_asks_for_a_grid_is_where_trials_part():
    made, choices = trial()
    uses = first_uses(made.graph, made.observed, made.source, made.settings, choices)
    assert list(uses.values()) == sorted(uses.values())
    name, first = list(uses.items())[2]
    tried = replace(choices, ranges={**choices.ranges, name: (0.0, 1.7)})
    passage = made.passage(choices, made.count)
    passage.advance(first)
    assert np.array_equal(made.fitted(passage.branch(tried)), made.fitted(made.passage(tried, made.count)))


def test_what_held_out_images_do_not_gain_by_is_not_kept(monkeypatch):
    made, choices = trial()
    graph, x = made.graph, images(40)
    layers = [node.output for node in graph.nodes if node.op in LAYERS]
    observed, recorded = calibrate_and_record(graph, x, layers)
    arguments = (graph, observed, made.source, made.settings, x, recorded, choices)
    losses = iter([3.0, 2.0, 1.0, 0.5])
    monkeypatch.setattr(refine.Trial, "held_out", lambda *_: next(losses))
    assert refined(*arguments).ranges != choices.ranges
    losses = iter([1.0, 2.0])
    monkeypatch.setattr(refine.Trial, "held_out", lambda *_: next(losses))
    assert refined(*arguments).ranges == choices.ranges


def test_every_fourth_image_is_held_out_and_a_few_hundred_suffice():
    fitted, held = parts(11)
    assert (fitted.tolist(), held.tolist()) == ([0, 1, 2, 4, 5, 6, 8, 9, 10], [3, 7])
    fitted, held = parts(5000)
    assert len(fitted) == len(held) == refine.MOST_IMAGES
    assert not set(fitted) & set(held)
    assert parts(1)[1].tolist() == [0]


def test_a_gain_counts_when_it_is_more_than_its_standard_error():
    noise = np.random.default_rng(0).normal(0, 1, 400)
    others = np.ones(400)
    assert is_less(others - 0.2 - noise, others)
    assert not is_less(others - 0.001 - (noise - noise.mean()), others)
    assert not is_less(others, others)


def test_divergence_is_the_one_of_the_definition():
    expected, found = images(5, shape=(3,)), images(5, 1, shape=(3,)).astype(np.float64)
    p, q = (np.exp(z.astype(np.float64)) / np.exp(z.astype(np.float64)).sum(axis=1)[:, None] for z in (expected, found))
    assert divergence({"y": expected}, {"y": found}) == pytest.approx((p * np.log(p / q)).sum() / 5)
    assert divergence({"y": expected}, {"y": expected + 100}) == pytest.approx(0, abs=1e-6)
    far = np.array([[1e4, 0.0]], np.float32)
    assert divergence({"y": far}, {"y": -far}) == pytest.approx(1e4)


def test_outputs_that_are_no_classes_diverge_by_their_squared_error():
    expected = images(6, shape=(2, 3, 3))
    assert divergence({"y": expected}, {"y": expected + 2.0}) == pytest.approx(4 / expected.var(), rel=1e-5)
    assert divergence({"y": 0 * expected}, {"y": 0 * expected}) == 0
    both = {"y": expected, "z": images(6, shape=(4,))}
    assert divergence(both, both) == 0


def test_an_image_to_image_network_is_refined_too():
    net = Network(shape=(4, 6, 6))
    model = net.model(adder_layer(net, net.relu("image"), "layer", 4, 4))
    x = images(24, shape=(4, 6, 6))
    graphs = [quantise(model, x, Settings(bits=3, range=name)) for name in ("error", "divergence")]
    (name,) = graphs[0].outputs
    expected = run(session_of(read_float_graph(model), [name]), read_float_graph(model), x)[0]
    losses = [divergence({name: expected}, Plan(graph).run({graph.inputs[0].name: x})) for graph in graphs]
    assert losses[1] <= losses[0]
