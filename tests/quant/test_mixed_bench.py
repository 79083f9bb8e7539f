"""Measuring mixed widths: the energy is the simulator's, the outputs are those of the network that is written."""

import numpy as np
import pytest

from adderhw.cost.energy import load_table
from adderhw.plan import Plan
from adderhw.simulation import simulate
from export.writer import write_graph
from quant import Settings
from quant.choices import Choices
from quant.convert import quantise_with_summary
from quant.divergence import divergence
from quant.float_graph import read_float_graph
from quant.grids import activation_grid
from quant.mixed_bench import bench, network_energy
from quant.ranges import run, session_of
from quant.search import adder_readers, least_error_ranges
from tests.quant.networks import adder_network, images, mixed_cnn

TABLE = load_table("horowitz45")


def made(make=adder_network, count=24, **settings):
    graph, settings = read_float_graph(make()), Settings(bits=6, **settings)
    labels = np.arange(20) % 5
    return bench(graph, images(count), images(20, 5), labels, settings, TABLE)


@pytest.mark.parametrize("make", [adder_network, mixed_cnn])
def test_energies_are_those_of_the_simulator(make, tmp_path):
    found = made(make)
    ranges = found.ranges((3, 5, 6))
    widths = tuple((3, 5, 6)[at % 3] for at in range(len(found.tensors)))
    graph, _ = found.network(widths, ranges)
    write_graph(graph, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", images(4))
    document = simulate(tmp_path / "m.onnx", data=str(tmp_path / "x.npy"), energy=["horowitz45", "qtools45"])
    for name, expected in document["totals"]["energy_pj"].items():
        assert network_energy(graph, load_table(name)) == expected
    assert found.measure(widths, ranges).energy == pytest.approx(
        document["totals"]["energy_pj"]["horowitz45"], rel=0.01
    )
    assert found.measure(widths, ranges).energy < found.measure(found.uniform(6), ranges).energy


def test_a_point_is_what_the_network_that_is_written_does():
    found = made()
    widths = (6, *found.uniform(4)[1:])
    ranges = found.ranges((4, 6))
    point = found.measure(widths, ranges)
    graph, layers = found.network(widths, ranges)
    assert {layer.bits for layer in layers if layer.op.startswith("Adder")} == {4, 6}
    x = images(20, 5)
    logits = Plan(graph).run({graph.inputs[0].name: x})["logits"]
    expected = run(session_of(found.trial.graph, ["logits"]), found.trial.graph, x)[0]
    assert point.loss == pytest.approx(divergence({"logits": expected}, {"logits": logits}), rel=1e-3)
    assert point.correct == (logits.argmax(axis=1) == np.arange(20) % 5).sum()
    assert found.float_correct() == (expected.argmax(axis=1) == np.arange(20) % 5).sum()
    assert point.widths == widths


def test_points_that_share_a_base_are_what_they_are_alone():
    found, alone = made(), made()
    base, ranges = found.uniform(6), found.ranges((4, 6))
    for at in (0, 2, 2, 4, 1, 5):
        widths = tuple(4 if at == number else bits for number, bits in enumerate(base))
        shared, expected = found.measure(widths, ranges, base), alone.measure(widths, ranges)
        assert shared._replace(seconds=0) == expected._replace(seconds=0)
    assert found.measure(base, ranges, base)[:4] == alone.measure(base, ranges)[:4]
    assert found.trunk[0] == base
    assert alone.trunk is None


def test_every_grid_is_searched_and_ends_keep_their_bits():
    found = made(edge_bits=7)
    assert set(adder_readers(found.trial.graph)) < set(found.tensors)
    assert found.edges == {"flat"}
    uniform = dict(zip(found.tensors, found.uniform(3), strict=True))
    assert uniform.pop("flat") == 7
    assert set(uniform.values()) == {3}
    ranges = found.ranges((3, 4))
    assert set(ranges) == {(name, bits) for name in adder_readers(found.trial.graph) for bits in (3, 4)}
    choices = found.choices(found.uniform(3), ranges)
    assert isinstance(choices, Choices)
    assert set(choices.ranges) == set(adder_readers(found.trial.graph))


def test_the_range_of_each_width_is_the_one_that_a_network_of_that_width_has():
    found = made(count=64)
    ranges = found.ranges((3, 8))
    for bits in (3, 8):
        lowering = quantise_with_summary(found.trial.graph, found.calibration, Settings(bits=bits))
        steps = {layer.name: layer.scale for layer in lowering.layers}
        for name, nodes in adder_readers(found.trial.graph).items():
            assert {steps[node.name] for node in nodes} == {activation_grid(*ranges[name, bits], bits).scale}
    searched = least_error_ranges(found.trial.graph, found.trial.observed, found.calibration, lambda name: 3)
    assert any(searched[name] != ranges[name, 3] for name in searched)


def test_without_labels_nothing_is_right():
    graph = read_float_graph(adder_network())
    found = bench(graph, images(8), images(4, 5), None, Settings(bits=4, bias_correction=False), TABLE)
    assert found.measure(found.uniform(4), {}).correct is None
    assert found.float_correct() is None
