"""The adder convolution as PyTorch operators: −Σ|x − w| with AdderNet's gradients, in float32 on CPU and GPU.

The operators adderhw::adder_conv, …_input_gradient and …_weight_gradient have Numba kernels for the CPU, Triton kernels
for CUDA, and shape rules for tracing, so that torch.compile and torch.export pass them through whole. On the CPU they
compute with as many threads as PyTorch is set to (torch.set_num_threads), in PyTorch's own thread pool where Numba
and PyTorch share an OpenMP library.
"""

import torch

from adderhw.errors import ModelError
from training import adder_kernels
from training.adder_kernels import Geometry

DEVICES = ("cpu", "cuda", "meta")


def adder_conv2d(x, weight, *, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1):
    """Y[n, o, i, j] = −Σ|x − w| over the taps of each window; padding is the value 0 and counts.

    x: float32 (N, C, H, W); weight: float32 (O, C / groups, kh, kw) on the same device; pads: ONNX's (top, left,
    bottom, right). Under autocast other floating types are taken too and widened: the sum is always one of float32.
    Returns float32 (N, O, H', W') in channels-last memory. The gradients are those of Chen 2020: the full-precision
    Σ g·(x − w) for the weight, and Σ g·clip(w − x, −1, 1) for the input. Raises ModelError for operands that do not
    fit each other or a window that does not fit the padded input.
    """
    _check_operands(x, weight, groups)
    _check_window(x, weight, Geometry(tuple(stride), tuple(pads), tuple(dilation)))
    return torch.ops.adderhw.adder_conv(x, weight, list(stride), list(pads), list(dilation), groups)


def adder_linear(x, weight):
    """Y[n, o] = −Σ_k |x[n, k] − w[o, k]|. x: float32 (N, K); weight: float32 (O, K). Returns float32 (N, O)."""
    return adder_conv2d(x[:, :, None, None], weight[:, :, None, None]).flatten(1)


def _check_operands(x, weight, groups):
    for name, tensor in (("input", x), ("weight", weight)):
        autocasts = tensor.device.type in ("cpu", "cuda") and torch.is_autocast_enabled(tensor.device.type)
        widened = autocasts and tensor.is_floating_point()
        if tensor.ndim != 4 or tensor.device.type not in DEVICES or not (tensor.dtype == torch.float32 or widened):
            found = f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
            raise ModelError(
                f"adder convolution, {name}: found {found}, expected float32 of 4 dimensions on CPU or GPU"
            )
    if x.device != weight.device:
        raise ModelError(
            f"adder convolution: found input on {x.device}, weight on {weight.device}, expected one device"
        )
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ModelError(
            f"adder convolution: found {x.shape[1]} input channels, weight {tuple(weight.shape)}, {groups} group(s), "
            f"expected weight[1]·groups input channels and weight[0] divisible by groups"
        )


def _check_window(x, weight, geometry):
    if min(geometry.output_size(x.shape[2:], weight.shape[2:])) < 1:
        raise ModelError(
            f"adder convolution: found a window of {tuple(weight.shape[2:])} with dilation {geometry.dilation}, "
            f"expected one inside the input of {tuple(x.shape[2:])} with pads {geometry.pads}"
        )


_OPTIONS = "int[] stride, int[] pads, int[] dilation, int groups"
_SCHEMAS = {  # torch.library.custom_op, which makes these, costs 50 µs more a call
    "adderhw::adder_conv": f"(Tensor x, Tensor weight, {_OPTIONS}) -> Tensor",
    "adderhw::adder_conv_input_gradient": f"(Tensor grad, Tensor x, Tensor weight, {_OPTIONS}) -> Tensor",
    "adderhw::adder_conv_weight_gradient": f"(Tensor grad, Tensor x, Tensor weight, {_OPTIONS}) -> Tensor",
}
for _name, _schema in _SCHEMAS.items():
    torch.library.define(_name, _schema)


