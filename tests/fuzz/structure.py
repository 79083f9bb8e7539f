"""Models whose structure was changed: nodes, names, edges, shapes and attributes, each still well-formed protobuf."""

from copy import deepcopy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HUGE = (0, 1, 2, 7, 1 << 31, (1 << 62) - 1, (1 << 63) - 1, -1)
TYPES = tuple(map(TensorProto.DataType.Value, ("FLOAT", "INT8", "UINT8", "INT64", "DOUBLE", "BOOL")))
OPS = ("Add", "Identity", "Reshape", "Softmax", "If", "Loop", "Constant", "Nothing")
DETOURS = (
    *("Identity", "Flatten", "Relu", "Cast", "Add", "QuantizeLinear", "DequantizeLinear", "Reshape", "Clip", "Concat"),
)


def mutate_structure(rng, data):
    """The bytes of an ONNX model after one to three changes of its structure."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(int(rng.integers(1, 4))):
        if model.graph.node:
            CHANGES[rng.integers(len(CHANGES))](rng, model)
    return model.SerializeToString()


def some(rng, items):
    """One of the items, None where there is none."""
    return items[int(rng.integers(len(items)))] if len(items) else None


def tensors(graph):
    """The name of every tensor, and one that there is not."""
    made = [name for node in graph.node for name in node.output]
    return [*made, *(value.name for value in graph.input), *(each.name for each in graph.initializer), "nowhere", ""]


def repeat_node(rng, model):
    """A node twice, its outputs under the same names or new ones."""
    node = deepcopy(some(rng, model.graph.node))
    if rng.integers(2):
        node.output[:] = [f"{name}_again" for name in node.output]
    model.graph.node.insert(int(rng.integers(len(model.graph.node) + 1)), node)


def drop_node(rng, model):
    """A node less."""
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


def move_node(rng, model):
    """A node at another place."""
    node = model.graph.node.pop(int(rng.integers(len(model.graph.node))))
    model.graph.node.insert(int(rng.integers(len(model.graph.node) + 1)), node)


def share_name(rng, model):
    """Two nodes of one name, or a node of a strange one."""
    node, other = some(rng, model.graph.node), some(rng, model.graph.node)
    node.name = some(rng, [other.name, "", "a\nb", "\x1b[2J", "=1+1", "x" * 5000])


def retype_node(rng, model):
    """A node of another op, of this file or of ONNX."""
    node, other = some(rng, model.graph.node), some(rng, model.graph.node)
    node.op_type = some(rng, [other.op_type, *OPS])
    node.domain = some(rng, [node.domain, other.domain, "", "ai.onnx", "com.microsoft", "nobody"])


def rewire(rng, model):
    """An input is another tensor, or goes, or comes twice."""
    node, kind = some(rng, model.graph.node), int(rng.integers(4))
    if not node.input or kind == 3:
        node.input.append(some(rng, tensors(model.graph)))
        return
    at = int(rng.integers(len(node.input)))
    if kind == 0:
        del node.input[at]
    elif kind == 1:
        node.input.insert(at, node.input[at])
    else:
        node.input[at] = some(rng, tensors(model.graph))


def rename_output(rng, model):
    """A node's output is called as another tensor, or it has one more."""
    node = some(rng, model.graph.node)
    if rng.integers(2) and node.output:
        node.output[int(rng.integers(len(node.output)))] = some(rng, tensors(model.graph))
    else:
        node.output.append(some(rng, tensors(model.graph)))


def change_ends(rng, model):
    """Another output of the graph, no output, or one more input."""
    graph, kind = model.graph, int(rng.integers(4))
    if kind == 0:
        del graph.output[:]
    elif kind == 1:
        graph.output.append(helper.make_empty_tensor_value_info(some(rng, tensors(graph))))
    elif kind == 2 and graph.output:
        graph.output[0].name = some(rng, tensors(graph))
    else:
        sizes = [some(rng, HUGE) for _ in range(int(rng.integers(5)))]
        graph.input.append(helper.make_tensor_value_info(some(rng, tensors(graph)) or "in", some(rng, TYPES), sizes))


