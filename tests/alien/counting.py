"""Multiply-accumulates of an ONNX file by its shapes alone, without this toolkit: what its counts must equal."""

from math import prod

import onnx


def shaped(proto):
    """The model at batch 1 with the shapes that ONNX infers."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in weights and dims:
            dims[0].dim_value = 1
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def shapes_of(model):
    """{tensor name: sizes}; a size that is open is None."""
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            known[node.output[0]] = next((tuple(each.t.dims) for each in node.attribute if each.name == "value"), None)
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            sizes = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
            known.setdefault(value.name, sizes)
    return known


def macs(proto):
    """Multiply-accumulates per image, None where a shape stays unknown."""
    shapes = shapes_of(shaped(proto))
    total = 0
    for node in proto.graph.node:
        counter = COUNTERS.get(node.op_type)
        if counter is None or not node.input:
            continue
        try:
            total += counter(node, shapes)
        except (KeyError, TypeError, IndexError):
            return None
    return total


def conv(node, shapes, weight=1):
    """Outputs times the elements of a filter."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[weight]][1:])


def conv_transpose(node, shapes):
    """Inputs times the elements of a filter."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def product(node, shapes):
    """Outputs times the axis that is summed over."""
    turned = any(each.name == "transA" and each.i for each in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if turned else -1]


COUNTERS = {
    **dict.fromkeys(("Conv", "ConvInteger"), conv),
    "QLinearConv": lambda node, shapes: conv(node, shapes, 3),
    "ConvTranspose": conv_transpose,
    **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "QGemm"), product),
}
