"""Searched ranges: the error is that of the layer on its grid, and the least of the candidates is taken."""

import numpy as np
import pytest

from quant import Settings, quantise
from quant.float_graph import read_float_graph
from quant.grids import activation_grid, grid_range
from quant.ranges import calibrate
from quant.search import CANDIDATES, activations, adder_readers, layer_error, least_error_ranges, passes, region_means
from tests.quant.networks import Network, adder_layer, adder_network, images

PAD = ((0, 0), (0, 0), (1, 1), (1, 1))


def one_layer(outlier=0.0, **attributes):
    """A network of one adder layer on a ReLU, whose input has one value as large as `outlier`."""
    net = Network(shape=(4, 6, 6))
    x = net.relu("image")
    graph = read_float_graph(net.model(adder_layer(net, x, "layer", 4, 6, **attributes)))
    values = images(16, shape=(4, 6, 6))
    values[3, 1, 2, 2] = outlier
    return graph, values


def on_grid(values, grid):
    """Real values rounded to a grid."""
    steps = np.clip(np.rint(values / grid.scale) + grid.zero_point, grid.min, grid.max)
    return grid.scale * (steps - grid.zero_point)


def layer_gain(graph):
    """float64 (O,): what the last node, a batch norm, multiplies by."""
    gamma, _, _, variance = (graph.constants[name] for name in graph.nodes[-1].inputs[1:])
    return gamma / np.sqrt(variance + graph.nodes[-1].attributes["epsilon"])


@pytest.mark.parametrize("bits", [3, 8, 12])
@pytest.mark.parametrize("attributes", [{}, {"strides": [2, 2], "pads": [0, 1, 2, 0]}, {"group": 2}])
def test_a_layers_error_is_that_of_rounded_inputs_and_weights(bits, attributes):
    graph, values = one_layer(**attributes)
    (node,) = next(iter(adder_readers(graph).values()))
    tensors = activations(graph, values, {node.inputs[0], node.output})
    grid = activation_grid(0, 2.1, bits)
    found = layer_error(graph, node, tensors[node.inputs[0]], tensors[node.output], grid)
    weight = graph.constants[node.inputs[1]]
    clipped = np.clip(weight, *grid_range(grid))
    constant = np.abs(weight - clipped).sum(axis=(1, 2, 3))
    x, w = on_grid(tensors[node.inputs[0]].astype(np.float64), grid), on_grid(clipped, grid)
    top, left, bottom, right = node.attributes["pads"]
    (sh, sw), groups = node.attributes["strides"], node.attributes["group"]
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    error = np.empty(tensors[node.output].shape)
    for n, o, i, j in np.ndindex(*error.shape):
        first = o // (len(w) // groups) * w.shape[1]
        window = x[n, first : first + w.shape[1], i * sh : i * sh + 3, j * sw : j * sw + 3]
        error[n, o, i, j] = tensors[node.output][n, o, i, j] + np.abs(window - w[o]).sum() + constant[o]
    assert found == pytest.approx((layer_gain(graph) ** 2 * error.var(axis=(0, 2, 3))).sum(), rel=1e-4)


def test_the_range_is_that_of_the_least_error():
    graph, values = one_layer(outlier=25.0)
    observed = calibrate(graph, values)
    ranges = least_error_ranges(graph, observed, values, lambda name: 4)
    ((name, (low, high)),) = ranges.items()
    (node,) = adder_readers(graph)[name]
    tensors = activations(graph, values, {name, node.output})
    errors = [
        layer_error(graph, node, tensors[name], tensors[node.output], activation_grid(0, 25 * c, 4)) for c in CANDIDATES
    ]
    assert (low, high) == (0, pytest.approx(25 * CANDIDATES[np.argmin(errors)]))
    assert high < 25


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (5, 4)])
def test_means_of_regions_are_those_of_their_places(size):
    height, width = size
    values = images(3, shape=(2, *size)).transpose(0, 2, 3, 1)
    found = region_means(values)
    rows = [range(height)] if height == 1 else [range((height + 1) // 2), range((height + 1) // 2, height)]
    columns = [range(width)] if width == 1 else [range((width + 1) // 2), range((width + 1) // 2, width)]
    assert found.shape == (3, len(rows), len(columns), 2)
    for i, j in np.ndindex(len(rows), len(columns)):
        places = [values[:, r, c] for r in rows[i] for c in columns[j]]
        np.testing.assert_allclose(found[:, i, j], np.mean(places, axis=0), rtol=1e-6)


def test_the_range_of_regions_has_the_least_variance_of_region_means():
    graph, values = one_layer(outlier=25.0)
    observed = calibrate(graph, values)
    ((name, (low, high)),) = least_error_ranges(
        graph, observed, values, lambda name: 3, by_regions=lambda bits: True
    ).items()
    (node,) = adder_readers(graph)[name]
    tensors = activations(graph, values, {name, node.output})
    x, y = tensors[name], tensors[node.output]
    errors = []
    for share in CANDIDATES:
        grid = activation_grid(0, 25 * share, 3)
        weight = graph.constants[node.inputs[1]].astype(np.float64)
        clipped = np.clip(weight, *grid_range(grid))
        constant = np.abs(weight - clipped).sum(axis=(1, 2, 3))[:, None, None]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(on_grid(x, grid), PAD), (3, 3), axis=(2, 3))
        sums = np.abs(windows[:, None] - on_grid(clipped, grid)[:, :, None, None]).sum(axis=(2, 5, 6))
        error = y + sums + constant
        halves = [np.array_split(half, 2, axis=3) for half in np.array_split(error, 2, axis=2)]
        means = np.stack([part.mean(axis=(2, 3)) for row in halves for part in row])
        errors.append((layer_gain(graph) ** 2 * means.var(axis=(0, 1))).sum())
    assert high == pytest.approx(25 * CANDIDATES[np.argmin(errors)])
    assert least_error_ranges(graph, observed, values, lambda name: 3)[name][1] != high


def test_every_input_of_an_adder_layer_gets_a_range_and_the_graph_uses_it():
    model, x = adder_network(), images()
    graph = read_float_graph(model)
    observed = calibrate(graph, x)
    ranges = least_error_ranges(graph, observed, x, lambda name: 5)
    assert set(ranges) == set(adder_readers(graph))
    integer = quantise(model, x, Settings(bits=5, range="error"))
    scales = {t.format.scale for t in integer.tensors.values() if t.format is not None and t.format.scale is not None}
    assert {activation_grid(*ends, 5).scale for ends in ranges.values()} <= scales


def test_tensors_are_searched_in_passes_that_fit_the_memory():
    assert passes({"a": 3, "b": 4, "c": 9, "d": 1, "e": 7}, 8) == [["a", "b"], ["c"], ["d", "e"]]
    assert passes({}, 8) == []
