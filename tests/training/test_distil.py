"""PKKD's parts: kernel responses, the match of layers, and what gradients reach."""

from math import exp, log

import pytest
import torch
from torch.nn import functional

from training import networks
from training.distil import EXPONENT_LIMIT, KernelMatch, LayerMatch, ResponseRecorder, blended_loss, kernel_response


def twins():
    torch.manual_seed(0)
    return [networks.build("digits_resnet", kind, classes=10, in_channels=1) for kind in ("ann", "cnn")]


def test_the_kernel_response_is_its_formula():
    response = kernel_response(torch.tensor([-288.0, 0.0]), torch.tensor(log(144.0)))
    torch.testing.assert_close(response, torch.tensor([exp(-1), 1.0]))


def test_exponents_are_clamped():
    response = kernel_response(torch.tensor([-1e6, 1e6]), torch.tensor(0.0))
    torch.testing.assert_close(response, torch.tensor([exp(-EXPONENT_LIMIT), exp(EXPONENT_LIMIT)]))


def test_a_fresh_match_compares_both_responses_through_the_identity():
    match = LayerMatch(channels=3, fan_in=27)
    ann, cnn = -27 * torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    expected = functional.mse_loss(torch.exp(ann / 54), torch.exp(-cnn / 2))
    torch.testing.assert_close(match(ann, cnn), expected)


def test_the_match_trains_its_own_parameters_and_the_student_but_never_the_teacher():
    ann, cnn = twins()
    recorders = [ResponseRecorder(network) for network in (ann, cnn)]
    match = KernelMatch(ann)
    images = torch.rand(4, 1, 8, 8)
    for network in (ann, cnn):
        network(images)
    match(*(recorder.responses for recorder in recorders)).backward()
    assert all(parameter.grad is not None for parameter in match.parameters())
    assert all(layer.weight.grad is not None for layer in ann.intermediate_layers().values())
    assert all(parameter.grad is None for parameter in cnn.parameters())


def test_the_adder_variance_starts_at_each_layers_fan_in():
    ann, _ = twins()
    match = KernelMatch(ann)
    starts = [layer.log_variance_ann.exp().item() for layer in match.layers]
    assert starts == pytest.approx([layer.weight[0].numel() for layer in ann.intermediate_layers().values()])


def test_the_blended_loss_weighs_labels_and_the_teachers_distribution():
    scores, teacher = torch.randn(5, 10, requires_grad=True), torch.randn(5, 10, requires_grad=True)
    labels = torch.arange(5)
    loss = blended_loss(scores, labels, teacher, alpha=3.0)
    soft = -(teacher.detach().softmax(1) * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, functional.cross_entropy(scores, labels) + 3 * soft)
    loss.backward()
    assert teacher.grad is None
