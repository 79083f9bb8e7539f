"""The state of lowering a float graph to an integer graph: each tensor is integers on a grid, or a pending sum."""

import json
from copy import copy
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from onnx import helper

from adderhw.fixed import Rounding
from adderhw.ops.realisation import signed_digits
from quant import counterparts
from quant.builder import Builder
from quant.choices import Choices
from quant.fold import Pending, Quantised, corrected, pending, taken
from quant.grids import activation_grid, clip_bound, grid_range, logits_grid, symmetric_weight, whole
from quant.lower import LOWER
from quant.multipliers import live_sums, multipliers
from quant.op_kinds import CARRIERS, LAYERS, POOLS, edge_layers
from quant.signed_digits import signed_digit_weight

# The logits' 16-bit grid reaches this many times as far as the calibration images' logits do.
LOGITS_MARGIN = 2.0
# settings.max_error counts the logits' steps as those of edge_bits, but of no fewer bits than these.
LEAST_LOGITS_BITS = 8


class Layer(NamedTuple):
    """A line of the summary: a layer with the width and step of its input, its sum's width and what was clipped.

    clipped: the share of the input's values on the calibration images outside the grid. weight_clipped: the share
    of an adder layer's weights outside it, which the lossless clip moves into the constant.
    """

    name: str
    op: str
    bits: int
    weight_bits: int
    scale: float
    sum_bits: int
    clipped: float
    weight_clipped: float


