"""The rate of each parameter of quantisation-aware training: all move by one share of the grid step they act on."""

import numpy as np

from quant.op_kinds import ADDING, CARRIERS, LAYERS
from quant.qat_start import step_of, weight_step_of

LOGITS_BITS = 8  # the logits' grid has 16 bits; what is one step of the network's last is one of this many bits


def units(graph, start):
    """Parameter name → the change of it that counts as one step, a float.

    graph: the FloatGraph whose constants learn; start: its Start. Of an adder layer's weight it is the step of the grid
    that the weight shares with the layer's input; of another weight the mean step of its channels; of a bias, γ, β or
    constant summand the step of the grid that the tensor is put on next, or 2^−8 of the logits' range; of the logarithm
    of a step on b bits 2^−b, which moves the end of the grid by one step.
    """
    found = {step_of(name): 2.0 ** -start.grids[name].bits for name in start.learning}
    for node in graph.nodes:
        for at, name in enumerate(node.inputs):
            if name in graph.constants:
                unit = weight_unit if at == 1 and node.op in LAYERS else unit_after
                found[name] = unit(graph, start, node)
        if node.name in start.weight_steps:
            found[weight_step_of(node.name)] = 2.0**-start.settings.edge_bits
    return found


def weight_unit(graph, start, node):
    """The unit of a layer's weight."""
    if node.op in ADDING:
        return start.grids[held_as(graph, node.inputs[0])].scale
    steps, largest = start.weight_steps.get(node.name), np.abs(graph.constants[node.inputs[1]]).max()
    return float(largest * 2.0 ** (1 - start.settings.edge_bits) if steps is None else steps.mean())


def held_as(graph, name):
    """The float tensor on whose grid `name` lies: itself, or the one before ops that only carry a grid on."""
    producers = {node.output: node for node in graph.nodes}
    while name in producers and producers[name].op in CARRIERS:
        name = producers[name].inputs[0]
    return name


def unit_after(graph, start, node):
    """The unit of what is added to, or scales, the output of a FloatNode."""
    name = node.output
    while name not in start.learning:
        readers = graph.consumers.get(name, ())
        if not readers or name in graph.outputs:
            seen = start.observed[name]
            return (seen.high - seen.low) * 2.0**-LOGITS_BITS
        name = readers[0].output
    return start.grids[name].scale
