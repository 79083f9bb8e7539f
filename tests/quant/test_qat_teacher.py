"""What the float network teaches: every tensor on a grid by its relative error, and the scores' divergence."""

import numpy as np
import pytest
import torch

from quant.float_graph import read_float_graph
from quant.qat_network import FakeQuantised, start_of
from quant.qat_teacher import FloatNetwork, FloatTeacher, divergence, relative_error
from quant.ranges import run, session_of
from quant.settings import Settings
from tests.quant.networks import adder_network, images, mixed_cnn


def test_the_relative_error_is_1_of_the_channels_means_and_does_not_depend_on_the_scale():
    x = torch.from_numpy(images(4))
    means = x.mean((0, 2, 3), keepdim=True).expand_as(x)
    assert relative_error(x, x) == 0
    assert relative_error(means, x) == pytest.approx(1, rel=1e-5)
    assert relative_error(3 * x + 1, 3 * x) == pytest.approx(float(relative_error(x + 1 / 3, x)), rel=1e-4)


def test_the_relative_error_of_a_constant_is_the_error_itself():
    assert relative_error(torch.full((2, 3), 1.5), torch.ones(2, 3)) == 1.5


def test_the_divergence_is_that_of_the_classes_probabilities():
    scores, meant = (torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 4))) for seed in (0, 1))
    p, q = (np.exp(each.numpy()) / np.exp(each.numpy()).sum(1, keepdims=True) for each in (meant, scores))
    assert divergence(scores, meant) == pytest.approx((p * np.log(p / q)).sum() / 5, rel=1e-6)
    assert divergence(scores + 7, scores) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("model", [adder_network, mixed_cnn])
def test_every_tensor_on_a_grid_of_its_own_is_compared(model):
    graph, x = read_float_graph(model()), images(8)
    settings = {"range": "quantile", "bias_correction": False}
    losses = {}
    for bits in (3, 8):
        network = FakeQuantised(graph, start_of(graph, x, Settings(bits=bits, **settings)))
        teacher, pixels = FloatTeacher(FloatNetwork(network.graph)), torch.from_numpy(x)
        answer = teacher.answer(pixels)
        scores, lowering = network.forward(pixels)
        assert set(lowering.activations) == set(network.start.learning)
        errors = [relative_error(each, answer.tensors[name]) for name, each in lowering.activations.items()]
        errors.append(relative_error(scores, answer.scores))
        losses[bits] = teacher.loss(scores, None, answer, lowering)
        expected = sum(errors) / len(errors) + divergence(scores, answer.scores)
        torch.testing.assert_close(losses[bits], expected)
    assert losses[8] < 0.1 * losses[3]


def test_the_float_teacher_says_what_onnxruntime_says_of_each_tensor():
    graph, x = read_float_graph(adder_network()), images(4)
    names = ("stem_bn_relu", "residual_relu", "logits")
    tensors = FloatTeacher(FloatNetwork(graph)).answer(torch.from_numpy(x)).tensors
    for name, expected in zip(names, run(session_of(graph, names), graph, x), strict=True):
        np.testing.assert_allclose(tensors[name].numpy(), expected, rtol=1e-4, atol=1e-4, err_msg=name)
