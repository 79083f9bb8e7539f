"""Groups of filters: the clustering is optimal, each group has its own grid, and the sums are exact in their order."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from adderhw.errors import AdderHwError
from adderhw.kernels import paths
from adderhw.onnx_reader import graph_of
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from export.writer import model_of
from quant import Settings, compare, quantise, quantise_with_summary
from quant.builder import Builder
from quant.choices import Choices, source_grid
from quant.counterparts import read_counterparts
from quant.float_graph import read_float_graph
from quant.grids import activation_grid
from quant.groups import FilterGroup, clusters, filter_groups
from quant.lowering import Lowering
from quant.op_kinds import ADDING
from quant.ranges import calibrate
from quant.search import activations, layer_error, least_error_groups
from tests.quant.networks import Network, adder_layer, images


def split_network(seed=0):
    """A stem, a grouped adder layer and a 1×1 adder shortcut that read one tensor, a residual, an adder layer behind
    it and one behind a max pool, and a fully connected adder layer behind a global average pool."""
    net = Network(seed=seed)
    x = net.relu(net.batch_norm(net.conv("image", "stem", 3, 8), "stem_bn", 8))
    branch = net.relu(adder_layer(net, x, "grouped", 8, 8, strides=[2, 2], group=4))
    branch = adder_layer(net, branch, "second", 8, 8)
    shortcut = adder_layer(net, x, "shortcut", 8, 8, kernel=1, strides=[2, 2], pads=[0, 0, 0, 0])
    x = net.relu(net.node("Add", [branch, shortcut], "residual"))
    x = net.relu(net.node("Add", [adder_layer(net, x, "third", 8, 8), x], "identity"))
    x = net.node("MaxPool", [x], "pooled", kernel_shape=[2, 2], strides=[1, 1])
    x = net.relu(adder_layer(net, x, "last", 8, 6))
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x], "global")], "flat")
    w = net.constant("w", net.random.normal(0, 1, (5, 6)) * np.arange(1, 6)[:, None])
    return net.model(net.node("AdderGemm", [x, w], "logits", "adderhw", transB=1))


SUMMING = ("AdderConvInteger", "AdderGemmInteger", "ConvInteger")
SPLIT = {"grouped_adder", "second_adder", "shortcut_adder", "third_adder", "logits"}


def spread(values, cuts):
    """The sum of squared distances of sorted values to the means of the parts between the cuts."""
    return sum(((part - part.mean()) ** 2).sum() for part in np.split(values, cuts) if len(part))


@given(values=st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=9), count=st.integers(1, 4))
def test_no_other_clustering_has_a_smaller_spread(values, count):
    values = np.array(values, np.float64)
    labels = clusters(values, count)
    number = labels.max() + 1
    assert number == min(count, len(set(values)))
    assert set(labels) == set(range(number))
    assert (np.diff(labels[np.argsort(values, kind="stable")]) >= 0).all()
    assert all(len(set(labels[values == value])) == 1 for value in values)
    found = sum(((values[labels == k] - values[labels == k].mean()) ** 2).sum() for k in range(number))
    best = min(spread(np.sort(values), cuts) for cuts in combinations(range(1, len(values)), number - 1))
    assert found <= best + 1e-9 * (1 + values.var())


def test_filters_are_grouped_by_their_largest_weight():
    largest = np.array([9.0, 0.1, 5.0, 0.2, 9.5, 5.1])
    weight = largest[:, None, None, None] * np.array([[0.5, -1.0]]).reshape(1, 2, 1, 1)
    assert [group.tolist() for group in filter_groups(weight, 1, 3)] == [[1, 3], [2, 5], [0, 4]]
    assert [group.tolist() for group in filter_groups(weight, 3, 2)] == [[2, 3], [0, 1, 4, 5]]
    assert [group.tolist() for group in filter_groups(np.ones((4, 2)), 1, 3)] == [[0, 1, 2, 3]]


@pytest.fixture(scope="module")
def result():
    """The Quantisation of split_network in up to 3 groups at 4 bits."""
    return quantise_with_summary(split_network(), images(), Settings(bits=4, filter_groups=3))


def nodes_of(graph, op):
    """The nodes of one op, in order."""
    return [node for node in graph.nodes if node.op == op]


def lowered(settings, count, x):
    """The integer Graph of split_network with every adder layer in `count` groups, each range half the one before."""
    graph = read_float_graph(split_network())
    observed, groups = calibrate(graph, x), {}
    for node in graph.nodes:
        if node.op in ADDING:
            filters = filter_groups(graph.constants[node.inputs[1]], node.attributes.get("group", 1), count)
            low, high = observed[node.inputs[0]].low, observed[node.inputs[0]].high
            ranges = [(low / 2**half, high / 2**half) for half in range(count)]
            groups[node.output] = tuple(map(FilterGroup, filters, ranges))
    return Lowering(graph, observed, source_grid(x, settings), settings, Choices(groups=groups)).run()[0]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (Settings(bits=4), 3),
        (Settings(bits=8, multiplication_free=True), 2),
        (Settings(bits=16, edge_bits=16), 4),
    ],
    ids=["4", "8", "16"],
)
def test_simulator_and_onnxruntime_agree_on_every_integer(settings, count):
    x = images(6)
    model = model_of(lowered(settings, count, x))
    graph = graph_of(model, "read")
    assert len(nodes_of(graph, "Concat")) == 6
    assert len([node for node in graph.nodes if node.op in SUMMING]) == 1 + 6 * count
    check = OrtCheck(model, graph, threads=1)
    tensors = Plan(graph, keep_all=True).run({"image": x})
    check.compare({"image": x}, tensors)
    assert (check.mismatches, check.first) == (0, None)
    for path in paths():
        logits = Plan(graph, path=path, threads=2).run({"image": x})["logits"]
        np.testing.assert_array_equal(logits, tensors["logits"])
    kinds = {event.kind for work in graph.work() for event in work.events}
    assert ("mul" in kinds) != settings.multiplication_free


def test_sums_are_int64_for_all_groups_where_one_needs_it(monkeypatch):
    wanted = iter([TensorProto.INT32, TensorProto.INT64, *[TensorProto.INT32] * 99])
    monkeypatch.setattr(Builder, "sum_code", lambda *_: next(wanted))
    found = parts(lowered(Settings(), 2, images(4)), "grouped_adder")
    assert [node.attributes["output_dtype"] for node in found] == [TensorProto.INT64] * 2


def parts(graph, layer):
    """The nodes of an adder layer's groups."""
    return [node for node in graph.nodes if node.name.startswith(f"{layer}_node_group")]


