"""Which quantised networks are determined to the bit, and their integers: QLinear ops and QDQ patterns that mean them.

A layer of taps is an exact int32 sum, an int32 bias, one float32 product with x_scale · w_scale / y_scale (evaluated in
that order in float32), rounded half to even, offset and clipped: what onnxruntime computes for QLinearConv,
QLinearMatMul and QGemm, and for DequantizeLinear → Conv or Gemm → QuantizeLinear, which it fuses into these.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adderhw.foreign.integers import InexactError, Scaled, Sums, linear_sums, window_sums
from adderhw.tensor import Tensor

FREE = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity")
UNSTATED = "is computed in floating point, whose order of operations ONNX leaves open"


class Step(NamedTuple):
    """One tensor that is computed: its name and what gives it, arrays by name → array."""

    output: str
    run: Callable


class View(NamedTuple):
    """A float tensor that stands for a quantised one: name, scale and zero point of that."""

    name: str
    grid: Scaled


class ExactNetwork(NamedTuple):
    """A network whose tensors are determined. inputs: of the shape that data sets are opened for."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    metadata: dict

    def run(self, arrays):
        """Every computed tensor, name → array with the batch first, for input arrays (N, …)."""
        tensors = dict(arrays)
        for step in self.steps:
            tensors[step.output] = step.run(tensors)
        return {step.output: tensors[step.output] for step in self.steps}


def exact_network(graph, threads):
    """The ExactNetwork of a ForeignGraph; raises InexactError, naming the first node that is not determined."""
    builder = _Builder(graph, threads)
    for node in graph.nodes:
        builder.add(node)
    return builder.network()