@torch.library.impl("adderhw::adder_conv", "CPU")
def _adder_conv(x, weight, stride, pads, dilation, groups):
    operands = (_channels_last(x), _array(weight), _geometry(stride, pads, dilation))
    return _channels_first(adder_kernels.absolute_differences(*operands, **_options(groups)))


@torch.library.impl("adderhw::adder_conv_input_gradient", "CPU")
def _input_gradient(grad, x, weight, stride, pads, dilation, groups):
    operands = (_channels_last(grad), _channels_last(x), _array(weight), _geometry(stride, pads, dilation))
    return _channels_first(adder_kernels.input_gradient(*operands, **_options(groups)))


@torch.library.impl("adderhw::adder_conv_weight_gradient", "CPU")
def _weight_gradient(grad, x, weight, stride, pads, dilation, groups):
    operands = (_channels_last(grad), _channels_last(x), _array(weight), _geometry(stride, pads, dilation))
    return torch.from_numpy(adder_kernels.weight_gradient(*operands, **_options(groups)))


def _on_gpu(name):
    """The Triton kernel `name`; Triton, which a machine without a GPU may lack, is imported when it is first called."""

    def call(*arguments):
        from training import adder_gpu

        *operands, stride, pads, dilation, groups = arguments
        return getattr(adder_gpu, name)(*operands, _geometry(stride, pads, dilation), groups)

    return call


torch.library.impl("adderhw::adder_conv", "CUDA", _on_gpu("absolute_differences"))
torch.library.impl("adderhw::adder_conv_input_gradient", "CUDA", _on_gpu("input_gradient"))
torch.library.impl("adderhw::adder_conv_weight_gradient", "CUDA", _on_gpu("weight_gradient"))


@torch.library.register_fake("adderhw::adder_conv")
def _adder_conv_shape(x, weight, stride, pads, dilation, groups):
    size = _geometry(stride, pads, dilation).output_size(x.shape[2:], weight.shape[2:])
    return _empty_channels_last(x, (x.shape[0], weight.shape[0], *size))


@torch.library.register_fake("adderhw::adder_conv_input_gradient")
def _input_gradient_shape(grad, x, weight, stride, pads, dilation, groups):
    return _empty_channels_last(x, x.shape)


@torch.library.register_fake("adderhw::adder_conv_weight_gradient")
def _weight_gradient_shape(grad, x, weight, stride, pads, dilation, groups):
    return weight.new_empty(weight.shape)


def _save_operands(ctx, inputs, output):
    x, weight, *ctx.options = inputs
    ctx.save_for_backward(x, weight)


def _gradients(ctx, grad):
    operands = (grad, *ctx.saved_tensors, *ctx.options)
    of_x = torch.ops.adderhw.adder_conv_input_gradient(*operands) if ctx.needs_input_grad[0] else None
    of_weight = torch.ops.adderhw.adder_conv_weight_gradient(*operands) if ctx.needs_input_grad[1] else None
    return of_x, of_weight, None, None, None, None


torch.library.register_autograd("adderhw::adder_conv", _gradients, setup_context=_save_operands)
for _device in ("cpu", "cuda"):
    torch.library.register_autocast("adderhw::adder_conv", _device, torch.float32)


def _geometry(stride, pads, dilation):
    return Geometry(tuple(stride), tuple(pads), tuple(dilation))


def _options(groups):
    return {"groups": groups, "threads": torch.get_num_threads()}


def _array(weight):
    """(O, C / groups, kh, kw) tensor -> numpy array of any layout."""
    return weight.numpy(force=True)


def _channels_last(x):
    """(N, C, H, W) tensor -> contiguous numpy (N, H, W, C); a view where the memory already lies so."""
    return x.detach().permute(0, 2, 3, 1).contiguous().numpy()


def _channels_first(array):
    """numpy (N, H, W, C) -> (N, C, H, W) tensor in channels-last memory."""
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def _empty_channels_last(like, shape):
    """What _channels_first gives, by shape alone: strides too, also where a dimension is 1."""
    batch, channels, height, width = shape
    return like.new_empty((batch, height, width, channels)).permute(0, 3, 1, 2)