class Lowering:
    """The state of one lowering: what each float tensor has become so far.

    observed: from calibrate. source: Format of the input, from source_grid. choices: Choices. totals: layer output
    name → what the layer's sum says before its correction.
    """

    def __init__(self, graph, observed, source, settings, choices=Choices()):  # noqa: B008 - frozen
        self.graph, self.observed, self.settings, self.choices = graph, observed, settings, choices
        self.totals: dict[str, Pending] = {}
        self.consumers = graph.consumers
        self.producers = {node.output: node.name for node in graph.nodes}
        reserved = {*graph.constants, *observed, *graph.outputs, graph.inputs[0].name}
        self.builder = Builder(graph.name, graph.inputs, reserved)
        self.values: dict[str, Quantised | Pending] = {}
        self.sums: dict[str, Pending] = {}
        self.held: dict[tuple, Quantised] = {}
        self.layers: list[Layer] = []
        self.edges = edge_layers(graph.nodes)
        self.guards: dict[tuple[str, float], str] = {}
        self.counterparts: dict[str, dict] = {}
        self._quantise_input(source)

    def _quantise_input(self, grid):
        """QuantizeLinear from the float input to its grid."""
        name = self.graph.inputs[0].name
        scale = self.builder.parameter(f"{name}_scale", np.array(grid.scale, np.float32))
        zero = self.builder.parameter(f"{name}_zero_point", np.array(grid.zero_point, grid.dtype), whole(grid))
        output = self.builder.unique(f"{name}_q")
        self.builder.emit("QuantizeLinear", f"{name}_quantize", (name, scale, zero), output, format=grid)
        self.values[name] = Quantised(output, grid)
        self.counterparts[output] = counterparts.stated(name)

    def run(self):
        """Lowers every node and output; returns the Graph and the summary's layers."""
        for node in self.graph.nodes:
            self.lower(node)
        return self.finish()

    def lower(self, node):
        """Lowers one node, the next in topological order."""
        self.check_inputs(node)
        LOWER[node.op](self, node)

    def branch(self, choices):
        """A copy as far as this one has come, which goes on with other choices."""
        other = copied(self)
        other.choices, other.builder = choices, copied(self.builder)
        return other

    def finish(self):
        """Lowers the outputs once all nodes are; returns the Graph and the summary's layers."""
        for name in self.graph.outputs:
            self._dequantise_output(name)
        metadata = {
            **self.graph.metadata,
            "adderhw.quantisation": json.dumps(self.described()),
            counterparts.KEY: json.dumps(self.counterparts),
        }
        return self.builder.graph(self.graph.outputs, metadata), tuple(self.layers)

    def described(self):
        """The settings, and the widths that differ from them, as they travel in the model's metadata."""
        settings, widths = asdict(self.settings), dict(self.choices.widths)
        if not self.settings.wide_residuals:
            del settings["wide_residuals"]
        return {**settings, **({"widths": widths} if widths else {})}

    def check_inputs(self, node):
        """Raises ModelError for an input that is neither computed before nor a constant."""
        for name in node.inputs:
            if name and name not in self.values and name not in self.graph.constants:
                node.fail(f"input {name!r} that nothing before it computes", "nodes in topological order")
        if not node.inputs or (node.inputs[0] in self.graph.constants and node.op != "Add"):
            node.fail("a constant first input", "an activation")

    def _dequantise_output(self, name):
        """Requantize to signed 16-bit logits, then DequantizeLinear to float32 under the float model's name."""
        seen = self.observed[name]
        grid = logits_grid(seen.low, seen.high, LOGITS_MARGIN)
        steps = 1 << (grid.bits - max(self.settings.edge_bits, LEAST_LOGITS_BITS))
        value, node = self.affine_or_pending(name), f"{self.producers[name]}_logits"
        logits = self.requantise(name, value, grid, node, f"{name}_q", steps=steps)
        scale = self.builder.parameter(f"{name}_scale", np.array(grid.scale, np.float32))
        zero = self.builder.parameter(f"{name}_zero_point", np.array(0, grid.dtype), whole(grid))
        self.builder.emit("DequantizeLinear", f"{name}_dequantize", (logits, scale, zero), name)

    def constant(self, node, at, what):
        """The constant at input `at` of `node`, None where it is left out; raises ModelError for a computed one."""
        if at >= len(node.inputs) or not node.inputs[at]:
            return None
        value = self.graph.constants.get(node.inputs[at])
        if value is None:
            node.fail(f"{what} {node.inputs[at]!r} computed by the graph", "a constant (initializer)")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            node.fail(f"{what} with NaN or infinity", "finite numbers")
        return value

    def weight(self, node, what="weight"):
        """The float64 weight of a layer; raises ModelError where there is none."""
        value = self.constant(node, 1, what)
        if value is None:
            node.fail(f"no {what}", f"a constant {what}")
        return value

    def shape(self, name):
        """The shape of a float tensor per image."""
        return self.observed[name].shape

    def grid(self, name):
        """The grid that the calibration gives the float tensor `name`."""
        low, high = self.choices.ranges.get(name) or self.observed[name].range(self.settings_of(name))
        return activation_grid(low, high, self.grid_bits(name))

    def settings_of(self, name):
        """The settings of a tensor's range: those of its own width where that was chosen."""
        bits = self.choices.widths.get(name)
        return self.settings if bits is None else self.settings.at_width(bits)

    def grid_bits(self, name):
        """The width chosen; else edge_bits where only first or last multiplying layers read the tensor, else bits."""
        if name in self.choices.widths:
            return self.choices.widths[name]
        readers = self.readers(name)
        return self.settings.edge_bits if readers and readers <= self.edges else self.settings.bits

    def readers(self, name):
        """Names of the nodes that read the tensor, looking through those that only carry its grid on."""
        found = set()
        for node in self.consumers.get(name, ()):
            found |= self.readers(node.output) if node.op in CARRIERS else {node.name}
        return found

    def is_quantised(self, name):
        """Whether the tensor is held on a grid anyway, because a layer or a pool reads it."""
        return any(node.op in (*LAYERS, *POOLS) for node in self.consumers.get(name, ()))

    def quantised(self, name):
        """The float tensor as a Quantised; a Pending one is requantised to its calibrated grid."""
        value = self.values[name]
        if isinstance(value, Pending):
            self.sums[name] = value
            value = self.values[name] = self.on_grid(name, self.grid(name))
        return value

    def on_grid(self, name, grid, channels=None):
        """The float tensor, or a tuple of its channels, as a Quantised on any grid, from its sum where it had one."""
        key = name, grid, channels
        if key not in self.held:
            value, producer = self.sums.get(name) or self.affine_or_pending(name), self.producers.get(name, name)
            if channels is not None:
                value = taken(value, self._gathered(producer, value.name, channels), list(channels))
            of = name if channels is None else None
            output = self.requantise(of, value, grid, f"{producer}_requantize", f"{name}_q")
            self.held[key] = Quantised(output, grid)
        return self.held[key]

    def _gathered(self, producer, name, channels):
        """The name of an integer tensor's chosen channels."""
        indices = self.builder.parameter(f"{name}_channels", np.array(channels, np.int64))
        output = self.builder.unique(f"{name}_gathered")
        return self.builder.emit("Gather", f"{producer}_gather", (name, indices), output, {"axis": 1})

    def affine_or_pending(self, name):
        """The float tensor as a Pending, clipped or not."""
        value = self.values[name]
        if isinstance(value, Pending):
            return value
        grid = value.format
        return pending(value.name, grid.scale, -grid.scale * grid.zero_point, self.observed[name].mean)

    def affine(self, name):
        """The float tensor as a Pending with nothing clipped yet, so that more can be folded into it."""
        value = self.affine_or_pending(name)
        if not value.is_affine:
            self.quantised(name)
            value = self.affine_or_pending(name)
        return value

    def requantise(self, tensor_name, value, grid, name, output, dtype=None, steps=1):
        """Emits the Requantize of the float tensor's Pending to `grid`; returns the integer tensor's name.

        tensor_name: None where the Pending stands for some of a float tensor's channels only.
        steps: how many steps of the grid settings.max_error counts as one, where the grid is finer for other reasons.
        """
        tensor = self.builder.tensors[value.name]
        clip = clip_bound(value.low, grid), clip_bound(value.high, grid)
        constants = self.multipliers_of(value, tensor, grid, clip, steps)
        output = self.builder.unique(output)
        if tensor_name is not None:
            self.counterparts[output] = counterparts.stated(tensor_name)
        rank = len(tensor.shape)
        inputs = [self.builder.parameter(f"{output}_{k}", per_channel(v, rank)) for k, v in constants._asdict().items()]
        attributes = {
            "rounding": int(Rounding.parse(self.settings.rounding)),
            "qmin": clip[0],
            "qmax": clip[1],
            "output_dtype": helper.np_dtype_to_tensor_dtype(np.dtype(dtype or grid.dtype)),
            "realisation": realisation_of(constants.m, self.settings),
        }
        return self.builder.emit("Requantize", name, (value.name, *inputs), output, attributes, grid)

    def multipliers_of(self, value, tensor, grid, clip, steps):
        """The Multipliers that take a Pending of the integer `tensor` to `grid`."""
        low, high = (np.broadcast_to(end, value.a.shape) for end in (tensor.low, tensor.high))
        ratio, offset = value.a / grid.scale, value.b / grid.scale + grid.zero_point
        live = live_sums(ratio, offset, (low, high), clip)
        tolerance = None if self.settings.max_error is None else self.settings.max_error * steps
        largest = np.maximum(np.abs(low), np.abs(high))
        return multipliers(ratio, offset, value.centre, largest, self.settings, live, tolerance)

    def product_weight(self, node, weight, bits):
        """(w_q, s) of a multiplying layer's float64 weight (O, …): integers of `bits`, and float64 (O,) their steps."""
        digits = self.settings.weight_digits
        return symmetric_weight(weight, bits) if digits is None else signed_digit_weight(weight, bits, digits)

    def sum(self, op, node, inputs, attributes):
        """Emits a summing integer node; returns its output's name."""
        return self.builder.emit_sum(op, node.name, inputs, self.builder.unique(f"{node.output}_sum"), attributes)

    def set_pending(self, node, name, a, b):
        """The float output of `node` is a·S + b of the integer tensor `name`."""
        self.totals[node.output] = pending(name, a, b, self.observed[node.output].mean)
        self.correct(node.output, self.choices.corrections.get(node.output, 0.0))

    def correct(self, output, correction):
        """The layer's float `output` is what its sum says plus `correction`, float64 (C,) or 0."""
        total = self.totals[output]
        value = self.values[output] = corrected(total, correction)
        self.counterparts[total.name] = counterparts.stated(output, value.a, value.b)

    def note(self, node, x, total, weight_format, weight_clipped=0.0):
        """Adds the layer to the summary."""
        self.layers.append(
            Layer(
                node.name,
                node.op,
                x.format.bits,
                weight_format.bits,
                x.format.scale,
                self.builder.tensors[total].format.bits,
                self.observed[node.inputs[0]].share_outside(*grid_range(x.format)),
                weight_clipped,
            )
        )


def copied(state):
    """A copy of an object whose containers are copies too, their contents the same."""
    other = copy(state)
    for name, value in vars(state).items():
        if isinstance(value, (dict, list, set)):
            setattr(other, name, value.copy())
    return other


def per_channel(values, rank):
    """int64 of shape () where all channels agree, else (C, 1, 1) for rank 4 and (C,) for rank 2."""
    if (values == values[0]).all():
        return np.array(values[0], np.int64)
    return values.reshape(-1, *[1] * (rank - 2))


def realisation_of(m, settings):
    """'shift' where every multiplier is 0 or a signed power of two, else what the settings say."""
    return "shift" if max(map(signed_digits, m)) <= 1 else settings.realisation
