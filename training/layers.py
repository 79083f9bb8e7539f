"""Adder layers and binary layers as PyTorch modules, AdderNet's adaptive rate, and adder layers written to ONNX.

Chen 2020 is H. Chen, Y. Wang, C. Xu, B. Shi, C. Xu, Q. Tian and C. Xu, "AdderNet: Do We Really Need Multiplications
in Deep Learning?", CVPR 2020. Rastegari 2016 is M. Rastegari, V. Ordonez, J. Redmon and A. Farhadi, "XNOR-Net:
ImageNet Classification Using Binary Convolutional Neural Networks", ECCV 2016.
"""

import contextlib
import operator
from math import sqrt

import torch
from torch import nn
from torch.nn.modules.utils import _pair

from adderhw.errors import ModelError
from training.adder_kernels import Geometry
from training.adder_op import adder_conv2d, adder_linear

DEFAULT_ETA = 0.2
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def check_options(layer, bias, dtype):
    """Raises ModelError for what PyTorch's layers take and adder layers have not."""
    if bias:
        raise ModelError(f"{layer}: found bias=True, expected False (the batch norm behind it has one)")
    if dtype not in (None, torch.float32):
        raise ModelError(f"{layer}: found dtype {dtype}, expected torch.float32")


class AdderConv2d(nn.Module):
    """An adder convolution: Y = −Σ|x − w| over each window, without bias (Chen 2020).

    Arguments are those of nn.Conv2d, in their order; `padding` may also be ONNX's four (top, left, bottom, right), and
    `bias` is False. Padding of any mode counts. Weights start as N(0, 1). Follow it by batch normalisation: its output
    is negative and large. float32 (N, C, H, W) or (C, H, W) in and out; what autocast gave in fewer bits is summed in
    float32. The output lies in memory as the input does, or with `channels_last_output` always channels last, which
    saves a copy. Raises ModelError for groups that do not divide the channels, a bias, padding that does not fit, and
    another padding mode or dtype than nn.Conv2d and float32.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=False,
        padding_mode="zeros", device=None, dtype=None, *, channels_last_output=False,
    ):  # fmt: skip
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ModelError(
                f"AdderConv2d: found {groups} groups, expected a divisor of {in_channels} and {out_channels} channels"
            )
        check_options("AdderConv2d", bias, dtype)
        if padding_mode not in PADDING_MODES:
            raise ModelError(f"AdderConv2d: found padding_mode {padding_mode!r}, expected one of {PADDING_MODES}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = _pair(kernel_size), _pair(stride), _pair(dilation)
        self.padding = padding if isinstance(padding, str) else _sizes(padding)
        self.padding_mode, self.channels_last_output = padding_mode, channels_last_output
        self.pads = self._pads()
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.randn(shape, device=device))
        self.register_parameter("bias", None)

    def reset_parameters(self):
        """Draws the weights anew."""
        nn.init.normal_(self.weight)

    def _pads(self):
        """The padding in ONNX's order (top, left, bottom, right)."""
        if self.padding == "valid":
            return (0, 0, 0, 0)
        if self.padding == "same":
            if self.stride != (1, 1):
                raise ModelError(f"AdderConv2d: found padding='same' and stride {self.stride}, expected stride 1")
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))
        fits = isinstance(self.padding, tuple) and len(self.padding) in (2, 4)
        if not fits or not all(isinstance(size, int) and size >= 0 for size in self.padding):
            raise ModelError(
                f"AdderConv2d: found padding {self.padding!r}, "
                "expected 'same', 'valid', or one, two or four sizes from 0 on"
            )
        return self.padding if len(self.padding) == 4 else (*self.padding, *self.padding)

    def forward(self, x):
        if x.ndim == 3:
            return self.forward(x[None])[0]
        pads = self.pads
        if self.padding_mode != "zeros":
            top, left, bottom, right = pads
            x, pads = nn.functional.pad(x, (left, right, top, bottom), self.padding_mode), (0, 0, 0, 0)
        if torch.onnx.is_in_onnx_export():
            return _symbolic_conv("adderhw::AdderConv", self, x, pads)
        options = {"stride": self.stride, "pads": pads, "dilation": self.dilation, "groups": self.groups}
        y = adder_conv2d(x.float(), self.weight, **options)
        planar = not self.channels_last_output and x.is_contiguous()
        return y.contiguous() if planar else y

    def extra_repr(self):
        mode = "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode!r}"
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}{mode}"
        )


