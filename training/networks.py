"""The networks: residual networks whose CNN and ANN twins come from one definition, and their tap counts."""

from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from adderhw.errors import ModelError
from training.layers import ADDER_LAYERS, AdderConv2d

KINDS = ("cnn", "ann")


@dataclass(frozen=True)
class Architecture:
    """Widths of the stages and how many basic blocks each has; every stage after the first halves the image."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]


ARCHITECTURES = {
    "digits_resnet": Architecture(widths=(16, 32), blocks=(2, 2)),
    "resnet20": Architecture(widths=(16, 32, 64), blocks=(3, 3, 3)),
    "resnet32": Architecture(widths=(16, 32, 64), blocks=(5, 5, 5)),
}


class BasicBlock(nn.Module):
    """ReLU(BN(layer(ReLU(BN(layer(x))))) + shortcut(x)); the shortcut is a 1×1 layer + BN where the shape changes."""

    def __init__(self, kind, in_channels, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = _layer(kind, in_channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = _layer(kind, channels, channels, 3, 1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(_layer(kind, in_channels, channels, 1, stride), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual network (He 2016, section 4.2, with 1×1 shortcuts): float32 (N, C, H, W) -> (N, classes).

    kind 'cnn' or 'ann' says what the layers between the first and the last are; those two are always a convolution
    and a linear layer. Both kinds have the same parameter names and shapes: they are twins.
    """

    def __init__(self, architecture, kind, classes, in_channels):
        super().__init__()
        first = architecture.widths[0]
        self.stem = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*_blocks(architecture, kind))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(architecture.widths[-1], classes)

    def forward(self, x):
        y = self.blocks(self.relu(self.bn(self.stem(x))))
        return self.classifier(self.pool(y).flatten(1))

    def intermediate_layers(self):
        """{name: layer} of every layer but the first and the last: adder layers, or the twin's convolutions."""
        return {
            name: m for name, m in self.named_modules() if name != "stem" and isinstance(m, (nn.Conv2d, AdderConv2d))
        }


def build(name, kind, *, classes, in_channels):
    """The network `name` of `kind` 'cnn' or 'ann' in channels-last memory; raises ModelError for an unknown one."""
    if name not in ARCHITECTURES:
        raise ModelError(f"model: found {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    if kind not in KINDS:
        raise ModelError(f"model {name}, kind: found {kind!r}, expected one of {', '.join(KINDS)}")
    network = ResNet(ARCHITECTURES[name], kind, classes, in_channels)
    return network.to(memory_format=torch.channels_last)


def taps(network, input_shape):
    """{layer name: taps per image} for an input of (C, H, W): the multiply-accumulates of the CNN twin."""
    counts, handles = {}, []
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, *ADDER_LAYERS)):
            handles.append(layer.register_forward_hook(_tap_counter(counts, name)))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *input_shape))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return counts


def _tap_counter(counts, name):
    def count(layer, inputs, output):
        counts[name] = prod(output.shape[1:]) * prod(layer.weight.shape[1:])

    return count


def _layer(kind, in_channels, channels, kernel_size, stride):
    """The convolution or adder layer that both twins have at the same place."""
    padding = kernel_size // 2
    if kind == "ann":
        return AdderConv2d(in_channels, channels, kernel_size, stride=stride, padding=padding)
    return nn.Conv2d(in_channels, channels, kernel_size, stride=stride, padding=padding, bias=False)


def _blocks(architecture, kind):
    channels = architecture.widths[0]
    for stage, (width, count) in enumerate(zip(architecture.widths, architecture.blocks, strict=True)):
        for block in range(count):
            yield BasicBlock(kind, channels, width, stride=2 if stage and not block else 1)
            channels = width
