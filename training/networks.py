"""The networks: each one definition, as CNN, ANN or BNN; python -m training.networks prints their taps.

He 2016 is K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. VGG-small
is the network of D. Zhang, J. Yang, D. Ye and G. Hua, "LQ-Nets", ECCV 2018.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import nn

from adderhw.errors import ModelError
from training.batch_norms import CentredBatchNorm2d
from training.layers import ADDER_LAYERS, AdderConv2d, BinaryConv2d

KINDS = ("cnn", "ann", "bnn")


class BasicBlock(nn.Module):
    """act(BN(layer(act(BN(layer(x))))) + shortcut(x)); the shortcut is a 1×1 layer + BN where the shape changes."""

    expansion = 1
    last_layer = "conv2"

    def __init__(self, kind, in_channels, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = _layer(kind, in_channels, channels, 3, stride), _batch_norm(kind, channels)
        self.conv2, self.bn2 = _layer(kind, channels, channels, 3, 1), _batch_norm(kind, channels)
        self.relu = _activation(kind)
        self.shortcut = _shortcut(kind, in_channels, channels, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """BasicBlock with layers 1×1, 3×3 and 1×1, of which the last has four times the channels.

    The 3×3 layer takes the stride, as in the published AdderNet code; He 2016 strides in the first.
    """

    expansion = 4
    last_layer = "conv3"

    def __init__(self, kind, in_channels, channels, stride):
        super().__init__()
        wide = self.expansion * channels
        self.conv1, self.bn1 = _layer(kind, in_channels, channels, 1, 1), _batch_norm(kind, channels)
        self.conv2, self.bn2 = _layer(kind, channels, channels, 3, stride), _batch_norm(kind, channels)
        self.conv3, self.bn3 = _layer(kind, channels, wide, 1, 1), _batch_norm(kind, wide)
        self.relu = _activation(kind)
        self.shortcut = _shortcut(kind, in_channels, wide, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class PlainBlock(nn.Module):
    """act(BN(pool(layer(x)))): the pool before the signs of a BNN, after which it would say little (Rastegari 2016)."""

    last_layer = "conv1"

    def __init__(self, kind, in_channels, channels, pooled):
        super().__init__()
        self.conv1, self.bn1 = _layer(kind, in_channels, channels, 3, 1), _batch_norm(kind, channels)
        self.pool = nn.MaxPool2d(2) if pooled else nn.Identity()
        self.relu = _activation(kind)

    def forward(self, x):
        return self.relu(self.bn1(self.pool(self.conv1(x))))


class Network(nn.Module):
    """What all networks share: float32 (N, C, H, W) -> scores (N, classes), the first and the last layer real.

    kind says what the layers between those two are: 'cnn' convolutions, 'ann' adder layers, 'bnn' binary
    convolutions, whose activation clips to [−1, 1] instead of ReLU so that signs differ. All kinds have the same
    parameter names and shapes: they are twins. `stages` are how many of `blocks` lie in each stage.
    """

    def intermediate_layers(self):
        """{name: layer} of every layer but the first and the last, of the network's kind."""
        return {
            name: m for name, m in self.named_modules() if name != "stem" and isinstance(m, (nn.Conv2d, AdderConv2d))
        }

    def block_names(self):
        """Names of the blocks, in order."""
        return [f"blocks.{index}" for index in range(len(self.blocks))]

    def stage_names(self):
        """Names of the last block of each stage, in order."""
        names = self.block_names()
        return [names[sum(self.stages[: stage + 1]) - 1] for stage in range(len(self.stages))]

    def batch_norm_of(self, name):
        """The name of the batch norm that normalises the answers of the intermediate layer `name`."""
        if name.endswith("shortcut.0"):
            return name[:-1] + "1"
        head, _, leaf = name.rpartition(".")
        return f"{head}.{leaf.replace('conv', 'bn')}"


