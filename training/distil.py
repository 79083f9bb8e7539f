"""Distillation: what an adder network learns from its CNN twin, by PKKD and its ablations, or by MMD.

Xu 2020 is Y. Xu, C. Xu, X. Chen, W. Zhang, C. Xu and Y. Wang, "Kernel Based Progressive Distillation for Adder Neural
Networks", NeurIPS 2020; Huang 2017 is Z. Huang and N. Wang, "Like What You Like: Knowledge Distill via Neuron
Selectivity Transfer", arXiv:1707.01219. docs/training.md names what the papers leave open and what was chosen.
"""

from math import log

import torch
from torch import nn
from torch.nn import functional

from training.fused_match import MeanSquaredDifference, SquaredMmd

FEATURES = ("direct", "conv", "kernel", "kernel+conv")
PLACES = ("layers", "blocks", "stages")
CNN_SIDES = ("learnt", "fixed")


class ResponseRecorder:
    """Keeps what each of the named modules of a network answered in the last forward pass, in `responses` by name."""

    def __init__(self, network, names):
        self.responses = {}
        for name in names:
            network.get_submodule(name).register_forward_hook(self._keeper(name))

    def _keeper(self, name):
        def keep(module, inputs, output):
            self.responses[name] = output

        return keep


class Match(nn.Module):
    """A distance of twins' intermediate responses, made of (ann, cnn, recipe); `watched` names whose responses."""

    watched: tuple[str, ...]

    def forward(self, ann, cnn):
        """ann, cnn: {module name: responses (N, C, H, W)} of the same batch. Returns a scalar."""
        raise NotImplementedError


class FeatureMatch(Match):
    """L_mid (Xu 2020, section 3): the sum over layers of LayerMatch, with or without its kernel and its ρ.

    With the kernel it compares the responses of the layers themselves, without it those of their batch norms,
    since −Σ|x − f| lies in the hundreds where the convolution's responses lie around 0.
    """

    def __init__(self, ann, cnn, recipe):
        super().__init__()
        names = layers_at(ann, recipe.match)
        norms = [ann.batch_norm_of(name) for name in names]
        self.watched = tuple(names if recipe.features in ("kernel", "kernel+conv") else norms)
        self.layers = nn.ModuleList(
            LayerMatch(ann.get_submodule(name), cnn.get_submodule(norm), recipe)
            for name, norm in zip(names, norms, strict=True)
        )

    def forward(self, ann, cnn):
        return sum(match(ann[name], cnn[name]) for name, match in zip(self.watched, self.layers, strict=True))


class LayerMatch(nn.Module):
    """The mean squared difference of ρ(k(response)) between one adder layer and its twin.

    k: a Gaussian-like kernel, or nothing; ρ: a 1×1 convolution without bias, as its matrix (C, C), at first 1, or
    nothing.
    layer: the adder layer, in units of whose terms per sum σ_a² starts; norm: the batch norm of its twin, in units of
    whose root mean square input, as it remembers it, σ_c² starts: 1 for a teacher that has not learnt yet.
    """

    def __init__(self, layer, norm, recipe):
        super().__init__()
        size, channels = (norm.running_var + norm.running_mean.square()).mean().sqrt().item(), layer.out_channels
        starts = (recipe.variance_ann * layer.weight[0].numel(), recipe.variance_cnn * size)
        self.limit = recipe.exponent_limit
        kernel, conv = recipe.features in ("kernel", "kernel+conv"), recipe.features in ("conv", "kernel+conv")
        self.log_variance_ann, self.log_variance_cnn = (_log_variance(start) if kernel else None for start in starts)
        self.map_ann, self.map_cnn = (nn.Parameter(torch.eye(channels)) if conv else None for _ in starts)
        if recipe.cnn_side == "fixed":
            for each in (self.map_cnn, self.log_variance_cnn):
                if each is not None:
                    each.requires_grad_(False)

    def forward(self, ann, cnn):
        """Responses, float (N, C, H, W): ann = −Σ|x − f| and cnn = Σ x·f, or both after batch norm. A scalar."""
        exponents = [
            None if each is None else sign / (2 * each.exp())
            for each, sign in ((self.log_variance_ann, 1), (self.log_variance_cnn, -1))
        ]
        return MeanSquaredDifference.apply(ann, cnn.detach(), *exponents, self.map_ann, self.map_cnn, self.limit)


class SelectivityMatch(Match):
    """The sum of SquaredMmd over the batch norms of all layers, or over the answers of blocks or of stages."""

    def __init__(self, ann, cnn, recipe):
        super().__init__()
        blocks = {"blocks": ann.block_names, "stages": ann.stage_names}
        if recipe.match in blocks:
            self.watched = tuple(blocks[recipe.match]())
        else:
            self.watched = tuple(map(ann.batch_norm_of, ann.intermediate_layers()))

    def forward(self, ann, cnn):
        return sum(SquaredMmd.apply(ann[name], cnn[name].detach()) for name in self.watched)


MATCHES = {"pkkd": FeatureMatch, "mmd": SelectivityMatch}


def layers_at(ann, place):
    """Names of the intermediate layers that match: all of them, or the last one of each block or of each stage."""
    if place == "layers":
        return list(ann.intermediate_layers())
    blocks = ann.block_names() if place == "blocks" else ann.stage_names()
    return [f"{name}.{ann.get_submodule(name).last_layer}" for name in blocks]


def blended_loss(scores, labels, teacher_scores, alpha):
    """L_blend = CE(y, label) + α·CE(y, softmax(teacher)) (Xu 2020, section 3), averaged over the batch.

    scores, teacher_scores: float32 (N, classes) before the softmax; the teacher's are detached here.
    """
    soft = teacher_scores.detach().softmax(1)
    return functional.cross_entropy(scores, labels) + alpha * functional.cross_entropy(scores, soft)


def _log_variance(start):
    return nn.Parameter(torch.tensor(log(start)))
