"""A network whose adder layers stand as Conv and Gemm, for tools that know no others: shapes stay, numbers do not."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from adderhw.errors import ModelError

OPSET, IR_VERSION = 17, 8
CONVOLUTIONS = ("AdderConvInteger", "ConvInteger")
GEOMETRY = ("kernel_shape", "strides", "pads", "dilations", "group")
POOL = ("kernel_shape", "strides", "pads")
# Ops that change no shape; those of one input stay so.
IDENTITIES = ("Requantize", "QuantizeLinear", "DequantizeLinear")


def conv_alias(graph, words=None):
    """The float ModelProto of a Graph in which adder layers are Conv or Gemm, of batch 1 and the same names.

    words: {node name: {attribute: bits}} written on its node, as ZigZag reads precisions. Weights are all 1.
    Raises ModelError for an op that has no alias.
    """
    nodes, constants = [], []
    for node in graph.nodes:
        made, weights = _alias(graph, node)
        for name, bits in (words or {}).get(node.name, {}).items():
            made.attribute.append(helper.make_attribute(name, bits))
        nodes.append(made)
        constants += weights
    inputs = [_value(tensor.name, tensor.shape) for tensor in graph.inputs]
    outputs = [_value(name, graph.tensors[name].shape) for name in graph.outputs]
    middle = [_value(node.output, graph.tensors[node.output].shape) for node in graph.nodes]
    names = {output.name for output in outputs}
    proto = helper.make_graph(
        nodes, graph.name, inputs, outputs, initializer=constants, value_info=[v for v in middle if v.name not in names]
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _alias(graph, node):
    """(NodeProto, its constants)."""
    moving = [name for name in node.inputs if name and name not in graph.parameters]
    if node.op in CONVOLUTIONS:
        return _layer(graph, node, "Conv", **{key: _plain(node.attributes[key]) for key in GEOMETRY})
    if node.op == "AdderGemmInteger":
        return _layer(graph, node, "Gemm", transB=1)
    if node.op == "MatMulInteger":
        return _layer(graph, node, "MatMul")
    if node.op in IDENTITIES:
        return _node("Identity", node, moving), []
    if node.op in ("MaxPoolInteger", "SumPool"):
        kept = {key: _plain(node.attributes[key]) for key in POOL if key in node.attributes}
        return _node("MaxPool" if node.op == "MaxPoolInteger" else "AveragePool", node, moving, **kept), []
    if node.op in ("Add", "Flatten"):
        return _node(node.op, node, moving), []
    if node.op == "Concat":
        return _node("Concat", node, moving, axis=1), []
    if node.op in ("Reshape", "Gather"):
        constant = numpy_helper.from_array(np.asarray(_second(graph, node), np.int64), f"{node.name}.constant")
        attributes = {"axis": 1} if node.op == "Gather" else {}
        return _node(node.op, node, [*moving, constant.name], **attributes), [constant]
    raise ModelError(
        f"node {node.name!r}: found op {node.op}, expected one with an alias in Conv, Gemm and standard ops"
    )


def _second(graph, node):
    """The new shape of a Reshape at batch 1, or the channels that a Gather takes."""
    if node.op == "Gather":
        return graph.parameters[node.inputs[1]]
    return (1, *graph.tensors[node.output].shape[1:])


def _layer(graph, node, op, **attributes):
    weight = graph.parameters[node.inputs[1]]
    constant = numpy_helper.from_array(np.ones(weight.shape, np.float32), f"{node.name}.weight")
    return _node(op, node, [node.inputs[0], constant.name], **attributes), [constant]


def _node(op, node, inputs, **attributes):
    return helper.make_node(op, inputs, [node.output], name=node.name, **attributes)


def _plain(value):
    return list(value) if isinstance(value, tuple) else int(value)


def _value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape[1:]])
