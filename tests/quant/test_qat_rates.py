"""Every parameter has a unit: the step of the grid that it acts on."""

import numpy as np
import pytest

from quant.float_graph import read_float_graph
from quant.qat_network import FakeQuantised, start_of
from quant.qat_rates import units
from quant.settings import Settings
from tests.quant.networks import adder_network, images, mixed_cnn, ordinary_cnn


def start_and_units(model, **settings):
    """(FakeQuantised, Start, units) of a float model at 3 bits."""
    graph = read_float_graph(model)
    start = start_of(graph, images(8), Settings(bits=3, range="quantile", bias_correction=False, **settings))
    network = FakeQuantised(graph, start)
    return network, start, units(network.graph, start)


@pytest.mark.parametrize("settings", [{}, {"weight_realisation": "shift_add:2"}], ids=["steps", "digits"])
@pytest.mark.parametrize("model", [adder_network, ordinary_cnn, mixed_cnn])
def test_every_parameter_has_a_unit_above_0(model, settings):
    network, _, found = start_and_units(model(), **settings)
    assert set(network.parameters) <= set(found)
    assert all(0 < found[name] < np.inf for name in network.parameters)


def test_units_are_steps_of_the_grids_that_parameters_act_on():
    network, start, found = start_and_units(adder_network())
    layers = {node.name: node for node in network.graph.nodes}
    assert layers["first_adder_node"].inputs[0] == "pooled"
    read = {"first": "stem_bn_relu", "second": "first_bn_relu", "shortcut": "stem_bn_relu", "third": "residual_relu"}
    for name, tensor in read.items():
        assert found[layers[f"{name}_adder_node"].inputs[1]] == start.grids[tensor].scale, name
    norm = next(node for node in layers.values() if node.op == "BatchNormalization" and node.output == "stem_bn")
    assert found[norm.inputs[1]] == found[norm.inputs[2]] == start.grids["stem_bn_relu"].scale
    assert found["step of stem_bn_relu"] == 1 / 8
    last = next(node for node in layers.values() if node.op == "Gemm")
    seen = start.observed[last.output]
    assert found[last.inputs[2]] == (seen.high - seen.low) / 256
    assert found[last.inputs[1]] == start.weight_steps[last.name].mean()


def test_units_scale_with_the_network():
    """Four times the weights and biases give four times the units, but for those of logarithms."""
    small, large = (start_and_units(scaled_layer(factor))[2] for factor in (1.0, 4.0))
    for name, unit in small.items():
        expected = unit if name.startswith(("step of", "weight step of")) else 4 * unit
        assert large[name] == pytest.approx(expected, rel=1e-6), name


def scaled_layer(factor):
    """A convolution without a batch norm whose weight and bias, and an adder layer whose weight, are times `factor`."""
    from tests.quant.networks import Network

    net = Network()
    x = net.relu(net.conv("image", "stem", 3, 4))
    y = net.conv(x, "layer", 4, 4, adder=True)
    model = net.model(y)
    for tensor in model.graph.initializer:
        values = np.frombuffer(tensor.raw_data, np.float32) * np.float32(factor)
        tensor.raw_data = values.tobytes()
    return model
