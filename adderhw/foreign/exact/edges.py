"""Where floats become codes and back: QuantizeLinear and DequantizeLinear."""

import numpy as np

from adderhw.foreign.exact.builder import UNSTATED, View


def quantise(builder, node):
    """Codes of sums that wait for a grid, of a tensor on that grid already, or of the network's float32 input."""
    source, grid = node.inputs[0], builder.grid(node, 1)
    grid.single(builder.refusal(node))
    if source in builder.pending:
        sums, relu = builder.pending[source]
        if relu and grid.zero_point != grid.low:
            builder.refuse(node, "does not clip at 0 what a Relu before it does")
        builder.step(node.outputs[0], sums.rescaled(grid))
    elif source in builder.views and builder.views[source].grid.same(grid):
        name = builder.views[source].name
        builder.step(node.outputs[0], lambda tensors: tensors[name])
    elif source in builder.graph.inputs and builder.graph.dtypes[source] == np.float32:
        builder.step(node.outputs[0], lambda tensors: grid.quantised(tensors[source]))
    else:
        builder.refuse(node, f"quantises {source!r}, which {UNSTATED}")


def dequantise(builder, node):
    """A view of the codes; at the end of the network their float32 values."""
    graph, source, output = builder.graph, node.inputs[0], node.outputs[0]
    grid = builder.grid(node, 1, dtype=graph.dtypes.get(source))
    builder.views[output] = View(source, grid)
    if output in graph.outputs and source not in graph.constants:
        grid.single(builder.refusal(node))
        builder.step(output, lambda tensors: grid.real(tensors[source]))
