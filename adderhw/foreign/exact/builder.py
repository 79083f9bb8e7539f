"""What is known of a network's tensors while its nodes are turned into steps, and what all handlers ask for."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adderhw.foreign.integers import CODE_TYPES, InexactError, Scaled, held
from adderhw.onnx_reader import ONNX_DOMAINS

UNSTATED = "is computed in floating point, whose order of operations ONNX leaves open"


class Step(NamedTuple):
    """One tensor that is computed: its name and what gives it, arrays by name → array."""

    output: str
    run: Callable


class View(NamedTuple):
    """A float tensor that stands for a quantised one: name, scale and zero point of that.

    fused: whether onnxruntime takes a layer that reads it for a quantised one.
    """

    name: str
    grid: Scaled
    fused: bool = False


class Builder:
    """Steps so far. views: floats that stand for quantised tensors. pending: sums that wait for a scale.

    constants: arrays by name, those of the graph and of codes that depend on these alone. shapes: with the batch axis.
    """

    def __init__(self, graph, threads):
        self.graph, self.threads = graph, threads
        self.views, self.pending, self.steps = {}, {}, []
        self.known = set(graph.inputs)
        self.constants, self.shapes = dict(graph.constants), dict(graph.shapes)
        self.opsets = {
            "" if entry.domain in ONNX_DOMAINS else entry.domain: entry.version for entry in graph.proto.opset_import
        }

    def opset(self, domain):
        """The version of a domain that the model states; 1 for one that it does not."""
        return self.opsets.get(domain, 1)

    def refuse(self, node, why):
        """Raises InexactError for a node that is not determined."""
        raise InexactError(f"node {node.name!r} ({node.op}) {why}")

    def refusal(self, node):
        """`refuse` for this node, as a function of the reason."""
        return lambda why: self.refuse(node, why)

    def step(self, output, run):
        """Adds a tensor that is computed."""
        self.steps.append(Step(output, run))
        self.known.add(output)

    def constant(self, node, name):
        """The array of a constant."""
        if name not in self.constants:
            self.refuse(node, f"has {name!r} computed by the network, which is not determined here")
        return self.constants[name]

    def optional(self, node, position):
        """The array of a constant input, None where it is left out."""
        name = node.inputs[position] if len(node.inputs) > position else ""
        return self.constant(node, name) if name else None

    def grid(self, node, position, dtype=None, axis=0):
        """The grid of a scale at the input `position` and the zero point behind it; dtype: of codes without one."""
        scale = self.constant(node, node.inputs[position])
        return Scaled.of(scale, self.optional(node, position + 1), dtype or np.uint8, self.refusal(node), axis)

    def view(self, node, name):
        """The View that a float tensor is."""
        if name not in self.views:
            self.refuse(node, f"reads {name!r}, which is not quantised")
        return self.views[name]

    def moving_view(self, node, name):
        """As `view`, of a tensor that depends on the network's input."""
        view = self.view(node, name)
        if view.name in self.constants:
            self.refuse(node, f"reads {name!r}, a constant, where an activation is expected")
        return view

    def codes_of(self, name):
        """tensors → the codes of a tensor, a constant too (without a batch axis then)."""
        if name in self.constants:
            codes = held(self.constants[name])
            return lambda tensors: codes
        return lambda tensors: tensors[name]

    def check_pads(self, node):
        """Refuses dilated windows whose pads are left to auto_pad: ONNX's reference and onnxruntime differ there."""
        dilated = any(size > 1 for size in node.attributes.get("dilations", ()))
        if dilated and node.attributes.get("auto_pad", "NOTSET").startswith("SAME"):
            self.refuse(node, "leaves the pads of dilated windows to auto_pad, which implementations read differently")

    def is_pair(self, name):
        """Whether codes lie between a QuantizeLinear and a DequantizeLinear alone.

        Only such signed codes does onnxruntime turn into unsigned ones, for which it has fused kernels on x86.
        """
        made = any(node.op == "QuantizeLinear" and name in node.outputs for node in self.graph.nodes)
        return made and self.only_reader(name) and self.graph.consumers(name)[0].op == "DequantizeLinear"

    def are_codes(self, name):
        """Whether a tensor of the network is computed and holds integer codes."""
        return name in self.known and str(self.graph.dtypes.get(name)) in CODE_TYPES

    def only_reader(self, name):
        """Whether one node reads the tensor, and it does not leave the network."""
        return name not in self.graph.outputs and len(self.graph.consumers(name)) == 1