def _sizes(padding):
    """The padding of nn.Conv2d as a tuple: one size for both sides, two, or ONNX's four."""
    sizes = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,)
    with contextlib.suppress(TypeError):  # no whole number: refused as it is
        sizes = tuple(operator.index(size) for size in sizes)
    return sizes * 2 if len(sizes) == 1 else sizes


class AdderLinear(nn.Module):
    """A fully connected adder layer: Y[n, o] = −Σ_k |x[n, k] − w[o, k]|, weights (out, in) from N(0, 1), no bias.

    Arguments are those of nn.Linear, `bias` False. Raises ModelError for a bias or another dtype than float32.
    """

    def __init__(self, in_features, out_features, bias=False, device=None, dtype=None):
        super().__init__()
        check_options("AdderLinear", bias, dtype)
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.randn(out_features, in_features, device=device))
        self.register_parameter("bias", None)

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            return _symbolic_adder_gemm(self, x)
        return adder_linear(x.float(), self.weight)

    def extra_repr(self):
        return f"{self.in_features}, {self.out_features}"


ADDER_LAYERS = (AdderConv2d, AdderLinear)


class BinaryConv2d(nn.Conv2d):
    """A convolution of signs: Y[n, o] = mean|w[o]|·Σ sign(x)·sign(w[o]), of one bit each (Rastegari 2016).

    Arguments and weights are those of nn.Conv2d without bias; float32 (N, C, H, W) in and out. Padding is 0, no
    sign, and adds nothing. Gradients pass each sign unchanged where its argument lies in [−1, 1] and stop elsewhere;
    that of mean|w| is exact. The paper's factor per place of the input is left out. In ONNX it would be the node
    adderhw::BinaryConv, which python -m export refuses by that name.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, bias=False, **options)

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            return _symbolic_conv("adderhw::BinaryConv", self, x, (*self.padding, *self.padding))
        scale = self.weight.abs().mean((1, 2, 3))
        return self._conv_forward(sign(x), sign(self.weight), None) * scale[:, None, None]


def sign(x):
    """+1 where x ≥ 0, else −1; its gradient is that of clip(x, −1, 1): 1 in [−1, 1], 0 elsewhere."""
    clipped = x.clamp(-1, 1)
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype) + (clipped - clipped.detach())


def scale_adder_gradients(network, eta=DEFAULT_ETA):
    """The adaptive learning rate: each adder weight's gradient becomes η·√k·g/‖g‖₂ (Chen 2020).

    k is the element count of the layer's weight. Call it once per step, after all gradients are summed (over
    micro-batches and replicas) and before optimizer.step(): scaling a part would change the sum's direction.
    Layers whose gradient is missing or zero are left alone. Nothing here waits for the device.
    """
    for layer in network.modules():
        if isinstance(layer, ADDER_LAYERS) and layer.weight.grad is not None:
            gradient = layer.weight.grad
            norm = gradient.norm().double()
            gradient.mul_(torch.where(norm > 0, eta * sqrt(gradient.numel()) / norm, 1.0))


def _symbolic_conv(name, layer, x, pads):
    """The node `name` with ONNX Conv's attributes, for torch.onnx.export(…, dynamo=True)."""
    size = Geometry(layer.stride, pads, layer.dilation).output_size(x.shape[2:], layer.kernel_size)
    attributes = {
        "kernel_shape": list(layer.kernel_size),
        "strides": list(layer.stride),
        "pads": list(pads),
        "dilations": list(layer.dilation),
        "group": layer.groups,
    }
    shape = (x.shape[0], layer.out_channels, *size)
    return _symbolic(name, x, layer.weight, attributes, shape)


def _symbolic_adder_gemm(layer, x):
    """The node adderhw::AdderGemm with weights (out, in), hence transB = 1."""
    return _symbolic("adderhw::AdderGemm", x, layer.weight, {"transB": 1}, (x.shape[0], layer.out_features))


def _symbolic(name, x, weight, attributes, shape):
    return torch.onnx.ops.symbolic(name, (x, weight), attrs=attributes, dtype=x.dtype, shape=shape, version=1)
