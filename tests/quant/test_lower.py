"""Lowering: the integer graph computes what the float network does, the better the more bits it has."""

import json

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.onnx_reader import graph_of
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from export.writer import model_of
from quant import Settings, quantise, quantise_with_summary
from quant.float_graph import OPERATORS, read_float_graph
from tests.quant.networks import Network, adder_layer, adder_network, images, mixed_cnn, ordinary_cnn

# Measured when written: adder network -6, 14, 34, 60 and 70 dB, convolutions -10, 4, 27, 47 and 76 dB, every op of an
# ordinary CNN -19, 4, 25, 45 and 68 dB.
LEAST_DECIBELS = {
    adder_network: (-12, 10, 30, 50, 60),
    ordinary_cnn: (-14, 2, 24, 44, 60),
    mixed_cnn: (-24, 0, 21, 41, 57),
}
# Measured when written: 2.95 dB of 34 for the adder network, none for the convolutions.
MOST_DECIBELS_LOST = 4
WIDTHS = (2, 4, 8, 12, 16)


def by_onnxruntime(model, x):
    """Every output of the model in a stock onnxruntime."""
    return ort.InferenceSession(model.SerializeToString()).run(None, {"image": x})


def signal_to_noise(model, settings, x):
    """10·log10 of the variance of the float logits over the mean squared error of the integer ones, in dB."""
    expected = by_onnxruntime(model, x)[0].astype(np.float64)
    error = by_onnxruntime(model_of(quantise(model, x, settings)), x)[0] - expected
    return 10 * np.log10(expected.var(axis=0).sum() / (error**2).mean(axis=0).sum())


def node_of(graph, name):
    """The node called `name`."""
    return next(node for node in graph.nodes if node.name == name)


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn, mixed_cnn])
def test_the_error_falls_as_the_bits_rise(make):
    settings = [Settings(bits=bits, edge_bits=max(8, bits), range="max") for bits in WIDTHS]
    found = [signal_to_noise(make(), each, images()) for each in settings]
    assert found == sorted(found)
    assert all(np.array(found) > LEAST_DECIBELS[make]), found


@pytest.mark.parametrize(
    ("realisation", "least"), [("multiplier", 30), ("shift_add:3", 25), ("shift_add:2", 8), ("shift", -12)]
)
def test_every_realisation_approximates(realisation, least):
    settings = Settings(range="max", realisation=realisation)
    assert signal_to_noise(adder_network(), settings, images()) > least
    graph = quantise(adder_network(), images(8), settings)
    assert {n.attributes["realisation"] for n in graph.nodes if n.op == "Requantize"} <= {realisation, "shift"}


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn])
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_the_multiplication_free_preset_leaves_no_multiplication(make, bits):
    x = images(8)
    model = model_of(quantise(make(), x, Settings(bits=bits, multiplication_free=True)))
    graph = graph_of(model, "read")
    assert {event.kind for work in graph.work() for event in work.events} <= {"add", "sub", "abs", "shift", "cmp"}
    expected = by_onnxruntime(model, x)[0]
    np.testing.assert_array_equal(Plan(graph).run({"image": x})[graph.outputs[0]], expected)


def test_the_multiplication_free_preset_costs_little_accuracy():
    plain, preset = (Settings(range="max", multiplication_free=free) for free in (False, True))
    for make in (adder_network, ordinary_cnn):
        lost = signal_to_noise(make(), plain, images()) - signal_to_noise(make(), preset, images())
        assert lost < MOST_DECIBELS_LOST


@pytest.mark.parametrize("realisation", ["multiplier", "shift_add:7"])
def test_a_looser_error_bound_takes_a_smaller_multiplier(realisation):
    settings = [Settings(range="max", realisation=realisation, max_error=error) for error in (0.1, 0.5, 2.0)]
    graphs = [quantise(adder_network(), images(), each) for each in settings]
    largest = [max(int(np.abs(v).max()) for k, v in graph.parameters.items() if k.endswith("_m")) for graph in graphs]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > largest[-1]


@pytest.mark.parametrize(("rounding", "least"), [("floor", 10), ("half_up", 30), ("half_even", 30), ("half_away", 30)])
def test_every_rounding_approximates(rounding, least):
    assert signal_to_noise(adder_network(), Settings(range="max", rounding=rounding), images()) > least


