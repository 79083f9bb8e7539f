"""The fake-quantised forward pass is the integer network, tensor by tensor, and its gradients are straight through."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from adderhw.errors import ModelError
from adderhw.onnx_reader import read_graph
from adderhw.plan import Plan
from export.writer import write_graph
from quant.float_graph import read_float_graph
from quant.qat_network import FakeQuantised, start_of
from quant.qat_start import step_of, weight_step_of
from quant.qat_teacher import FloatNetwork
from quant.ranges import run, session_of
from quant.settings import Settings
from tests.quant.networks import (
    Network,
    adder_layer,
    adder_network,
    images,
    mixed_cnn,
    ordinary_cnn,
)

SETTINGS = [
    {},
    {"wide_residuals": True},
    {"rounding": "floor"},
    {"rounding": "half_even", "realisation": "shift_add:2", "weight_realisation": "shift_add:2"},
    {"rounding": "half_away", "multiplication_free": True},
]


def network_of(model, **settings):
    """(FakeQuantised, images float32) of a float model, its ranges by quantiles."""
    graph, x = read_float_graph(model), images(8)
    fast = {"range": "quantile", "bias_correction": False}
    return FakeQuantised(graph, start_of(graph, x, Settings(**{**fast, **settings}))), x


def moved(network, x):
    """One crude step of every parameter, so that the test is not of the start alone."""
    scores, lowering = network.forward(torch.from_numpy(x), normalises=True)
    functional.cross_entropy(scores, torch.arange(len(x)) % 5).backward()
    with torch.no_grad():
        network.track(lowering, 0.3)
        for each in network.parameters.values():
            each -= 0.05 * each.grad / (each.grad.norm() + 1e-9) * each.norm()


def assert_equal_to_the_integer_network(network, x, path):
    with torch.no_grad():
        _, lowering = network.forward(torch.from_numpy(x))
    write_graph(network.integer_graph({"epochs": 1}), path)
    graph = read_graph(path)
    found = Plan(graph, keep_all=True).run({graph.inputs[0].name: x})
    computed = {node.output for node in graph.nodes}
    assert computed == set(lowering.tensors)
    for name in computed:
        assert np.array_equal(found[name].astype(np.float32), lowering.tensors[name].numpy()), name


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())) or "default")
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("model", [adder_network, ordinary_cnn])
def test_every_integer_of_the_forward_pass_is_that_of_the_written_model(model, bits, settings, tmp_path):
    network, x = network_of(model(), bits=bits, **settings)
    moved(network, x)
    assert_equal_to_the_integer_network(network, x, tmp_path / "integer.onnx")


@pytest.mark.parametrize("bits", [3, 8])
def test_every_op_without_an_adder_is_exact_too(bits, tmp_path):
    network, x = network_of(mixed_cnn(), bits=bits)
    moved(network, x)
    assert_equal_to_the_integer_network(network, x, tmp_path / "integer.onnx")


def test_corrections_and_searched_ranges_are_part_of_it(tmp_path):
    net = Network()
    x = net.relu(adder_layer(net, "image", "first", 3, 4))
    x = net.relu(net.node("BatchNormalization", adder_gemm(net, net.node("Flatten", [x], "flat"), 256, 6), "second"))
    network, pixels = network_of(net.model(net.gemm(x, "logits", 6, 5)), bits=3, range="error", bias_correction=True)
    moved(network, pixels)
    assert_equal_to_the_integer_network(network, pixels, tmp_path / "integer.onnx")


def adder_gemm(net, x, inputs, outputs):
    """The inputs of a batch norm behind a fully connected adder layer."""
    weight = net.constant("full_w", net.random.normal(0, 0.8, (outputs, inputs)))
    y = net.node("AdderGemm", [x, weight], "full", "adderhw", transB=1)
    statistics = {"scale": 1.0, "bias": 0.1, "mean": -0.8 * inputs, "var": float(inputs)}
    return [y, *(net.constant(f"full_{key}", np.full(outputs, value)) for key, value in statistics.items())]


@pytest.mark.parametrize("model", [adder_network, ordinary_cnn, mixed_cnn])
def test_the_float_network_answers_as_onnxruntime(model):
    graph, x = read_float_graph(model()), images(8)
    expected = run(session_of(graph, graph.outputs), graph, x)[0]
    np.testing.assert_allclose(FloatNetwork(graph)(torch.from_numpy(x)).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_sums_that_float32_does_not_carry_are_an_error():
    shape = (1024, 2, 2)
    net = Network(shape=shape)
    settings = {"bits": 16, "edge_bits": 16, "range": "max", "bias_correction": False}
    graph = read_float_graph(net.model(adder_layer(net, "image", "wide", 1024, 2)))
    start = start_of(graph, images(2, shape=shape), Settings(**settings))
    with pytest.raises(ModelError, match=r"'wide_adder_node' .* expected a magnitude below 2\^24 \(fewer bits\)"):
        FakeQuantised(graph, start).forward(torch.from_numpy(images(2, shape=shape)))


def test_the_statistics_follow_those_of_the_sums():
    network, x = network_of(adder_network(), bits=4)
    before = {name: value.clone() for name, value in network.statistics.items()}
    with torch.no_grad():
        _, lowering = network.forward(torch.from_numpy(x), normalises=True)
    network.track(lowering, 0.25)
    norms = [node for node in network.graph.nodes if node.op == "BatchNormalization"]
    assert len(norms) == len(lowering.batch_norms) == 5
    for node in norms:
        total = lowering.totals[node.inputs[0]]
        a, b = (torch.tensor(values).reshape(-1, 1, 1) for values in (total.a, total.b))
        real = a * lowering.tensors[total.name].double() + b
        for name, value in zip(
            node.inputs[3:5], (real.mean((0, 2, 3)), real.var((0, 2, 3), correction=0)), strict=True
        ):
            torch.testing.assert_close(network.statistics[name], 0.75 * before[name] + 0.25 * value)


class Differences(torch.autograd.Function):
    """−Σ|x − w| of a 3×3 layer with padding 1, and AdderNet's gradients (Chen 2020), in float64 and plain PyTorch."""

    @staticmethod
    def forward(ctx, x, w):
        columns = functional.unfold(x, 3, padding=1)[:, None]
        difference = columns - w.flatten(1)[None, :, :, None]
        ctx.save_for_backward(difference)
        ctx.shapes = x.shape, w.shape
        return -difference.abs().sum(2).unflatten(2, x.shape[2:])

    @staticmethod
    def backward(ctx, grad):
        (difference,), (x, w) = ctx.saved_tensors, ctx.shapes
        g = grad.flatten(2)[:, :, None]
        of_x = functional.fold((g * (-difference).clamp(-1, 1)).sum(1), x[2:], 3, padding=1)
        return of_x, (g * difference).sum((0, 3)).view(w)


