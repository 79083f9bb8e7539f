"""Which nodes one kernel call computes together, where no other node reads what lies between them."""

from dataclasses import dataclass

from adderhw.kernels import Requant
from adderhw.ops import BY_NAME
from adderhw.ops.base import Node
from adderhw.ops.requantize import requant_of


@dataclass(frozen=True)
class Fusion:
    """A summing node or Add with the Requantize behind it, and for Add one before it.

    after: the Requant of the sum. before: the Requant of the last operand, None to add it as it is.
    before_bound: the largest |operand| before `before`. inputs: the activations read, in the kernel's order.
    output: the tensor written. absorbed: the nodes that need no step of their own. narrow: operands that may be
    stored in fewer bytes than ONNX Add asks for.
    """

    after: Requant
    before: Requant | None
    before_bound: int
    inputs: tuple[str, ...]
    output: str
    absorbed: tuple[Node, ...]
    narrow: tuple[str, ...] = ()


def find_fusions(graph, kept):
    """Node name → its Fusion; tensors in `kept` are never skipped."""
    makers = {node.output: node for node in graph.nodes}
    fusions = {}
    for node in graph.nodes:
        reader = only_reader(graph, node.output, kept)
        if reader is None or reader.op != "Requantize" or reader.inputs[0] != node.output:
            continue
        if BY_NAME[node.op].sums:
            inputs = tuple(t.name for t in graph.args(node) if t is not None and t.value is None)
            fusions[node.name] = Fusion(requant(graph, reader), None, 0, inputs, reader.output, (reader,))
        elif node.op == "Add":
            fusions[node.name] = residual(graph, node, reader, makers, kept)
    return fusions


def residual(graph, node, reader, makers, kept):
    """The Fusion of Add and its Requantize, which takes in the Requantize of one operand where it can."""
    after = requant(graph, reader)
    own = [name for name in node.inputs if only_reader(graph, name, kept) is node and name in makers]
    plain = [
        name for name in own if makers[name].op == "Requantize" and not after_sum(graph, makers[name], makers, kept)
    ]
    if not plain or node.inputs[0] == node.inputs[1]:
        return Fusion(after, None, 0, node.inputs, reader.output, (reader,))
    (source, *_), before = makers[plain[-1]].inputs, makers[plain[-1]]
    other = node.inputs[1 - node.inputs.index(plain[-1])]
    tensor = graph.tensors[source]
    bound = max(-tensor.lowest, tensor.highest)
    narrow = tuple(name for name in (other,) if name in own and makers[name].op == "Requantize")
    return Fusion(
        requant(graph, reader), requant(graph, before), bound, (other, source), reader.output, (before, reader), narrow
    )


def after_sum(graph, node, makers, kept):
    """Whether the summing node before this Requantize computes it."""
    maker = makers.get(node.inputs[0])
    return maker is not None and BY_NAME[maker.op].sums and only_reader(graph, maker.output, kept) is node


def only_reader(graph, name, kept):
    """The one node that reads the tensor, None where there are more or the tensor is kept."""
    readers = graph.consumers.get(name, ())
    return readers[0] if len(readers) == 1 and name not in kept else None


def requant(graph, node):
    """The Requant of a Requantize node."""
    return requant_of(node, graph.args(node))
