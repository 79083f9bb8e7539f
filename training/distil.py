"""Progressive kernel-based knowledge distillation (PKKD): what the adder network learns from its CNN twin.

After Y. Xu, C. Xu, X. Chen, W. Zhang, C. Xu and Y. Wang, "Kernel Based Progressive Distillation for Adder Neural
Networks", NeurIPS 2020. Points that the text leaves open, and the choices made here:
- h = exp(−conv/(2σ_c²)) carries a minus sign, as does g = exp(−‖x − f‖₁/(2σ_a²)); σ² is learnt as exp(s), so it
  stays positive. σ_a² starts at the layer's fan-in, since Y is a sum of as many distances; σ_c² starts at 1, since a
  convolution after batch normalisation answers with values of that order.
- Exponents are clamped to ±EXPONENT_LIMIT, beyond which the response stands still and nothing flows back.
- ρ is a 1×1 convolution without bias for each network and layer, starting as the identity.
- L_mid sums over the intermediate layers the mean squared difference per element of the mapped responses.
- σ_c and ρ_c are trained by the adder network's optimiser, on responses detached from the CNN: nothing of
  L reaches the CNN's weights.
"""

from math import log

import torch
from torch import nn
from torch.nn import functional

EXPONENT_LIMIT = 10.0


class ResponseRecorder:
    """Keeps what each intermediate layer of a network answered in the last forward pass, in `responses` by name."""

    def __init__(self, network):
        self.responses = {}
        for name, layer in network.intermediate_layers().items():
            layer.register_forward_hook(self._keeper(name))

    def _keeper(self, name):
        def keep(layer, inputs, output):
            self.responses[name] = output

        return keep


class LayerMatch(nn.Module):
    """The distance of one layer's adder responses from its twin's, both through a Gaussian-like kernel and ρ.

    Xu 2020, section 3. channels: of the responses; fan_in: terms in each of the layer's sums.
    """

    def __init__(self, channels, fan_in):
        super().__init__()
        self.log_variance_ann = nn.Parameter(torch.tensor(log(fan_in)))
        self.log_variance_cnn = nn.Parameter(torch.tensor(0.0))
        self.map_ann, self.map_cnn = (_identity_map(channels) for _ in range(2))

    def forward(self, ann, cnn):
        """ann = −Σ|x − f|, cnn = Σ x·f: float32 (N, C, H, W). Returns the mean squared difference, a scalar."""
        g = kernel_response(ann, self.log_variance_ann)
        h = kernel_response(-cnn.detach(), self.log_variance_cnn)
        return functional.mse_loss(self.map_ann(g), self.map_cnn(h))


class KernelMatch(nn.Module):
    """L_mid: the sum of LayerMatch over the intermediate layers that `ann` and its twin share."""

    def __init__(self, ann):
        super().__init__()
        layers = ann.intermediate_layers()
        self.names = tuple(layers)
        self.layers = nn.ModuleList(
            LayerMatch(layer.out_channels, layer.weight[0].numel()) for layer in layers.values()
        )

    def forward(self, ann, cnn):
        """ann, cnn: {layer name: responses} of the same batch."""
        return sum(match(ann[name], cnn[name]) for name, match in zip(self.names, self.layers, strict=True))


def kernel_response(exponent, log_variance):
    """exp(exponent / (2σ²)) with σ² = exp(log_variance), the argument clamped to ±EXPONENT_LIMIT."""
    return torch.exp((exponent / (2 * log_variance.exp())).clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT))


def blended_loss(scores, labels, teacher_scores, alpha):
    """L_blend = CE(y, label) + α·CE(y, softmax(teacher)) (Xu 2020, section 3), averaged over the batch.

    scores, teacher_scores: float32 (N, classes) before the softmax; the teacher's are detached here.
    """
    soft = teacher_scores.detach().softmax(1)
    return functional.cross_entropy(scores, labels) + alpha * functional.cross_entropy(scores, soft)


def _identity_map(channels):
    conv = nn.Conv2d(channels, channels, 1, bias=False)
    nn.init.dirac_(conv.weight)
    return conv
