"""Concat and Gather along the channels: tensors side by side, and channels in another order, at no cost in hardware."""

from dataclasses import replace
from functools import partial

import numpy as np

from adderhw.ops.base import Attribute, Op, other_work, parameter, per_channel
from adderhw.tensor import Tensor, integer_tensor


class Concat(Op):
    """x, … (N, C_i, …) of one dtype, one grid and one shape but for C_i → (N, Σ C_i, …) (ONNX Concat, axis 1)."""

    name = "Concat"
    domain = ""
    variadic = True
    activations = None
    attributes = {"axis": Attribute("int")}

    def infer(self, node, args):
        """The exact bounds of every channel, and the inputs' format where they share one."""
        check_channels(node, args)
        if len({(t.dtype, len(t.shape), t.shape[2:]) for t in args}) > 1:
            found = " and ".join(f"{t.dtype} {list(t.shape)}" for t in args)
            node.fail(found, "one dtype, and one shape but for the channels")
        if len({(t.format.scale, t.format.zero_point) for t in args}) > 1:
            found = " and ".join(f"(scale {t.format.scale}, zero point {t.format.zero_point})" for t in args)
            node.fail(f"grids {found}", "one shared grid")
        low, high = (
            np.concatenate([per_channel(end, t.shape[1]) for end, t in zip(ends, args, strict=True)])
            for ends in ([t.low for t in args], [t.high for t in args])
        )
        out = integer_tensor(node.output, (None, len(low), *args[0].shape[2:]), args[0].dtype, low, high)
        return replace(out, format=args[0].format) if len({t.format for t in args}) == 1 else out

    def compile(self, node, args, out, options, fusion=None):
        """A copy of each input's channels."""

        def bind(arrays, target, threads, stats):
            return partial(np.concatenate, arrays, axis=-1, out=target)

        return bind

    def work(self, node, args, out, options):
        """Wiring: no event."""
        return other_work(node, out, {})


class Gather(Op):
    """x (N, C, …), constant indices (C',), integers in [−C, C) → the channels x[:, indices] (ONNX Gather, axis 1)."""

    name = "Gather"
    domain = ""
    inputs = ("x", "indices")
    attributes = {"axis": Attribute("int", 0)}

    def infer(self, node, args):
        """The exact bounds of the channels taken, in the input's format."""
        x, indices = args
        check_channels(node, [x])
        taken = channels_of(node, x, indices)
        low, high = (per_channel(end, x.shape[1])[taken] for end in (x.low, x.high))
        return Tensor(node.output, (None, len(taken), *x.shape[2:]), x.dtype, x.format, low, high)

    def compile(self, node, args, out, options, fusion=None):
        """A copy of the channels taken."""
        taken = channels_of(node, *args)

        def bind(arrays, target, threads, stats):
            # Without a mode, take checks the indices, which are checked already, and buffers its output.
            return partial(np.take, arrays[0], taken, axis=-1, out=target, mode="clip")

        return bind

    def work(self, node, args, out, options):
        """Wiring: no event."""
        return other_work(node, out, {})


def check_channels(node, tensors):
    """Checks that the tensors are integers and that the node works along their channels."""
    if node.attributes["axis"] != 1:
        node.fail(f"axis {node.attributes['axis']}", "1, the channels")
    for tensor in tensors:
        if tensor.is_float:
            node.fail(f"input {tensor.name!r} of dtype {tensor.dtype}", "integers")


def channels_of(node, x, indices):
    """int64 (C',): the channels of `x` that a Gather takes; raises ModelError for others than x has."""
    taken, channels = parameter(node, indices, "indices"), x.shape[1]
    if taken.dtype not in (np.int32, np.int64) or taken.ndim != 1:
        node.fail(f"indices of {taken.dtype} and shape {list(taken.shape)}", "int64 or int32 of rank 1")
    if taken.min() < -channels or taken.max() >= channels:
        node.fail(f"indices from {taken.min()} to {taken.max()}", f"{-channels} to {channels - 1}")
    return taken.astype(np.int64) % channels