@pytest.mark.parametrize(
    ("make", "bits"),
    [
        (adder_network, 3),
        pytest.param(adder_network, 12, marks=pytest.mark.slow),
        (ordinary_cnn, 8),
        (mixed_cnn, 4),
        (mixed_cnn, 8),
        pytest.param(mixed_cnn, 16, marks=pytest.mark.slow),
    ],
)
def test_the_simulator_and_onnxruntime_agree_on_every_integer_of_every_tensor(make, bits):
    x = images(6)
    model = model_of(quantise(make(), x, Settings(bits=bits)))
    graph = graph_of(model, "read")
    check = OrtCheck(model, graph, threads=1)
    check.compare({"image": x}, Plan(graph, keep_all=True).run({"image": x}))
    assert (check.mismatches, check.first) == (0, None)
    assert check.values == len(x) * sum(graph.tensors[node.output].elements for node in graph.nodes)


def test_a_network_exported_for_a_single_image_is_quantised_for_any_number():
    model = mixed_cnn()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    (row,) = (entry for entry in model.graph.initializer if entry.name == "row")
    row.CopyFrom(numpy_helper.from_array(np.array([1, -1]), "row"))
    x = images(6)
    found, expected = (Plan(quantise(each, x)).run({"image": x})["logits"] for each in (model, mixed_cnn()))
    assert np.abs(found - expected).max() < 0.02 * expected.std()


def test_the_mixed_network_has_every_op_of_an_ordinary_cnn():
    ops = {node.op for node in read_float_graph(mixed_cnn()).nodes}
    assert ops == set(OPERATORS) - {"AdderConv", "AdderGemm", "MatMul", "ReduceMean", "Identity"}


@pytest.mark.parametrize(
    ("op", "attributes"), [("Sigmoid", {}), ("Softmax", {"axis": 1}), ("LeakyRelu", {"alpha": 0.1}), ("Sub", {})]
)
def test_an_unsupported_op_in_a_network_is_named_with_its_node(op, attributes):
    model = mixed_cnn()
    (joined,) = (node for node in model.graph.node if node.output[0] == "joined_relu")
    inputs = ["joined"] * (1 + (op == "Sub"))
    joined.CopyFrom(helper.make_node(op, inputs, ["joined_relu"], name="gate", **attributes))
    with pytest.raises(ModelError, match=f"^node 'gate': found op ai.onnx::{op}, expected one of Conv, "):
        quantise(model, images(4))


def test_a_residual_sum_ends_in_a_bare_shift():
    graph = quantise(adder_network(), images(), Settings(guard_bits=3))
    final = node_of(graph, "residual_relu_node_requantize")
    assert final.attributes["realisation"] == "shift"
    assert [int(graph.parameters[name]) for name in final.inputs[1:]] == [1, 0, 3]
    add = node_of(graph, "residual_node")
    formats = [graph.formats[name] for name in add.inputs]
    assert formats[0].scale == formats[1].scale == graph.formats[final.output].scale / 8
    assert all(fmt.signed for fmt in formats)


def test_a_wide_residual_takes_a_branch_from_its_sum_instead_of_the_layers_grid():
    sources = {}
    for wide in (False, True):
        graph = quantise(adder_network(), images(), Settings(bits=3, wide_residuals=wide))
        guard = node_of(graph, "residual_relu_node_guard")  # the identity branch, which the layer "third" reads too
        grid = graph.formats[node_of(graph, "third_adder_node").inputs[0]]
        assert grid.bits == 3
        sources[wide] = guard.inputs[0]
        assert guard.attributes["qmin"] == (0 if wide else graph.formats[guard.output].min)
    assert sources == {False: "residual_relu_q", True: "residual_sum"}


@pytest.mark.parametrize(("options", "stored"), [({}, 0), ({"wide_residuals": True}, 1), ({"filter_groups": 4}, None)])
def test_what_is_stored_beside_a_layers_input_is_told_to_the_memory(options, stored):
    graph = quantise(adder_network(), images(), Settings(bits=3, **options))
    beside = {work.name: work.stored_bits for work in graph.work() if work.op == "Requantize" and work.stored_bits}
    sums = [node.inputs[0] for node in graph.nodes if node.op == "Requantize"]
    results = {node.output for node in graph.nodes if node.op == "Requantize"}
    assert len(beside) == sum(sums.count(name) - 1 for name in set(sums) - results)
    assert stored is None or len(beside) == stored
    for name, bits in beside.items():
        assert bits == graph.tensors[node_of(graph, name).output].format.bits
        assert bits > 3 or "filter_groups" in options


