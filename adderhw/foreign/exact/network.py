"""A network whose tensors are determined: made of a ForeignGraph node by node, and run on arrays."""

from typing import NamedTuple

from adderhw.foreign.exact.builder import UNSTATED, Builder, Step
from adderhw.foreign.exact.registry import RULES
from adderhw.foreign.integers import InexactError
from adderhw.tensor import Tensor

CODES = " (codes)"  # behind the name of a float tensor: the codes that it stands for


class ExactNetwork(NamedTuple):
    """A network whose tensors are determined. inputs: of the shape that data sets are opened for.

    grids: the grid of each tensor of codes that the file dequantises.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    metadata: dict
    grids: dict

    def run(self, arrays):
        """Every computed tensor, name → array with the batch first, for input arrays (N, …)."""
        tensors = dict(arrays)
        for step in self.steps:
            tensors[step.output] = step.run(tensors)
        return {step.output: tensors[step.output] for step in self.steps}


def exact_network(graph, threads):
    """The ExactNetwork of a ForeignGraph; raises InexactError, naming the first node that is not determined."""
    builder = Builder(graph, threads)
    for node in graph.nodes:
        rule = RULES.get((node.domain, node.op))
        if rule is None:
            builder.refuse(node, "is not among the ops that are simulated")
        rule.check(node, builder)
        rule.handler(builder, node)
    return _network(builder)


def checked_tensors(network):
    """The computed tensors that the file itself names, which a second implementation can be asked for."""
    return [step.output for step in network.steps if not step.output.endswith(CODES)]


def _network(builder):
    graph = builder.graph
    for name in graph.outputs:
        if name not in builder.known and name in builder.views and builder.views[name].name in builder.known:
            codes, grid = builder.views[name]
            builder.step(name, lambda tensors, codes=codes, grid=grid: grid.real(tensors[codes]))
    missing = [name for name in graph.outputs if name not in builder.known]
    if missing:
        raise InexactError(f"output {missing[0]!r} {UNSTATED}")
    grids = {view.name: view.grid for view in builder.views.values()}
    metadata = {entry.key: entry.value for entry in graph.proto.metadata_props}
    return ExactNetwork(graph.name, inputs_of(graph), graph.outputs, tuple(builder.steps), metadata, grids)


def inputs_of(graph):
    """The Tensors of a ForeignGraph's inputs, as data sets are opened for them."""
    return tuple(Tensor(name, (None, *graph.shapes[name][1:]), graph.dtypes[name]) for name in graph.inputs)
