"""A network as the text of a test that compares it again."""

TEMPLATE = """\
import numpy as np

from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.kernels import paths
from adderhw.ops.base import Node
from adderhw.tensor import {maker}
from tests.soak.comparison import Soak


def test_the_network_of_seed_{seed}():
    nodes = [
{nodes}
    ]
    parameters = {{
{parameters}
    }}
    formats = {{
{formats}
    }}
    x = {x}
    entry = {entry}
    graph = Graph("random", (entry,), {outputs}, nodes, parameters, formats)
    Soak(paths(), (1, 2, 3)).compare(graph, x)
"""


def as_test(graph, x, seed):
    """Python source of a test that fails as long as the network is computed differently somewhere."""
    (tensor,) = graph.inputs
    return TEMPLATE.format(
        seed=seed,
        nodes="\n".join(f"        {node_text(node)}," for node in graph.nodes),
        parameters="\n".join(f"        {name!r}: {array_text(value)}," for name, value in graph.parameters.items()),
        formats="\n".join(f"        {name!r}: {value!r}," for name, value in graph.formats.items()),
        x=array_text(x),
        maker="Tensor" if tensor.is_float else "integer_tensor",
        entry=entry_text(tensor),
        outputs=graph.outputs,
    )


def entry_text(tensor):
    """The expression that makes the Tensor of the array `x`."""
    if tensor.is_float:
        return f"Tensor({tensor.name!r}, {tensor.shape}, x.dtype)"
    return f"integer_tensor({tensor.name!r}, {tensor.shape}, x.dtype, {tensor.lowest}, {tensor.highest})"


def node_text(node):
    """The expression that makes a Node, its attributes all stated."""
    fields = (node.op, node.name, node.inputs, node.output, dict(node.attributes))
    return f"Node({', '.join(map(repr, fields))})"


def array_text(array):
    """The expression that makes an array, in its dtype and shape."""
    return f"np.array({array.ravel().tolist()}, np.{array.dtype}).reshape({array.shape})"
