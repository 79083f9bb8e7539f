"""Batch norms measured anew: the averages over the batches, whatever was remembered before."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from training import loop
from training.batch_norms import measure_batch_norms
from training.checkpoint import load_network
from training.recipe import Recipe


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