class ResNet(Network):
    """A residual network (He 2016) with 1×1 shortcuts where the shape changes; every stage but the first halves."""

    def __init__(self, architecture, kind, classes, in_channels):
        super().__init__()
        first, self.stages = architecture.widths[0], architecture.blocks
        size, stride = (7, 2) if architecture.large_images else (3, 1)
        self.stem = nn.Conv2d(in_channels, first, size, stride, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(first)
        self.relu = _activation(kind)
        self.stem_pool = nn.MaxPool2d(3, 2, padding=1) if architecture.large_images else nn.Identity()
        self.blocks = nn.Sequential(*_residual_blocks(architecture, kind))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(architecture.block.expansion * architecture.widths[-1], classes)

    def forward(self, x):
        y = self.blocks(self.stem_pool(self.relu(self.bn(self.stem(x)))))
        return self.classifier(self.pool(y).flatten(1))


class PlainNetwork(Network):
    """Layers of 3×3 without shortcuts, a 2×2 max pool after every second, and one linear layer (VGG-small)."""

    def __init__(self, architecture, kind, classes, in_channels):
        super().__init__()
        first, *others = architecture.widths
        self.image_size, self.stages = architecture.image_size, (1,) + (2,) * (len(others) // 2)
        self.stem = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(first)
        self.relu = _activation(kind)
        self.blocks = nn.Sequential(*_plain_blocks(architecture, kind))
        side = architecture.image_size // 2 ** len(self.stages)
        self.classifier = nn.Linear(architecture.widths[-1] * side**2, classes)

    def forward(self, x):
        height, width = x.shape[2:]
        if (height, width) != (self.image_size,) * 2:
            raise ModelError(f"vgg_small: found images of {height}x{width}, expected {self.image_size} in both")
        return self.classifier(self.blocks(self.relu(self.bn(self.stem(x)))).flatten(1))


@dataclass(frozen=True)
class Residual:
    """Widths of the stages and how many blocks each has; large images get a 7×7 stem of stride 2 and a max pool."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    block: type = BasicBlock
    large_images: bool = False
    network: type = ResNet


@dataclass(frozen=True)
class Plain:
    """Widths of the layers, the first one's first, and the side of the square images that the linear layer fits."""

    widths: tuple[int, ...]
    image_size: int = 32
    network: type = PlainNetwork


ARCHITECTURES = {
    "digits_resnet": Residual(widths=(16, 32), blocks=(2, 2)),
    "resnet20": Residual(widths=(16, 32, 64), blocks=(3, 3, 3)),
    "resnet32": Residual(widths=(16, 32, 64), blocks=(5, 5, 5)),
    "vgg_small": Plain(widths=(128, 128, 256, 256, 512, 512)),
    "resnet18": Residual(widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2), large_images=True),
    "resnet50": Residual(widths=(64, 128, 256, 512), blocks=(3, 4, 6, 3), block=Bottleneck, large_images=True),
}


def build(name, kind, *, classes, in_channels):
    """The network `name` of `kind` 'cnn', 'ann' or 'bnn' in channels-last memory; ModelError for an unknown one."""
    if name not in ARCHITECTURES:
        raise ModelError(f"model: found {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    if kind not in KINDS:
        raise ModelError(f"model {name}, kind: found {kind!r}, expected one of {', '.join(KINDS)}")
    architecture = ARCHITECTURES[name]
    network = architecture.network(architecture, kind, classes, in_channels)
    return network.to(memory_format=torch.channels_last)


def taps(network, input_shape):
    """{layer name: taps per image} for an input of (C, H, W): the multiply-accumulates of the CNN twin."""
    counts, handles = {}, []
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, *ADDER_LAYERS)):
            handles.append(layer.register_forward_hook(_tap_counter(counts, name)))
    training = network.training
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *input_shape, device=device))
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
    """The convolution, adder layer or binary convolution that the twins have at the same place."""
    padding = kernel_size // 2
    if kind == "ann":
        return AdderConv2d(
            in_channels, channels, kernel_size, stride=stride, padding=padding, channels_last_output=True
        )
    layer = BinaryConv2d if kind == "bnn" else _plain_convolution
    return layer(in_channels, channels, kernel_size, stride=stride, padding=padding)


def _plain_convolution(*arguments, **options):
    return nn.Conv2d(*arguments, bias=False, **options)


def _batch_norm(kind, channels):
    """What follows a _layer of `kind`."""
    return (CentredBatchNorm2d if kind == "ann" else nn.BatchNorm2d)(channels)


def _activation(kind):
    return nn.Hardtanh() if kind == "bnn" else nn.ReLU()


def _shortcut(kind, in_channels, channels, stride):
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    return nn.Sequential(_layer(kind, in_channels, channels, 1, stride), _batch_norm(kind, channels))


def _residual_blocks(architecture, kind):
    channels = architecture.widths[0]
    for stage, (width, count) in enumerate(zip(architecture.widths, architecture.blocks, strict=True)):
        for block in range(count):
            yield architecture.block(kind, channels, width, stride=2 if stage and not block else 1)
            channels = width * architecture.block.expansion


def _plain_blocks(architecture, kind):
    for index, (in_channels, channels) in enumerate(pairwise(architecture.widths)):
        yield PlainBlock(kind, in_channels, channels, pooled=index % 2 == 0)
