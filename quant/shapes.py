"""Shape arithmetic that exporters write becomes constant shapes: `view` as Shape, Gather and Concat, and squeezes."""

from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from adderhw.errors import ModelError
from adderhw.foreign.graph import foreign_graph
from adderhw.onnx_reader import ONNX_DOMAINS

COMPUTED = "Shape"
SQUEEZES = ("Squeeze", "Unsqueeze")


def with_constant_shapes(proto):
    """The model in which every Reshape, Squeeze and Unsqueeze is a Reshape by a constant that keeps the batch.

    Nodes that only computed shapes are gone. A Reshape whose shape does not keep the batch axis stays as it was, and
    is refused where it is lowered. Returns the model itself where it has no such node.
    """
    ops = {node.op_type for node in proto.graph.node if node.domain in ONNX_DOMAINS}
    if not ops & {COMPUTED, *SQUEEZES}:
        return proto
    try:
        graphs = [foreign_graph(proto, "model", batch=batch) for batch in (1, 2)]
    except ModelError:  # another op than can be quantised, which is refused by its name where it is read
        return proto
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    taken = {tensor.name for tensor in model.graph.initializer} | {value.name for value in model.graph.input}
    taken |= {name for node in model.graph.node for name in node.output}
    nodes, sources = [], {}  # of a reshaped tensor, the one before any reshape: their elements have one order
    for node in model.graph.node:
        shape = constant_shape(node, graphs) if node.domain in ONNX_DOMAINS else None
        if shape is None:
            nodes.append(node)
            continue
        name = next(f"{node.output[0]}_shape{i}" for i in range(1 << 20) if f"{node.output[0]}_shape{i}" not in taken)
        taken.add(name)
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
        source = sources[node.output[0]] = sources.get(node.input[0], node.input[0])
        nodes.append(helper.make_node("Reshape", [source, name], [node.output[0]], name=node.name))
    kept = reached(nodes, {value.name for value in model.graph.output})
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def constant_shape(node, graphs):
    """[0, …], the shape that a node gives each image; None for another op, or one whose first axis is not the batch.

    graphs: the ForeignGraph of the model for one image and for two.
    """
    if node.op_type not in ("Reshape", *SQUEEZES):
        return None
    rests = set()
    for batch, graph in enumerate(graphs, 1):
        shapes = [graph.shapes.get(name) for name in (node.input[0], node.output[0])]
        if not all(shapes) or any(shape[0] != batch for shape in shapes) or prod(shapes[0]) != prod(shapes[1]):
            return None
        rests.add(shapes[1][1:])
    return [0, *rests.pop()] if len(rests) == 1 else None


def reached(nodes, wanted):
    """The nodes that the tensors `wanted` depend on, in order."""
    kept, wanted = [], set(wanted)
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
