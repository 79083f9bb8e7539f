"""What is held against other tools: a network's taps layer by layer, and the ONNX graph that those tools read."""

from pathlib import Path
from typing import NamedTuple

import onnx

from adderhw.cost.events import LayerWork
from adderhw.errors import CostError
from adderhw.external.alias import conv_alias
from adderhw.foreign.functions import inlined
from adderhw.foreign.graph import foreign_graph, plain_node, set_batch
from adderhw.foreign.network import count_network
from adderhw.graph import Graph
from adderhw.onnx_reader import load_proto, read_graph
from adderhw.ops.base import DOMAIN


class Subject(NamedTuple):
    """name: the file's. works: layers with taps. graph: the Graph, None of a foreign file. model: for other tools."""

    name: str
    works: tuple[LayerWork, ...]
    graph: Graph | None
    model: onnx.ModelProto


def subject_of(path):
    """The Subject in the ONNX file `path`: its graph with adder layers as Conv, or the foreign file at batch 1."""
    proto = load_proto(path)
    if any(node.domain == DOMAIN for node in proto.graph.node):
        graph = read_graph(path)
        return Subject(Path(path).name, _with_taps(graph.work()), graph, conv_alias(graph))
    layers = count_network(foreign_graph(proto, Path(path).stem))
    return Subject(Path(path).name, _with_taps([layer.work for layer in layers]), None, static_model(proto))


def static_model(proto):
    """The model at batch 1 with its shapes, and a name for every node."""
    model = inlined(proto)
    set_batch(model.graph, {tensor.name for tensor in model.graph.initializer})
    model.graph.ClearField("value_info")
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    for node in model.graph.node:
        node.name = plain_node(node).name
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def words_of(works, accelerator):
    """{layer name: {operand: bits}} that a described accelerator stores of each layer with taps."""
    return {
        work.name: {
            "activations": accelerator.word("activations", work.input_bits, work.name),
            "weights": accelerator.word("weights", work.weight_bits, work.name),
            "partial_sums": accelerator.word("partial_sums", work.accumulator_bits, work.name),
        }
        for work in works
    }


def needs_taps(subject):
    """Raises CostError for a network without a convolution or linear layer."""
    if not subject.works:
        raise CostError(f"{subject.name}: found no layer with taps, expected a convolution, linear or adder layer")


def _with_taps(works):
    return tuple(work for work in works if work.taps)
