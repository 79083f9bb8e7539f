"""Batch norms of adder layers: sums that keep their digits, and statistics measured anew (precise batch norm)."""

import torch
from torch import nn
from torch.nn import functional

BATCHES = 16


class CentredBatchNorm2d(nn.BatchNorm2d):
    """torch.nn.BatchNorm2d for channels whose means are far from 0 in units of their deviations.

    An adder layer's −Σ|x − w| has channels of mean −4000 and deviation 4. PyTorch on a CPU (2.13, channels-last)
    adds up each channel in float32 and so misses the mean by up to a deviation (docs/training.md has the figures).
    Batch normalisation gives the same for x and for x − c: in training c is each channel's mean in the batch's first
    image, which costs one more pass and leaves sums around 0. Evaluation, parameters and their names are
    BatchNorm2d's; `momentum` has to be a number and the running statistics are always kept.
    """

    def forward(self, x):
        """x: float (N, C, H, W). Returns the same shape."""
        if not self.training:
            return super().forward(x)
        centre = x.detach()[:1].mean((0, 2, 3))
        mean = self.running_mean - centre
        y = functional.batch_norm(
            x - centre[:, None, None], mean, self.running_var, self.weight, self.bias, True, self.momentum, self.eps
        )
        with torch.no_grad():
            self.running_mean.copy_(mean + centre)
            self.num_batches_tracked.add_(1)
        return y


@torch.no_grad()
def measure_batch_norms(network, batches):
    """Set the running statistics of all BatchNorm2d to their averages over `batches`, with the weights as they are.

    An adder layer's −Σ|x − w| lies in the hundreds and moves with every step of its weights, by far more than its
    own deviation within the ten steps that a running average of momentum 0.1 remembers, so that at a high rate the
    network in evaluation mode is not the one that learns (docs/training.md has the figures). Wu and Johnson,
    Rethinking "Batch" in BatchNorm, arXiv:2105.07576, section 3, measure them anew for the same reason.
    batches: training.data Batches. The network is left in training mode.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    network.train()
    for done, batch in enumerate(batches):
        for layer in layers:
            layer.momentum = 1 / (done + 1)
        network(batch.images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
