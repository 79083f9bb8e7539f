"""Distillation's parts: kernel responses, the match of layers by PKKD and by MMD, and what gradients reach."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from training import networks
from training.distil import (
    MATCHES,
    PLACES,
    LayerMatch,
    ResponseRecorder,
    blended_loss,
    layers_at,
)
from training.fused_match import SquaredMmd
from training.layers import AdderConv2d
from training.recipe import Recipe


def twins():
    torch.manual_seed(0)
    return [networks.build("digits_resnet", kind, classes=10, in_channels=1) for kind in ("ann", "cnn")]


def responses():
    torch.manual_seed(1)
    return -27 * torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)


def layer_match(norm=None, **options):
    return LayerMatch(AdderConv2d(3, 3, 3), norm or nn.BatchNorm2d(3), Recipe(**options))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("direct", lambda ann, cnn: (ann, cnn)),
        ("conv", lambda ann, cnn: (ann, cnn)),
        ("kernel", lambda ann, cnn: (torch.exp(ann / 54), torch.exp(-cnn / 2))),
        ("kernel+conv", lambda ann, cnn: (torch.exp(ann / 54), torch.exp(-cnn / 2))),
    ],
)
def test_a_fresh_match_compares_both_responses_through_the_identity(features, expected):
    match = layer_match(features=features)
    torch.testing.assert_close(match(*responses()), functional.mse_loss(*expected(*responses())))


@pytest.mark.parametrize(
    ("features", "side", "learnt"),
    [
        ("direct", "learnt", set()),
        ("conv", "learnt", {"map_ann", "map_cnn"}),
        ("kernel", "learnt", {"log_variance_ann", "log_variance_cnn"}),
        ("kernel+conv", "learnt", {"log_variance_ann", "log_variance_cnn", "map_ann", "map_cnn"}),
        ("kernel+conv", "fixed", {"log_variance_ann", "map_ann"}),
        ("conv", "fixed", {"map_ann"}),
    ],
)
def test_the_flags_say_what_a_match_learns(features, side, learnt):
    match = layer_match(features=features, cnn_side=side)
    assert {name for name, parameter in match.named_parameters() if parameter.requires_grad} == learnt


def test_the_flags_set_the_variances_and_the_exponents_bound():
    match = layer_match(variance_ann=2.0, variance_cnn=3.0, exponent_limit=0.5)
    assert match.log_variance_ann.exp().item() == pytest.approx(54)
    assert match.log_variance_cnn.exp().item() == pytest.approx(3)
    ann, cnn = responses()
    g, h = torch.exp((ann / 108).clamp(-0.5, 0.5)), torch.exp((-cnn / 6).clamp(-0.5, 0.5))
    torch.testing.assert_close(match(ann, cnn), functional.mse_loss(g, h))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("method", MATCHES)
@pytest.mark.parametrize("features", ["direct", "kernel+conv"])
def test_a_match_trains_its_own_parameters_and_the_student_but_never_the_teacher(method, features, place):
    ann, cnn = twins()
    match = MATCHES[method](ann, cnn, Recipe(method=method, features=features, match=place))
    recorders = [ResponseRecorder(network, match.watched) for network in (ann, cnn)]
    images = torch.rand(4, 1, 8, 8)
    for network in (ann, cnn):
        network(images)
    match(*(recorder.responses for recorder in recorders)).backward()
    assert all(parameter.grad is not None for parameter in match.parameters())
    assert all(layer.weight.grad is not None for layer in ann.intermediate_layers().values())
    assert all(parameter.grad is None for parameter in cnn.parameters())


def test_layers_match_everywhere_or_where_blocks_or_stages_end():
    ann, _ = twins()
    assert layers_at(ann, "layers") == list(ann.intermediate_layers())
    assert layers_at(ann, "blocks") == [f"blocks.{index}.conv2" for index in range(4)]
    assert layers_at(ann, "stages") == ["blocks.1.conv2", "blocks.3.conv2"]


def test_without_the_kernel_batch_norms_are_compared():
    watched = MATCHES["pkkd"](*twins(), Recipe(features="conv", match="stages")).watched
    assert watched == ("blocks.1.bn2", "blocks.3.bn2")


def test_the_convolutions_variance_starts_at_what_a_taught_teacher_remembers():
    norm = nn.BatchNorm2d(3)
    norm.running_mean.copy_(torch.tensor([3.0, 0.0, 0.0]))
    norm.running_var.copy_(torch.tensor([7.0, 10.0, 1.0]))
    assert layer_match(norm, variance_cnn=2.0).log_variance_cnn.exp().item() == pytest.approx(6)


def test_the_adder_variance_starts_at_each_layers_fan_in():
    ann, cnn = twins()
    match = MATCHES["pkkd"](ann, cnn, Recipe())
    starts = [layer.log_variance_ann.exp().item() for layer in match.layers]
    assert starts == pytest.approx([layer.weight[0].numel() for layer in ann.intermediate_layers().values()])


def test_the_squared_mmd_is_the_papers_sum_over_pairs_of_channels():
    a, b = torch.randn(2, 3, 4, 5, dtype=torch.double), torch.randn(2, 4, 4, 5, dtype=torch.double)
    total = 0.0
    for n in range(2):
        x, y = ([c.flatten().tolist() for c in maps[n]] for maps in (a, b))
        total += pairs(x, x) / 9 + pairs(y, y) / 16 - 2 * pairs(x, y) / 12
    assert SquaredMmd.apply(a, b).item() == pytest.approx(total / 2, rel=1e-5)


def pairs(xs, ys):
    """The sum of (x·y / |x||y|)² over all pairs, on Python's numbers."""

    def dot(x, y):
        return sum(p * q for p, q in zip(x, y, strict=True))

    return sum(dot(x, y) ** 2 / (dot(x, x) * dot(y, y)) for x in xs for y in ys)


def test_the_squared_mmd_of_equal_or_scaled_maps_is_zero():
    a = torch.randn(2, 3, 4, 5)
    assert SquaredMmd.apply(a, a).item() == pytest.approx(0, abs=1e-6)
    assert SquaredMmd.apply(a, 7 * a.flip(1)).item() == pytest.approx(0, abs=1e-6)


def test_the_blended_loss_weighs_labels_and_the_teachers_distribution():
    scores, teacher = torch.randn(5, 10, requires_grad=True), torch.randn(5, 10, requires_grad=True)
    labels = torch.arange(5)
    loss = blended_loss(scores, labels, teacher, alpha=3.0)
    soft = -(teacher.detach().softmax(1) * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, functional.cross_entropy(scores, labels) + 3 * soft)
    loss.backward()
    assert teacher.grad is None