class _Builder:
    """Turns nodes into steps. views: floats that stand for quantised tensors. pending: sums that wait for a scale."""

    def __init__(self, graph, threads):
        self.graph, self.threads = graph, threads
        self.views, self.pending, self.steps = {}, {}, []
        self.known = set(graph.inputs)

    def network(self):
        missing = [name for name in self.graph.outputs if name not in self.known]
        if missing:
            raise InexactError(f"output {missing[0]!r} {UNSTATED}")
        inputs = tuple(
            Tensor(name, (None, *self.graph.shapes[name][1:]), self.graph.dtypes[name]) for name in self.graph.inputs
        )
        metadata = {entry.key: entry.value for entry in self.graph.proto.metadata_props}
        return ExactNetwork(self.graph.name, inputs, self.graph.outputs, tuple(self.steps), metadata)

    def add(self, node):
        kind = getattr(self, f"_{node.op.lower()}", None)
        if node.op in FREE:
            kind = self._moved
        if kind is None or node.domain not in ("", "com.microsoft"):
            self._refuse(node, UNSTATED)
        kind(node)

    def _refuse(self, node, why):
        raise InexactError(f"node {node.name!r} ({node.op}) {why}")

    def _step(self, output, run):
        self.steps.append(Step(output, run))
        self.known.add(output)

    def _constant(self, node, name):
        if name not in self.graph.constants:
            self._refuse(node, f"has {name!r} computed by the network, which is not determined here")
        return self.graph.constants[name]

    def _grid(self, node, scale, zero, dtype=None):
        return Scaled.of(
            self._constant(node, scale), self._constant(node, zero) if zero else None, dtype or np.uint8,
            lambda why: self._refuse(node, why),
        )  # fmt: skip

    def _zero_name(self, node, position):
        return node.inputs[position] if len(node.inputs) > position else ""

    # -- where floats become integers and back

    def _quantizelinear(self, node):
        source, grid = node.inputs[0], self._grid(node, node.inputs[1], self._zero_name(node, 2))
        grid.single(lambda why: self._refuse(node, why))
        if source in self.pending:
            sums, relu = self.pending[source]
            if relu and grid.zero_point != grid.low:
                self._refuse(node, "does not clip at 0 what a Relu before it does")
            self._step(node.outputs[0], sums.rescaled(grid))
        elif source in self.views and self.views[source].grid.same(grid):
            name = self.views[source].name
            self._step(node.outputs[0], lambda tensors: tensors[name])
        elif source in self.graph.inputs and self.graph.dtypes[source] == np.float32:
            self._step(node.outputs[0], lambda tensors: grid.quantised(tensors[source]))
        else:
            self._refuse(node, f"quantises {source!r}, which {UNSTATED}")

    def _dequantizelinear(self, node):
        source, output = node.inputs[0], node.outputs[0]
        array = self.graph.constants.get(source)
        grid = self._grid(node, node.inputs[1], self._zero_name(node, 2), self.graph.dtypes.get(source))
        self.views[output] = View(source, grid)
        if output in self.graph.outputs and array is None:
            grid.single(lambda why: self._refuse(node, why))
            self._step(output, lambda tensors: grid.real(tensors[source]))

    # -- layers of taps

    def _conv(self, node):
        x, w = (self._view(node, name) for name in node.inputs[:2])
        bias = self._bias(node, 2, x, w)
        self.pending[node.outputs[0]] = (self._window(node, x, w, bias), False)

    def _gemm(self, node):
        x, w = (self._view(node, name) for name in node.inputs[:2])
        bias = self._bias(node, 2, x, w)
        self.pending[node.outputs[0]] = (self._linear(node, x, w, bias), False)

    def _matmul(self, node):
        x, w = (self._view(node, name) for name in node.inputs[:2])
        self.pending[node.outputs[0]] = (self._linear(node, x, w, None), False)

    def _qlinearconv(self, node):
        x, w, y = self._operands(node)
        bias = self._constant(node, node.inputs[8]) if len(node.inputs) > 8 and node.inputs[8] else None
        self._step(node.outputs[0], self._window(node, x, w, bias).rescaled(y))

    def _qlinearmatmul(self, node):
        x, w, y = self._operands(node)
        self._step(node.outputs[0], self._linear(node, x, w, None).rescaled(y))

    def _qgemm(self, node):
        if len(node.inputs) < 9 or not node.inputs[7]:
            self._refuse(node, UNSTATED)
        x, w, y = self._operands(node, output=7)
        bias = self._constant(node, node.inputs[6]) if node.inputs[6] else None
        self._step(node.outputs[0], self._linear(node, x, w, bias).rescaled(y))

    def _operands(self, node, output=6):
        names = node.inputs
        x = View(names[0], self._grid(node, names[1], names[2]))
        w = View(names[3], self._grid(node, names[4], names[5], self._constant(node, names[3]).dtype))
        return x, w, self._grid(node, names[output], names[output + 1])

    def _window(self, node, x, w, bias):
        return window_sums(
            node, x.name, x.grid, self._constant(node, w.name), w.grid, bias, self.graph.shapes[x.name], self.threads,
            lambda why: self._refuse(node, why),
        )  # fmt: skip

    def _linear(self, node, x, w, bias):
        weight = self._constant(node, w.name)
        if any(node.attributes.get(key, 1.0) != 1.0 for key in ("alpha", "beta")) or node.attributes.get("transA", 0):
            self._refuse(node, "has alpha, beta or transA, whose product with the scales is not determined here")
        if not node.attributes.get("transB", 0):
            weight = weight.T
        return linear_sums(
            node, x.name, x.grid, weight, w.grid, bias, self.graph.shapes[x.name], self.threads,
            lambda why: self._refuse(node, why),
        )  # fmt: skip

    def _view(self, node, name):
        if name not in self.views:
            self._refuse(node, f"reads {name!r}, which is not quantised")
        return self.views[name]

    def _bias(self, node, position, x, w):
        """int32 (O,) of a bias whose scale is the product of both scales, as onnxruntime's quantiser writes it."""
        name = self._zero_name(node, position)
        if not name:
            return None
        if name not in self.views:
            self._refuse(node, f"has a bias {name!r} of floats, which is not determined")
        view = self.views[name]
        product = np.float32(x.grid.scale) * w.grid.scale
        if view.grid.zero_point != 0 or not np.allclose(view.grid.scale, product, rtol=1e-6, atol=0):
            self._refuse(node, f"has a bias {name!r} on another scale than its sums")
        return self._constant(node, view.name)

    # -- ops that keep the codes, or add exactly

    def _relu(self, node):
        source = node.inputs[0]
        if source not in self.pending:
            self._refuse(node, UNSTATED)
        self.pending[node.outputs[0]] = (self.pending[source][0], True)

    def _maxpool(self, node):
        plain = {"kernel_shape", "strides", "pads", "auto_pad", "ceil_mode", "dilations", "storage_order"}
        neutral = {"auto_pad": "NOTSET", "ceil_mode": 0, "dilations": (1, 1), "storage_order": 0}
        if len(node.outputs) != 1 or any(node.attributes.get(k, v) != v for k, v in neutral.items()):
            self._refuse(node, "has attributes that are not simulated here")
        if set(node.attributes) - plain or len(node.attributes["kernel_shape"]) != 2:
            self._refuse(node, "is no 2-D window")
        self._moving(node, lambda array: Sums.pooled(node, array))

    def _moved(self, node):
        shape = self.graph.shapes[node.outputs[0]][1:]
        self._moving(node, lambda array: array.reshape(len(array), *shape))

    def _moving(self, node, change):
        """The same codes elsewhere: of a quantised tensor, or of a float one that stands for it."""
        source, output = node.inputs[0], node.outputs[0]
        if source in self.views:
            view = self.views[source]
            inner, made = view.name, f"{output} (codes)"
            self._step(made, lambda tensors: change(tensors[inner]))
            self.views[output] = View(made, view.grid)
            self.graph.shapes[made] = self.graph.shapes[output]
        elif source in self.known and self.graph.dtypes.get(source, np.dtype(np.float32)).kind in "iu":
            self._step(output, lambda tensors: change(tensors[source]))
        else:
            self._refuse(node, UNSTATED)

    def _add(self, node):
        a, b = (self._view(node, name) for name in node.inputs)
        self.pending[node.outputs[0]] = (Sums.added(a, b, lambda why: self._refuse(node, why)), False)

    def _qlinearadd(self, node):
        names = node.inputs
        a = View(names[0], self._grid(node, names[1], names[2]))
        b = View(names[3], self._grid(node, names[4], names[5]))
        refuse = lambda why: self._refuse(node, why)  # noqa: E731
        self._step(node.outputs[0], Sums.added(a, b, refuse).rescaled(self._grid(node, names[6], names[7])))


def checked_tensors(network):
    """The computed tensors that the file itself names, which a second implementation can be asked for."""
    return [step.output for step in network.steps if not step.output.endswith(" (codes)")]