def test_x_and_w_of_an_adder_layer_share_one_grid():
    graph = quantise(adder_network(), images(), Settings(bits=5))
    layers = [node for node in graph.nodes if node.op == "AdderConvInteger"]
    assert len(layers) == 4
    for node in layers:
        x, w = (graph.formats[name] for name in node.inputs[:2])
        assert x == w == Format(5, False, x.scale, 0)


def test_every_integer_tensor_but_sums_states_its_format():
    graph = quantise(adder_network(), images(), Settings())
    sums = {node.output for node in graph.nodes if node.output.endswith(("_sum", "_flat"))}
    stated = {name for name, t in graph.tensors.items() if t.format is not None} - sums
    constants = {name for name in stated if name.endswith(("_m", "_c", "_n"))}
    assert stated - constants <= set(graph.formats)


def test_first_and_last_layer_have_their_own_width():
    graph = quantise(adder_network(), images(), Settings(bits=4, edge_bits=8))
    stem, last = node_of(graph, "stem_node"), node_of(graph, "logits_node")
    assert [graph.formats[name].bits for name in (*stem.inputs[:2], *last.inputs[:2])] == [8, 8, 8, 8]
    assert graph.formats[node_of(graph, "first_adder_node").inputs[0]].bits == 4


def test_sums_are_int64_only_where_they_need_it():
    graph = quantise(adder_network(), images(), Settings(bits=16, edge_bits=16))
    dtypes = {n.op: graph.tensors[n.output].dtype for n in graph.nodes if n.output.endswith("_sum")}
    assert dtypes["AdderConvInteger"] == np.int32
    assert dtypes["ConvInteger"] == np.int64


def test_a_network_of_adders_alone_has_the_input_on_its_grid():
    net = Network(shape=(1, 8, 8))
    x = net.relu(adder_layer(net, "image", "only", 1, 4))
    x = net.node("GlobalAveragePool", [x], "pooled")
    x = net.node("Flatten", [x], "flat")
    w = net.constant("w", net.random.normal(0, 1, (3, 4)))
    model = net.model(net.node("AdderGemm", [x, w], "logits", "adderhw", transB=1))
    pixels = (np.random.default_rng(0).integers(0, 17, (64, 1, 8, 8)) / 16).astype(np.float32)
    graph = quantise(model, pixels, Settings(range="max"))
    assert graph.formats["image_q"] == Format(8, False, 1 / 16, 0)
    assert signal_to_noise(model, Settings(range="max"), pixels) > 12
    assert "MatMulInteger" not in {node.op for node in graph.nodes}


def test_the_summary_has_a_line_per_layer():
    result = quantise_with_summary(adder_network(), images(), Settings())
    assert [layer.op for layer in result.layers] == ["Conv", *["AdderConv"] * 4, "Gemm"]
    adder = result.layers[1]
    assert adder.sum_bits == (36 * 255).bit_length()
    assert 0 < adder.weight_clipped < 1
    assert json.loads(result.graph.metadata["adderhw.quantisation"])["bits"] == 8


def test_a_network_may_end_in_a_convolution_and_batch_norm():
    net = Network()
    x = net.node("GlobalAveragePool", [net.relu(net.conv("image", "stem", 3, 8))], "pooled")
    x = net.batch_norm(net.conv(x, "last", 8, 5, kernel=1, pads=[0, 0, 0, 0]), "last_bn", 5)
    model = net.model(net.node("Flatten", [x], "logits", axis=1))
    assert signal_to_noise(model, Settings(range="max"), images()) > 25


def test_a_width_of_its_own_holds_for_the_tensor_and_the_layers_that_read_it():
    result = quantise_with_summary(adder_network(), images(), Settings(bits=8), widths={"stem_bn_relu": 5})
    bits = [layer.bits for layer in result.layers if layer.op == "AdderConv"]
    assert bits == [5, 8, 5, 8]
    assert json.loads(result.graph.metadata["adderhw.quantisation"])["widths"] == {"stem_bn_relu": 5}
