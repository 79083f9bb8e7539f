"""Batch norms after adder layers keep the digits of their sums; measured anew they are averages over the batches."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from training import loop, networks
from training.batch_norms import CentredBatchNorm2d, measure_batch_norms
from training.checkpoint import load_network
from training.layers import AdderConv2d
from training.recipe import Recipe


def like_an_adder_layer(*shape, mean=-4000, deviation=4):
    """Channels-last values whose channels have means around `mean`; seeded."""
    torch.manual_seed(0)
    means = mean + 100 * torch.randn(shape[1], 1, 1)
    return (means + deviation * torch.randn(shape)).contiguous(memory_format=torch.channels_last)


def errors(norm, x):
    """Largest errors against float64 of a training step of `norm`: output, input gradient, and its statistics.

    Outputs are in units of the deviation that they are normalised to, gradients in units of the largest one, the
    mean in units of the remembered deviation.
    """
    exact = nn.BatchNorm2d(x.shape[1]).double()
    gradient = torch.randn_like(x)
    answers = []
    for layer, values in ((norm, x), (exact, x.double())):
        values = values.clone().requires_grad_()
        y = layer(values)
        y.backward(gradient.to(y.dtype))
        answers.append((y.detach(), values.grad, layer.weight.grad, layer.running_mean, layer.running_var))
    scales = (1, answers[1][1].abs().max(), answers[1][2].abs().max(), exact.running_var.sqrt(), exact.running_var)
    return [((a - b).abs() / scale).max().item() for a, b, scale in zip(*answers, scales, strict=True)]


@pytest.fixture
def set_threads():
    """torch.set_num_threads, undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(128, 16, 32, 32), (128, 64, 8, 8), (64, 5, 1, 1), (2, 3, 7, 1)])
def test_channels_far_from_zero_are_normalised_as_in_float64(shape, threads, set_threads):
    set_threads(threads)
    assert max(errors(CentredBatchNorm2d(shape[1]), like_an_adder_layer(*shape))) < 5e-4


def test_the_first_image_may_lie_off_the_others():
    x = like_an_adder_layer(64, 8, 6, 6)
    x[0] += 40
    assert max(errors(CentredBatchNorm2d(8), x)) < 5e-4


def test_pytorch_loses_digits_that_centring_keeps(set_threads):
    set_threads(1)  # as many sums as threads: each loses less
    x = like_an_adder_layer(128, 16, 32, 32)
    assert max(errors(nn.BatchNorm2d(16), x)) > 10 * max(errors(CentredBatchNorm2d(16), x))


def test_evaluation_parameters_and_counts_are_those_of_batch_norm():
    x = like_an_adder_layer(4, 3, 5, 5)
    norm, plain = CentredBatchNorm2d(3), nn.BatchNorm2d(3)
    norm(x), norm(2 * x)
    plain.load_state_dict(norm.state_dict())
    assert norm.num_batches_tracked == 2
    assert torch.equal(norm.eval()(x), plain.eval()(x))
    assert torch.equal(norm.running_mean, plain.running_mean)


def test_two_passes_before_one_backward_pass():
    norm, x = CentredBatchNorm2d(3), like_an_adder_layer(4, 3, 5, 5)
    (norm(x) * norm(2 * x)).sum().backward()
    assert norm.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", networks.ARCHITECTURES)
@pytest.mark.parametrize("kind", networks.KINDS)
def test_batch_norms_of_adder_layers_and_no_others_are_centred(name, kind):
    with torch.device("meta"):
        network = networks.build(name, kind, classes=10, in_channels=3)
    norms = {key for key, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    centred = {key for key in norms if isinstance(network.get_submodule(key), CentredBatchNorm2d)}
    assert norms - {"bn"} == set(map(network.batch_norm_of, network.intermediate_layers()))
    assert centred == (norms - {"bn"} if kind == "ann" else set())


def test_a_step_is_the_same_on_one_thread_and_on_two(set_threads):
    """Sums in another order, at means in the thousands: with PyTorch's batch norms scores differed by 0.14."""
    torch.manual_seed(0)
    network = networks.build("resnet20", "ann", classes=10, in_channels=3)
    for layer in network.modules():
        if isinstance(layer, AdderConv2d):
            layer.weight.data.mul_(100)
    images = torch.randn(64, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    scores = []
    for threads in (1, 2):
        set_threads(threads)
        scores.append(network.train()(images).detach())
    assert (scores[0] - scores[1]).norm() < 1e-2 * scores[0].norm()


def test_it_compiles_whole():
    norm, x = CentredBatchNorm2d(3), like_an_adder_layer(4, 3, 5, 5)
    expected = CentredBatchNorm2d(3)(x)
    torch.testing.assert_close(torch.compile(norm, fullgraph=True, backend="aot_eager")(x), expected)


def test_statistics_become_the_averages_over_the_batches():
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.ReLU(), nn.BatchNorm2d(3)).eval()
    network[0].running_mean.fill_(100)
    batches = [SimpleNamespace(images=3 * torch.randn(4, 3, 5, 5) - 7) for _ in range(5)]
    measure_batch_norms(network, iter(batches))
    means = torch.stack([batch.images.mean((0, 2, 3)) for batch in batches]).mean(0)
    variances = torch.stack([batch.images.var((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(network[0].running_mean, means)
    torch.testing.assert_close(network[0].running_var, variances)
    assert 0.2 < network[2].running_mean.mean() < 0.6  # of the ReLU of normal numbers: 0.4
    assert [network[0].momentum, network[2].momentum] == [0.3, 0.1]


def test_at_a_high_rate_an_adder_network_is_judged_by_what_it_learnt(tmp_path, monkeypatch):
    recipe = Recipe(method="ann", epochs=8, seed=0, batch_size=32)

    def train_four_epochs(folder):
        class Stop(loop.Silence):
            def epoch(self, run):
                if run.epoch == 4:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            loop.train(recipe, tmp_path / folder, progress=Stop())
        last = torch.load(tmp_path / folder / loop.LAST, weights_only=True)
        return last["history"][-1]["val_top1"], last["learners"][0]["network"]

    measured, weights = train_four_epochs("measured")
    monkeypatch.setattr(loop, "measure_batch_norms", lambda network, batches: None)
    remembered, same_weights = train_four_epochs("remembered")
    for name, weight in weights.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(weight, same_weights[name])
    assert measured > remembered + 5
    assert load_network(tmp_path / "measured" / loop.BEST)
