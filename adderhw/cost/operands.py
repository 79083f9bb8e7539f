"""What a layer with taps works on: its geometry, constant weights and the range of its inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from adderhw.errors import CostError
from adderhw.ops.base import scalar
from adderhw.ops.convolution import padded_range


@dataclass(frozen=True)
class Operands:
    """A convolution, or a linear layer as a 1×1 convolution on a 1×1 image.

    input_shape: (C, H, W). weight: int64 (O, C/groups, kh, kw), the stored integers minus their zero point.
    input_ends: (low, high), exact range of the inputs minus their zero point, 0 (padding) included. strides, pads,
    dilations, groups: as in ONNX Conv.
    """

    input_shape: tuple[int, int, int]
    weight: np.ndarray = field(repr=False)
    input_ends: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


def operands_of(graph) -> Mapping[str, Operands]:
    """{node name: Operands} of every adder, convolution and linear layer of a Graph."""
    readers = {
        "AdderConvInteger": _convolution,
        "ConvInteger": _convolution,
        "AdderGemmInteger": _adder_linear,
        "MatMulInteger": _linear,
    }
    return {node.name: readers[node.op](node, graph.args(node)) for node in graph.nodes if node.op in readers}


def needed(layer, operands):
    """`operands`; raises CostError where a layer with taps comes without."""
    if operands is None:
        raise CostError(f"layer {layer.name}: found no operands, expected its geometry and weights")
    return operands


def _convolution(node, args):
    x, w, x_zero, *w_zero = args
    zero = scalar(node, x_zero, "x_zero_point")
    shared = node.op == "AdderConvInteger"
    origin = zero if shared else scalar(node, w_zero[0], "w_zero_point")
    low, high = padded_range(node, x, zero)
    return Operands(
        tuple(x.shape[1:]),
        w.value.astype(np.int64) - origin,
        (low - zero, high - zero),
        *(tuple(node.attributes[key]) for key in ("strides", "pads", "dilations")),
        int(node.attributes["group"]),
    )


def _adder_linear(node, args):
    x, w = args
    return _pointwise(w.value.astype(np.int64), x.lowest, x.highest)


def _linear(node, args):
    x, w, x_zero, w_zero = args
    zero = scalar(node, x_zero, "a_zero_point")
    weight = w.value.T.astype(np.int64) - scalar(node, w_zero, "b_zero_point")
    return _pointwise(weight, x.lowest - zero, x.highest - zero)


def _pointwise(weight, low, high):
    shape = (weight.shape[1], 1, 1)
    return Operands(shape, weight[:, :, None, None], (min(low, 0), max(high, 0)))