def test_the_groups_of_a_layer_have_grids_of_their_own_and_as_many_taps_as_the_whole_layer(result):
    whole, split = quantise(split_network(), images(8), Settings(bits=4)), result.graph
    taps = {work.name: work.taps for work in whole.work()}
    works = {work.name: work for work in split.work()}
    for layer in SPLIT:
        found = parts(split, layer)
        assert len(found) == 3
        assert sum(works[node.name].taps for node in found) == taps[f"{layer}_node"]
        for node in found:
            x, w = (split.formats[name] for name in node.inputs[:2])
            assert x == w
            assert x.bits == 4
    grids = {split.formats[node.inputs[0]] for layer in SPLIT for node in parts(split, layer)}
    assert len(grids) > len(SPLIT)


def test_a_requantisation_more_is_counted_for_each_grid_more_and_none_for_the_wiring(result):
    graph = result.graph
    works = {work.name: work for work in graph.work()}
    wiring = [node for node in graph.nodes if node.op in ("Concat", "Gather")]
    assert wiring
    assert not any(works[node.name].events for node in wiring)
    for layer in ("second_adder", "third_adder"):
        inputs = {node.inputs[0] for node in parts(graph, layer)}
        makers = [node for node in nodes_of(graph, "Requantize") if node.output in inputs]
        assert len(makers) == len({graph.formats[name] for name in inputs})
        assert len({node.inputs[0] for node in makers}) == 1
        elements = graph.tensors[makers[0].output].elements
        assert all(sum(n for e, n in works[m.name].events.items() if e.kind == "cmp") == 2 * elements for m in makers)


def test_the_filters_of_a_grouped_convolution_read_only_their_own_channels():
    graph = lowered(Settings(), 3, images(4))
    found = parts(graph, "grouped_adder")
    assert sum(node.attributes["group"] for node in found) == 4
    makers = {node.output: node for node in graph.nodes}
    read = []
    for node in found:
        gather = makers[makers[node.inputs[0]].inputs[0]]
        channels = graph.parameters[gather.inputs[1]].tolist()
        assert graph.tensors[node.inputs[0]].shape[1] == len(channels) == 2 * node.attributes["group"]
        read += channels
    assert sorted(read) == list(range(8))


def test_what_lies_on_one_grid_already_stays_on_it():
    net = Network(shape=(2, 6, 6))
    x = net.node("MaxPool", [net.relu(net.conv("image", "first", 2, 4, adder=True))], "pooled", kernel_shape=[2, 2])
    model = net.model(net.conv(x, "logits", 4, 4, adder=True))
    graph = quantise(model, images(8, shape=(2, 6, 6)), Settings(filter_groups=2))
    assert {node.op for node in graph.nodes}.isdisjoint({"Concat", "Gather"})


