"""The adder convolution as a PyTorch operator: −Σ|x − w| with AdderNet's gradients, on the CPU in float32.

It computes with as many threads as PyTorch is set to (torch.set_num_threads).
"""

import numpy as np
import torch
from torch.nn import functional

from adderhw.errors import ModelError
from training.adder_kernels import Geometry, absolute_differences, input_gradient


def adder_conv2d(x, weight, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """Y[n, o, i, j] = −Σ|x − w| over the taps of each window; padding is the value 0 and counts.

    x: float32 (N, C, H, W); weight: float32 (O, C / groups, kh, kw); pads: ONNX's (top, left, bottom, right).
    Returns float32 (N, O, H', W') in channels-last memory. The gradients are those of Chen 2020: the
    full-precision Σ g·(x − w) for the weight, and Σ g·clip(w − x, −1, 1) for the input.
    Raises ModelError for operands that do not fit each other.
    """
    _check_operands(x, weight, groups)
    return torch.ops.adderhw.adder_conv(x, weight, list(stride), list(pads), list(dilation), groups)


def adder_linear(x, weight):
    """Y[n, o] = −Σ_k |x[n, k] − w[o, k]|. x: float32 (N, K); weight: float32 (O, K). Returns float32 (N, O)."""
    return adder_conv2d(x[:, :, None, None], weight[:, :, None, None]).flatten(1)


def _check_operands(x, weight, groups):
    for name, tensor in (("input", x), ("weight", weight)):
        if tensor.ndim != 4 or tensor.dtype != torch.float32 or tensor.device.type not in ("cpu", "meta"):
            found = f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
            raise ModelError(f"adder convolution, {name}: found {found}, expected float32 of 4 dimensions on the CPU")
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ModelError(
            f"adder convolution: found {x.shape[1]} input channels, weight {tuple(weight.shape)}, {groups} group(s), "
            f"expected weight[1]·groups input channels and weight[0] divisible by groups"
        )


@torch.library.custom_op("adderhw::adder_conv", mutates_args=(), device_types="cpu")
def _adder_conv(
    x: torch.Tensor, weight: torch.Tensor, stride: list[int], pads: list[int], dilation: list[int], groups: int
) -> torch.Tensor:
    geometry = _geometry(stride, pads, dilation)
    padded, filters = _channels_last(_padded(x, geometry)), weight.numpy(force=True)
    parts = [
        absolute_differences(part, part_filters, geometry, threads=torch.get_num_threads())
        for part, part_filters in zip(_split(padded, groups), np.split(filters, groups), strict=True)
    ]
    return _channels_first(parts)


@_adder_conv.register_fake
def _adder_conv_shape(x, weight, stride, pads, dilation, groups):
    size = _geometry(stride, pads, dilation).output_size(x.shape[2:], weight.shape[2:])
    shape = (x.shape[0], weight.shape[0], *size)
    return x.new_empty(shape).to(memory_format=torch.channels_last)


@torch.library.custom_op("adderhw::adder_conv_input_gradient", mutates_args=(), device_types="cpu")
def _adder_conv_input_gradient(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    pads: list[int],
    dilation: list[int],
    groups: int,
) -> torch.Tensor:
    geometry = _geometry(stride, pads, dilation)
    operands = (_split(_channels_last(grad), groups), _split(_channels_last(x), groups))
    filters = np.split(weight.numpy(force=True), groups)
    return _channels_first(
        [input_gradient(g, part, f, geometry) for g, part, f in zip(*operands, filters, strict=True)]
    )


@_adder_conv_input_gradient.register_fake
def _adder_conv_input_gradient_shape(grad, x, weight, stride, pads, dilation, groups):
    return x.new_empty(x.shape).to(memory_format=torch.channels_last)


def _weight_gradient(grad, x, weight, geometry, groups):
    """Σ g·(x − w) as a convolution's weight gradient minus w·Σg (Chen 2020)."""
    (products,) = torch.ops.aten.convolution_backward(
        grad, _padded(x, geometry), weight, None, geometry.stride, (0, 0), geometry.dilation, False, (0, 0), groups,
        (False, True, False),
    )[1:2]  # fmt: skip
    return products - weight * grad.sum((0, 2, 3))[:, None, None, None]


def _save_operands(ctx, inputs, output):
    x, weight, *ctx.options = inputs
    ctx.save_for_backward(x, weight)


def _gradients(ctx, grad):
    x, weight = ctx.saved_tensors
    stride, pads, dilation, groups = ctx.options
    of_x = of_weight = None
    if ctx.needs_input_grad[0]:
        of_x = torch.ops.adderhw.adder_conv_input_gradient(grad, x, weight, stride, pads, dilation, groups)
    if ctx.needs_input_grad[1]:
        of_weight = _weight_gradient(grad, x, weight, _geometry(stride, pads, dilation), groups)
    return of_x, of_weight, None, None, None, None


_adder_conv.register_autograd(_gradients, setup_context=_save_operands)


def _geometry(stride, pads, dilation):
    return Geometry(tuple(stride), tuple(pads), tuple(dilation))


def _padded(x, geometry):
    top, left, bottom, right = geometry.pads
    return functional.pad(x, (left, right, top, bottom)) if any(geometry.pads) else x


def _channels_last(x):
    """(N, C, H, W) tensor -> contiguous numpy (N, H, W, C); a view where the memory already lies so."""
    return x.detach().permute(0, 2, 3, 1).contiguous().numpy()


def _channels_first(parts):
    """numpy (N, H, W, C) of each group -> one (N, C, H, W) tensor in channels-last memory."""
    whole = np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts, axis=3)
    return torch.from_numpy(whole).permute(0, 3, 1, 2)


def _split(x, groups):
    return [np.ascontiguousarray(part) for part in np.split(x, groups, axis=3)]
