"""Batch norms judged as they are: running statistics measured anew with the weights at hand (precise batch norm)."""

import torch
from torch import nn

BATCHES = 16


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
