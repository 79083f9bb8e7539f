"""How many weights a foreign network has: each constant that a layer of taps multiplies by, once however often read."""

from math import prod

SAME_NUMBERS = (  # ops whose output is their first input's numbers, in another type, order or shape
    *("BipolarQuant", "Cast", "Clip", "DequantizeLinear", "Flatten", "Identity", "Quant", "QuantizeLinear", "Reshape"),
    *("Squeeze", "Transpose", "Unsqueeze"),
)
OPERANDS = dict.fromkeys(("QLinearConv", "QLinearMatMul", "QGemm"), (0, 3))


def constant_operands(node, inputs):
    """The names of the constants that a layer of taps multiplies by, on either side; inputs: its Values."""
    positions = OPERANDS.get(node.op, (0, 1))
    return tuple(node.inputs[at] for at in positions if inputs[at].constant)


def parameter_count(graph, layers):
    """The numbers in the constants that `layers` of a ForeignGraph multiply by; those of one initializer count once."""
    makers = {name: (raw.op_type, raw.input) for raw in graph.proto.graph.node for name in raw.output}
    makers |= {name: (node.op, node.inputs) for node in graph.nodes for name in node.outputs}
    names = {source(name, makers, graph) for layer in layers for name in layer.weights}
    return sum(size(graph, name) for name in names)


def source(name, makers, graph):
    """The tensor that `name` has its numbers from: itself, or a constant that is only moved, cast or (de)quantised."""
    while name in makers and makers[name][0] in SAME_NUMBERS:
        first = makers[name][1][0]
        if first not in graph.shapes or size(graph, first) != size(graph, name):
            break
        name = first
    return name


def size(graph, name):
    """Elements of a tensor."""
    return prod(graph.shapes[name])
