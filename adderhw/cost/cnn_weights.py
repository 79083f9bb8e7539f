"""The weights of a CNN of the same topology, as integers, for the network of hard-wired constants."""

from pathlib import Path

import numpy as np

from adderhw.errors import ModelError
from adderhw.onnx_reader import array_of, load_proto

LAYERS = {"Conv": 1, "ConvInteger": 1, "Gemm": 1, "MatMul": 1, "MatMulInteger": 1}


def cnn_weights(path, layers):
    """{layer name: int64 (O, C/groups, kh, kw)} of the CNN in the ONNX file `path`.

    layers: {name: (Operands, weight bits)} of this network's layers with taps, in order; the CNN has as many
    convolution and linear layers with the same weight shapes, in the same order. Real weights are rounded to the weight
    bits, symmetric, each output channel on its own scale max|w| / (2^(bits − 1) − 1): a batch norm folded into them
    changes none of these integers. Raises ModelError where the file does not fit.
    """
    found = _weights(path)
    if len(found) != len(layers):
        raise ModelError(
            f"{path}: found {len(found)} convolution and linear layers, expected {len(layers)} as in this network"
        )
    taken = {}
    for (name, (operands, bits)), weight in zip(layers.items(), found, strict=True):
        shape = operands.weight.shape
        weight = weight[:, :, None, None] if weight.ndim == 2 and len(shape) == 4 else weight
        if weight.shape != shape:
            raise ModelError(
                f"{path}: found a weight of shape {list(weight.shape)}, expected {list(shape)} as in {name}"
            )
        taken[name] = weight.astype(np.int64) if weight.dtype.kind in "iu" else rounded(weight, bits)
    return taken


def rounded(weight, bits):
    """int64: real weights (O, …) on a symmetric grid of `bits` for each output channel; a channel of zeros stays 0."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    scale = np.where(largest > 0, largest, 1) / (2 ** (bits - 1) - 1)
    return np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int64)


def _weights(path):
    """The weight of every layer in order, as (O, C, kh, kw) or (O, K); integers minus their zero point."""
    graph = load_proto(Path(path)).graph
    try:
        arrays = {tensor.name: array_of(tensor) for tensor in graph.initializer}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    weights = []
    for node in graph.node:
        if node.op_type not in LAYERS or len(node.input) < 2 or node.input[1] not in arrays:
            continue
        weight = arrays[node.input[1]]
        if node.op_type.endswith("Integer") and len(node.input) > 3 and node.input[3] in arrays:
            weight = weight.astype(np.int64) - arrays[node.input[3]].astype(np.int64)
        turned = node.op_type.startswith("MatMul") or (
            node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
        )
        weights.append(weight.T if turned else weight)
    return weights