def on_grid(real, step, grid, integers):
    """s·(q − z), straight through the rounding that gave the integers, and clipped (Esser 2020, equation 3)."""
    u = (real / step + grid.zero_point).clamp(grid.min, grid.max)
    return step * (u + (integers.double() - u).detach() - grid.zero_point)


class Normalised(torch.autograd.Function):
    """x as it is; ∂L/∂x is that of (x − mean)/deviation over the batch, times the deviation."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            deviation = x.var((0, 2, 3), correction=0, keepdim=True).sqrt()
            y = (x - x.mean((0, 2, 3), keepdim=True)) / deviation
            return torch.autograd.grad(y, x, grad * deviation.detach())


def oracle_gradients(network, tensors, labels, normalises):
    """Name → gradient by float64 autograd of the network of the next test; the integers are those of `tensors`."""
    p = {name: each.detach().double().requires_grad_() for name, each in network.parameters.items()}
    constants = {name: torch.tensor(value) for name, value in network.graph.constants.items()}
    grids = network.now(network.steps())[1].grids
    steps = {name: p[step_of(name)].exp() for name in network.start.learning}

    def batch_norm(y, name):
        y = Normalised.apply(y) if normalises else y
        scale = p[f"{name}_scale"] / (constants[f"{name}_var"] + 1e-5).sqrt()
        shift = p[f"{name}_bias"] - constants[f"{name}_mean"] * scale
        return y * scale[:, None, None] + shift[:, None, None]

    def weight(name, layer, bits):
        step = p[weight_step_of(f"{layer}_node")].exp().reshape(-1, *[1] * (p[name].ndim - 1))
        top = (1 << (bits - 1)) - 1
        u = (p[name] / step).clamp(-top - 0.5, top + 0.5)
        return step * (u + (u.round().clamp(-top, top) - u).detach())

    grid = network.start.source
    pixels = (tensors["image_q"].double() - grid.zero_point) * grid.scale
    y = batch_norm(functional.conv2d(pixels, weight("stem_w", "stem", 8), padding=1), "stem_bn")
    first = on_grid(y, steps["stem_bn_relu"], grids["stem_bn_relu"], tensors["stem_bn_relu_q"])
    low, high = (grids["stem_bn_relu"].scale * end for end in (0, grids["stem_bn_relu"].max))
    w = p["layer_adder_w"]
    inside = (w >= low) & (w <= high)
    integers = (w / steps["stem_bn_relu"]).round().detach()
    w = torch.where(inside, on_grid(w, steps["stem_bn_relu"], grids["stem_bn_relu"], integers), w)
    y = batch_norm(Differences.apply(first, w), "layer_bn")
    guard = steps["residual_relu"].detach() / 16
    branches = ((y, "layer_bn_guard"), (first, "stem_bn_relu_guard"))
    total = sum(real + (guard * tensors[name] - real).detach() for real, name in branches)
    last = on_grid(total, steps["residual_relu"], grids["residual_relu"], tensors["residual_relu_q"])
    mean = on_grid(last.mean((2, 3)), steps["flat"], grids["flat"], tensors["flat_q"])
    scores = functional.linear(mean, weight("logits_w", "logits", 8), p["logits_b"])
    scores = scores + (tensors["logits"] - scores).detach()
    functional.cross_entropy(scores, labels).backward()
    return {name: each.grad for name, each in p.items()}


@pytest.mark.parametrize("normalises", [False, True])
def test_gradients_are_those_of_a_plain_straight_through_network(normalises):
    net = Network()
    x = net.relu(net.batch_norm(net.conv("image", "stem", 3, 4), "stem_bn", 4))
    y = adder_layer(net, x, "layer", 4, 4)
    x = net.relu(net.node("Add", [y, x], "residual"))
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x], "pooled")], "flat")
    network, pixels = network_of(net.model(net.gemm(x, "logits", 4, 5)), bits=3, multiplier_bits=24)
    labels = torch.arange(len(pixels)) % 5
    scores, lowering = network.forward(torch.from_numpy(pixels), normalises=normalises)
    functional.cross_entropy(scores, labels).backward()
    expected = oracle_gradients(network, {k: v.detach() for k, v in lowering.tensors.items()}, labels, normalises)
    for name, each in network.parameters.items():
        error = (each.grad - expected[name]).norm() / expected[name].norm()
        assert error < 1e-3, name
