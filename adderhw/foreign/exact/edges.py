"""Where floats become codes and back: QuantizeLinear and DequantizeLinear."""

import numpy as np
from onnx import helper

from adderhw.foreign.exact.builder import UNSTATED, View
from adderhw.foreign.exact.moves import folded
from adderhw.foreign.integers import CODE_TYPES


def quantise(builder, node):
    """Codes of sums that wait for a grid, of codes on any grid, of the network's float32 input, or of a constant.

    Of codes on another grid ONNX states every step: a float32 product, a float32 quotient, rounding and a clip.
    """
    if node.inputs[0] in builder.constants:
        folded(builder, node)
        return
    source, grid = node.inputs[0], builder.grid(node, 1, dtype=stated_dtype(builder, node))
    grid.single(builder.refusal(node))
    if source in builder.pending:
        sums, relu = builder.pending[source]
        if not builder.only_reader(source):
            builder.refuse(node, f"reads {source!r}, a sum in floating point that other nodes read too")
        if sums.is_open(grid, grid.low == 0 or builder.is_pair(node.outputs[0])):
            builder.refuse(
                node, f"quantises {source!r}, which onnxruntime does not fuse: the order of its float32 sums is open"
            )
        if relu and grid.zero_point != grid.low:
            builder.refuse(node, "does not clip at 0 what a Relu before it does")
        builder.step(node.outputs[0], sums.rescaled(grid))
    elif source in builder.views:
        view = builder.moving_view(node, source)
        view.grid.single(builder.refusal(node))
        name, before = view.name, view.grid
        if before.same(grid):
            builder.step(node.outputs[0], lambda tensors: tensors[name])
        else:
            builder.step(node.outputs[0], lambda tensors: grid.quantised(before.real(tensors[name])))
    elif source in builder.known and builder.graph.dtypes[source] == np.float32:
        builder.step(node.outputs[0], lambda tensors: grid.quantised(tensors[source]))
    else:
        builder.refuse(node, f"quantises {source!r}, which {UNSTATED}")


def stated_dtype(builder, node):
    """The dtype of a QuantizeLinear's codes where it has no zero point: its output_dtype, else uint8."""
    code = node.attributes.get("output_dtype", 0)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(code)) if code else np.dtype(np.uint8)
    zero = builder.optional(node, 2)
    if code and zero is not None and zero.dtype != dtype:
        builder.refuse(node, f"has output_dtype {dtype} and a zero point of {zero.dtype}")
    return dtype


def dequantise(builder, node):
    """A view of the codes; at the end of the network their float32 values."""
    graph, source, output = builder.graph, node.inputs[0], node.outputs[0]
    dtype = builder.constants[source].dtype if source in builder.constants else graph.dtypes.get(source)
    zero = builder.optional(node, 2)
    if zero is not None and zero.dtype != dtype:
        builder.refuse(node, f"has codes of {dtype} and a zero point of {zero.dtype}")
    if str(dtype) not in CODE_TYPES:
        builder.refuse(node, f"has codes of {dtype}, which are not simulated here")
    grid = builder.grid(node, 1, dtype=dtype, axis=axis_of(builder, node, source))
    builder.views[output] = View(source, grid, fused=grid.low == 0 or builder.is_pair(source))
    if output in graph.outputs:
        if source in builder.constants:
            builder.refuse(node, "makes an output of the network that no image changes")
        grid.single(builder.refusal(node))
        builder.step(output, lambda tensors: grid.real(tensors[source]))


def axis_of(builder, node, source):
    """The axis of a DequantizeLinear, ONNX's default 1 where it states none, counted from the first one."""
    rank = len(builder.shapes[source]) if source in builder.shapes else builder.constants[source].ndim
    scale = builder.constant(node, node.inputs[1])
    if scale.size == 1:
        return 0
    if node.domain and "axis" not in node.attributes:
        builder.refuse(node, "has a scale for each channel and no axis")
    axis = node.attributes.get("axis", 1)
    if not -rank <= axis < rank:
        builder.refuse(node, f"has axis {axis} of a tensor of rank {rank}")
    return axis % rank
