"""Small random adder layers, as models of their own, and random images for them."""

from pathlib import Path

import numpy as np

from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.ops.base import Node
from adderhw.simulation import Model
from adderhw.tensor import integer_tensor


def small_layer(
    rng, *, shape, outputs, kernel, strides, pads, dilations, group, bits, signed, rounding, realisation, zero_point
):
    """A Model of one adder convolution and its Requantize; constants per channel, M of few signed digits."""
    fmt = Format(bits, signed)
    weight = rng.integers(fmt.min, fmt.max, (outputs, shape[0] // group, *kernel), fmt.dtype, endpoint=True)
    multiplier = -(np.int64(1) << rng.integers(2, 6, (outputs, 1, 1)))
    if realisation != "shift":
        multiplier -= 1 + (multiplier < -4)
    bound = np.int64(weight[0].size * (fmt.max - fmt.min))
    size = np.abs(multiplier) * bound  # of the largest product; a third of it is the usual one
    constant = size // 3 + rng.integers(-3, 4, (outputs, 1, 1))
    shift = np.maximum(np.ceil(np.log2(size / 128)), 0).astype(np.int64)  # outputs lie inside the clip
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations, "group": group}
    requantise = {"rounding": rounding, "qmin": -100, "qmax": 90, "output_dtype": 3, "realisation": realisation}
    graph = Graph(
        name="small",
        inputs=(integer_tensor("x", (None, *shape), fmt.dtype, fmt.min, fmt.max),),
        outputs=("q",),
        nodes=(
            Node("AdderConvInteger", "a layer", ("x", "w", "z"), "s", attributes),
            Node("Requantize", "requantise", ("s", "m", "c", "n"), "q", requantise),
        ),
        parameters={
            "w": weight,
            "z": np.array(zero_point, fmt.dtype),
            "m": multiplier,
            "c": constant,
            "n": shift,
        },
        formats={"x": fmt, "w": fmt},
    )
    return Model(graph, Path("small.onnx"), "0" * 64)


def images_file(rng, model, path, count=2):
    """An .npz file with `count` random images for the model."""
    (tensor,) = model.graph.inputs
    shape = (count, *tensor.shape[1:])
    x = rng.integers(tensor.format.min, tensor.format.max, shape, tensor.dtype, endpoint=True)
    np.savez(path, x=x)
    return path