def change_shape_of_input(rng, model):
    """A size of an input is another, symbolic or gone."""
    value = some(rng, model.graph.input)
    if value is None:
        return
    dims = value.type.tensor_type.shape.dim
    kind = int(rng.integers(4))
    if kind == 0 or not dims:
        dims.add(dim_value=some(rng, HUGE))
    elif kind == 1:
        del dims[int(rng.integers(len(dims)))]
    elif kind == 2:
        dims[int(rng.integers(len(dims)))].dim_value = some(rng, HUGE)
    else:
        dims[int(rng.integers(len(dims)))].dim_param = some(rng, ["N", "", "height", "?"])


def change_constant(rng, model):
    """A constant of another shape, dtype or value, gone, or twice."""
    graph = model.graph
    tensor = some(rng, graph.initializer)
    if tensor is None:
        return
    kind = int(rng.integers(6))
    if kind == 0:
        graph.initializer.remove(tensor)
        return
    if kind == 1:
        graph.initializer.add().CopyFrom(tensor)
        return
    array = numpy_helper.to_array(tensor)
    flat = array.reshape(-1)
    made = (
        flat[:1].reshape(()), flat, array[..., None], np.resize(flat, int(rng.integers(1, 9))),
        array.astype(some(rng, [np.float64, np.int64, np.int8, np.float16, np.bool_])), np.zeros_like(array),
    )[int(rng.integers(6))]  # fmt: skip
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(made).reshape(np.shape(made)), tensor.name))


def change_attribute(rng, model):
    """An attribute of another value or type, gone, twice, or of another node."""
    node = some(rng, model.graph.node)
    attribute, kind = some(rng, node.attribute), int(rng.integers(6))
    if attribute is None or kind == 0:
        names = [each.name for other in model.graph.node for each in other.attribute] or ["axis"]
        value = some(rng, [0, -1, 1 << 62, 0.5, "x", [1], [1, 2, 3, 4, 5], b"\xff\xfe", [0.5]])
        node.attribute.append(helper.make_attribute(some(rng, names), value))
    elif kind == 1:
        node.attribute.remove(attribute)
    elif kind == 2:
        node.attribute.add().CopyFrom(attribute)
    elif kind == 3 and attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = some(rng, HUGE)
    elif kind == 4 and attribute.ints:
        del attribute.ints[int(rng.integers(len(attribute.ints)))]
    else:
        attribute.i = some(rng, HUGE)


def annotate(rng, model):
    """An annotation of another tensor, or of another width, scale or zero point."""
    annotation = some(rng, model.graph.quantization_annotation)
    if annotation is None or rng.integers(3) == 0:
        annotation = model.graph.quantization_annotation.add(tensor_name=some(rng, tensors(model.graph)))
        width = some(rng, ["UINT1", "INT64", "INT2", "x"])
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=width)
        return
    entry = some(rng, annotation.quant_parameter_tensor_names)
    if rng.integers(2) or entry is None:
        annotation.tensor_name = some(rng, tensors(model.graph))
    else:
        entry.value = some(rng, ["UINT8", "INT4", "1e308", "1e-320", "-1", "0", "nan", "99999999999999999999"])


def detour(rng, model):
    """A tensor goes through a node of another op on its way to one reader."""
    node, graph = some(rng, model.graph.node), model.graph
    if not node.input:
        return
    at = int(rng.integers(len(node.input)))
    op = some(rng, DETOURS)
    inputs = [node.input[at]]
    if op in ("Add", "QuantizeLinear", "DequantizeLinear", "Reshape"):
        inputs.append(some(rng, tensors(graph)))
    attributes = {"to": int(some(rng, TYPES))} if op == "Cast" else {}
    name = f"detour_{len(graph.node)}"
    graph.node.insert(list(graph.node).index(node), helper.make_node(op, inputs, [name], name, **attributes))
    node.input[at] = name


def change_header(rng, model):
    """Another version of an opset or of the format, or a function less or twice."""
    kind = int(rng.integers(4))
    if kind == 0 and model.opset_import:
        some(rng, model.opset_import).version = int(some(rng, [0, 1, 7, 13, 21, 27, 99, 1 << 40]))
    elif kind == 1:
        model.ir_version = int(some(rng, [0, 3, 4, 8, 10, 11, 99]))
    elif kind == 2 and model.functions:
        model.functions.remove(some(rng, model.functions))
    elif model.functions:
        model.functions.add().CopyFrom(some(rng, model.functions))


CHANGES = (
    repeat_node, drop_node, move_node, share_name, retype_node, rewire, rewire, rename_output, change_ends,
    change_shape_of_input, change_constant, change_constant, change_attribute, change_attribute, annotate, detour,
    change_header,
)  # fmt: skip