def test_the_merged_sum_is_the_layers_float_output_channel_by_channel():
    model, x = split_network(), images(8)
    graph = quantise(model, x, Settings(bits=12, edge_bits=12, filter_groups=3))
    floats, counterparts = read_float_graph(model), read_counterparts(graph)
    tensors = Plan(graph, keep_all=True).run({"image": x})
    for layer in SPLIT:
        name = next(key for key, each in counterparts.items() if each.tensor == layer)
        real = activations(floats, x, {layer})[layer]
        error, axes = counterparts[name].real(tensors[name]) - real, (0, *range(2, real.ndim))
        assert (error.std(axis=axes) < 0.02 * real.std(axis=axes)).all()
    assert not any("_group1" in name for name in counterparts)


def test_the_comparison_sees_the_merged_sums_and_every_grid(result, tmp_path):
    for name, model in (("float", split_network()), ("integer", model_of(result.graph))):
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", images(8))
    found = compare(tmp_path / "float.onnx", tmp_path / "integer.onnx", data=str(tmp_path / "x.npy")).tensors
    merged = {each.tensor for each in found if each.op in ("Concat", "Gather")}
    assert merged == SPLIT
    assert len([each for each in found if each.tensor == "residual_relu" and each.op == "Requantize"]) > 2
    assert all(each.sqnr > 0 for each in found)


def test_bounds_are_those_of_each_channels_own_group():
    graph = lowered(Settings(), 3, images(4))
    gathers = [node for node in nodes_of(graph, "Gather") if node.inputs[1].endswith("_order")]
    assert gathers
    makers = {node.output: node for node in graph.nodes}
    for node in gathers:
        joined = np.concatenate([graph.tensors[name].high for name in makers[node.inputs[0]].inputs])
        np.testing.assert_array_equal(graph.tensors[node.output].high, joined[graph.parameters[node.inputs[1]]])


@pytest.mark.parametrize(("count", "steps"), [(2, 27), (3, 27), (5, 54)])
def test_groups_have_neighbouring_ranges_of_the_least_error(count, steps):
    x, graph = images(), read_float_graph(split_network())
    groups = least_error_groups(graph, calibrate(graph, x), x, lambda name: 4, count)
    assert set(groups) == SPLIT
    (node,) = (node for node in graph.nodes if node.output == "third_adder")
    tensors = activations(graph, x, {node.inputs[0], node.output})
    y, name = tensors[node.output], node.inputs[1]
    gamma, _, _, variance = (graph.constants[f"third_bn_{key}"] for key in ("scale", "bias", "mean", "var"))
    gains = gamma / np.sqrt(variance + 1e-5)
    x, top, alone = tensors[node.inputs[0]], tensors[node.inputs[0]].max(), node._replace(output="nobody reads it")
    shares, found = 1 / 8 * 8 ** (np.arange(steps + 1) * 27 / 24 / steps), groups["third_adder"]
    errors = np.zeros((len(found), len(shares)))
    for group, (filters, _) in enumerate(found):
        for o in filters:
            only = replace(graph, constants={**graph.constants, name: graph.constants[name][[o]]})
            grids = [activation_grid(0, share * top, 4) for share in shares]
            errors[group] += gains[o] ** 2 * np.array([layer_error(only, alone, x, y[:, [o]], grid) for grid in grids])
    at = range(len(found))
    first = min(range(len(shares) - len(found) + 1), key=lambda start: sum(errors[k, start + k] for k in at))
    assert [ends for _, ends in found] == [(0, pytest.approx(shares[first + k] * top)) for k in at]
    assert max(np.abs(graph.constants[name][found[0].filters]).max(axis=(1, 2, 3))) < max(
        np.abs(graph.constants[name][found[-1].filters]).max(axis=(1, 2, 3))
    )


def test_bias_correction_keeps_the_means_of_every_channel(result):
    x, floats, counterparts = images(), read_float_graph(split_network()), read_counterparts(result.graph)
    tensors, observed = Plan(result.graph, keep_all=True).run({"image": x}), calibrate(floats, x)
    for name, each in counterparts.items():
        if each.tensor.endswith("_adder"):
            mean = each.real(tensors[name]).mean(axis=(0, 2, 3))
            np.testing.assert_allclose(mean, observed[each.tensor].mean, rtol=1e-9)


def test_the_summary_has_a_line_per_group_and_the_metadata_their_number(result):
    third = [layer for layer in result.layers if layer.name.startswith("third")]
    assert [layer.name for layer in third] == [f"third_adder_node_group{k}" for k in (1, 2, 3)]
    assert len({layer.scale for layer in third}) == 3
    assert "last_adder_node" in {layer.name for layer in result.layers}
    assert json.loads(result.graph.metadata["adderhw.quantisation"])["filter_groups"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filter_groups": 0}, "filter_groups: found 0, expected 1 to 64"),
        ({"filter_groups": 65}, "filter_groups: found 65, expected 1 to 64"),
        (
            {"filter_groups": 2, "range": "max"},
            "range: found 'max', expected error or regions with filter_groups above 1",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, words):
    with pytest.raises(AdderHwError, match=words):
        Settings(**changes)
