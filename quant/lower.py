"""Lowers a float graph to an integer graph: each float tensor becomes integers on a grid, or a pending sum."""

import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from onnx import helper

from adderhw.fixed import Format, Rounding
from adderhw.ops.realisation import signed_digits
from quant import counterparts
from quant.builder import Builder
from quant.choices import Choices
from quant.float_graph import FloatNode
from quant.fold import Pending, Quantised, batch_norm, clipped, corrected, pending, scaled, taken
from quant.grids import (
    activation_grid,
    adder_weight,
    grid_range,
    guard_grid,
    logits_grid,
    symmetric_weight,
)
from quant.multipliers import live_sums, multipliers
from quant.signed_digits import signed_digit_weight

# The logits' 16-bit grid reaches this many times as far as the calibration images' logits do.
LOGITS_MARGIN = 2.0
# settings.max_error counts the logits' steps as those of edge_bits, but of no fewer bits than these.
LEAST_LOGITS_BITS = 8
MULTIPLYING = ("Conv", "Gemm", "MatMul")
ADDING = ("AdderConv", "AdderGemm")
LAYERS = (*MULTIPLYING, *ADDING)
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean")
# Ops that only carry a tensor's grid on to the next layer.
CARRIERS = ("MaxPool", "Flatten", "Reshape")
GEOMETRY = ("strides", "pads", "dilations", "group")


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
        widths = dict(self.choices.widths)
        return {**asdict(self.settings), **({"widths": widths} if widths else {})}

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


def edge_layers(nodes):
    """Names of the first and the last layer, where they multiply."""
    layers = [node for node in nodes if node.op in LAYERS]
    ends = (layers[0], layers[-1]) if layers else ()
    return {node.name for node in ends if node.op in MULTIPLYING}


def whole(grid):
    """The bare integer format of a zero point."""
    return Format(grid.bits, grid.signed)


def per_channel(values, rank):
    """int64 of shape () where all channels agree, else (C, 1, 1) for rank 4 and (C,) for rank 2."""
    if (values == values[0]).all():
        return np.array(values[0], np.int64)
    return values.reshape(-1, *[1] * (rank - 2))


def clip_bound(real, grid):
    """The integer at which a ReLU or Clip at `real` cuts: the grid's end where it lies beyond."""
    if np.isinf(real):
        return grid.min if real < 0 else grid.max
    return min(max(round(real / grid.scale) + grid.zero_point, grid.min), grid.max)


def realisation_of(m, settings):
    """'shift' where every multiplier is 0 or a signed power of two, else what the settings say."""
    return "shift" if max(map(signed_digits, m)) <= 1 else settings.realisation


def convolution_attributes(node, weight):
    """The attributes of the integer convolution."""
    if weight.ndim != 4:
        node.fail(f"weight of shape {list(weight.shape)}", "rank 4 (O, C/group, kh, kw)")
    kernel = node.attributes["kernel_shape"] or weight.shape[2:]
    return {"kernel_shape": tuple(kernel), **{key: node.attributes[key] for key in GEOMETRY}}


def lower_conv(state, node):
    """Σ w·x: ConvInteger with symmetric weights per output channel; bias into b."""
    weight, bias = state.weight(node), state.constant(node, 2, "bias")
    attributes = convolution_attributes(node, weight)
    lower_products(state, node, "ConvInteger", weight, 0.0 if bias is None else bias, attributes)


def lower_gemm(state, node):
    """α·x·Wᵀ + β·bias: MatMulInteger."""
    weight, bias = state.weight(node), state.constant(node, 2, "bias")
    check_rank(node, weight, 2)
    weight = weight if node.attributes["transB"] else weight.T
    bias = 0.0 if bias is None else node.attributes["beta"] * channel_values(node, bias, len(weight), 2)
    lower_products(state, node, "MatMulInteger", node.attributes["alpha"] * weight, bias, {})


def lower_matmul(state, node):
    """x·W: MatMulInteger."""
    weight = state.weight(node)
    check_rank(node, weight, 2)
    lower_products(state, node, "MatMulInteger", weight.T, 0.0, {})


def check_rank(node, weight, rank):
    """Raises ModelError for a weight of another rank."""
    if weight.ndim != rank:
        node.fail(f"weight of shape {list(weight.shape)}", f"rank {rank}")


def lower_products(state, node, op, weight, bias, attributes):
    """A multiplying layer with weight float64 (O, …): real = s_x·s_w[o]·S + bias[o]."""
    x = state.quantised(node.inputs[0])
    bits = state.settings.edge_bits if node.name in state.edges else state.settings.bits
    w, scale = state.product_weight(node, weight, bits)
    stored = w if op == "ConvInteger" else np.ascontiguousarray(w.T)
    inputs = (
        x.name,
        state.builder.parameter(f"{node.name}_weight_q", stored, Format(bits, True)),
        zero_point(state, node, "x", x.format),
        zero_point(state, node, "w", Format(bits, True)),
    )
    attributes = {**attributes, "realisation": state.settings.weight_realisation}
    total = state.sum(op, node, inputs, attributes)
    state.set_pending(node, total, x.format.scale * scale, bias)
    state.note(node, x, total, Format(bits, True))


def zero_point(state, node, operand, grid):
    """The name of the scalar zero point of an operand, in its storage type."""
    value = np.array(grid.zero_point, grid.dtype)
    return state.builder.parameter(f"{node.name}_{operand}_zero_point", value, whole(grid))


def lower_adder_conv(state, node):
    """−Σ |x − w|: AdderConvInteger on x's grid, real = −(s·S + K)."""
    weight = state.weight(node)
    lower_differences(state, node, "AdderConvInteger", weight, convolution_attributes(node, weight))


def lower_adder_gemm(state, node):
    """−Σ |x − w| of a fully connected layer: AdderGemmInteger on x's grid."""
    weight = state.weight(node)
    check_rank(node, weight, 2)
    weight = weight if node.attributes["transB"] else weight.T
    lower_differences(state, node, "AdderGemmInteger", weight, {})


def lower_differences(state, node, op, weight, attributes):
    """An adder layer with weight float64 (O, …): one node, or one for each group of filters."""
    if node.output in state.choices.groups:
        lower_groups(state, node, op, weight, attributes)
        return
    x = state.quantised(node.inputs[0])
    inputs, constant = adder_operands(state, node, op, weight, x)
    total = state.sum(op, node, inputs, attributes)
    state.set_pending(node, total, -x.format.scale, -constant)
    state.note(node, x, total, x.format, share_clipped(weight, x.format))


def adder_operands(state, node, op, weight, x):
    """(names of the operands, K) of an adder layer on the Quantised x, with its weight on the same grid."""
    w, constant = adder_weight(weight, x.format)
    inputs = [x.name, state.builder.parameter(f"{node.name}_weight_q", w, x.format)]
    if op == "AdderConvInteger":
        inputs.append(zero_point(state, node, "x", x.format))
    return inputs, constant


def share_clipped(weight, grid):
    """The share of an adder layer's weights outside the grid."""
    low, high = grid_range(grid)
    return float(((weight < low) | (weight > high)).mean())


class GroupLayer(NamedTuple):
    """A group's own adder layer: the FloatNode with its name and output, its operands, weight, K and attributes."""

    node: FloatNode
    x: Quantised
    inputs: list[str]
    weight: np.ndarray
    constant: np.ndarray
    attributes: Mapping


def lower_groups(state, node, op, weight, attributes):
    """An adder layer, a node for each group of filters on a grid of its own; the sums come back in their order."""
    groups, builder = state.choices.groups[node.output], state.builder
    layers = [group_layer(state, node, op, weight, attributes, *each) for each in enumerate(groups, 1)]
    # Concat takes one dtype, so all sums are int64 where one of them needs that.
    code = max(builder.sum_code(op, layer.node.name, layer.inputs, layer.attributes) for layer in layers)
    sums = []
    for layer in layers:
        output, kinds = builder.unique(f"{layer.node.output}_sum"), {**layer.attributes, "output_dtype": code}
        sums.append(builder.emit(op, layer.node.name, layer.inputs, output, kinds))
        state.note(layer.node, layer.x, output, layer.x.format, share_clipped(layer.weight, layer.x.format))
    order = np.argsort(np.concatenate([group.filters for group in groups]))
    a = np.concatenate([np.full(len(layer.weight), -layer.x.format.scale) for layer in layers])[order]
    b = np.concatenate([-layer.constant for layer in layers])[order]
    state.set_pending(node, in_order(state, node, sums, order), a, b)


def group_layer(state, node, op, weight, attributes, number, group):
    """The GroupLayer of a FilterGroup."""
    channels, geometry = group_geometry(weight, attributes, group.filters)
    grid = activation_grid(*group.range, state.grid_bits(node.inputs[0]))
    x, weight = state.on_grid(node.inputs[0], grid, channels), weight[group.filters]
    node = node._replace(name=f"{node.name}_group{number}", output=f"{node.output}_group{number}")
    inputs, constant = adder_operands(state, node, op, weight, x)
    return GroupLayer(node, x, inputs, weight, constant, geometry)


def group_geometry(weight, attributes, filters):
    """(channels, attributes) of some of a layer's filters: what of the input they read, None for all, and how.

    Filters of a grouped convolution read the channels of their own convolution groups, which filter_groups keeps whole.
    """
    conv_groups = attributes.get("group", 1)
    if conv_groups == 1:
        return None, attributes
    kept = np.unique(filters // (len(weight) // conv_groups))
    channels = (kept[:, None] * weight.shape[1] + np.arange(weight.shape[1])).reshape(-1)
    return tuple(channels.tolist()), {**attributes, "group": len(kept)}


def in_order(state, node, sums, order):
    """The name of the sums side by side, then in the layer's own order; order: int64 (O,), where each one stands."""
    output = state.builder.unique(f"{node.output}_groups_sum")
    joined = state.builder.emit("Concat", f"{node.name}_concat", sums, output, {"axis": 1})
    if (order == np.arange(len(order))).all():
        return joined
    indices = state.builder.parameter(f"{node.name}_order", order)
    output = state.builder.unique(f"{node.output}_sum")
    return state.builder.emit("Gather", f"{node.name}_gather", (joined, indices), output, {"axis": 1})


def lower_batch_norm(state, node):
    """Folds into a, b exactly."""
    names = ("scale", "B", "mean", "var")
    gamma, beta, mean, variance = (state.constant(node, at + 1, name) for at, name in enumerate(names))
    value = state.affine(node.inputs[0])
    state.values[node.output] = batch_norm(value, gamma, beta, mean, variance, node.attributes["epsilon"])


def lower_relu(state, node):
    """A clip at 0."""
    state.values[node.output] = clipped(state.affine_or_pending(node.inputs[0]), 0.0, np.inf)


def lower_clip(state, node):
    """A clip at constant bounds."""
    low, high = (state.constant(node, at, what) for at, what in ((1, "min"), (2, "max")))
    low, high = -np.inf if low is None else float(low), np.inf if high is None else float(high)
    state.values[node.output] = clipped(state.affine_or_pending(node.inputs[0]), low, high)


def lower_add(state, node):
    """A bias into b, or the sum of two branches on one grid with guard bits."""
    constants = [name in state.graph.constants for name in node.inputs]
    if any(constants):
        add_constant(state, node, constants.index(True))
    else:
        add_branches(state, node)


def add_constant(state, node, at):
    """Adds the constant input `at` to every channel of the other one."""
    name = node.inputs[1 - at]
    if node.inputs[1 - at] in state.graph.constants:
        node.fail("two constants", "at least one activation")
    value = state.affine(name)
    rank = len(state.shape(name)) + 1
    offset = channel_values(node, state.constant(node, at, "operand"), len(value.a), rank)
    state.values[node.output] = scaled(value, 1.0, offset)


def channel_values(node, constant, channels, rank):
    """A constant that broadcasts along the channels (axis 1 of `rank`) as float64 (C,); raises ModelError otherwise."""
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if (
        len(shape) != rank
        or any(size != 1 for at, size in enumerate(shape) if at != 1)
        or shape[1] not in (1, channels)
    ):
        node.fail(f"a constant of shape {list(constant.shape)}", f"one value, or one for each of {channels} channels")
    return np.broadcast_to(constant.reshape(-1), (channels,))


def add_branches(state, node):
    """Both branches on a grid of 2^guard_bits steps per step of the output's grid, then one integer Add."""
    left, right = node.inputs
    if state.shape(left) != state.shape(right):
        node.fail(f"shapes {list(state.shape(left))} and {list(state.shape(right))}", "one shape")
    scale = state.grid(settled(state, node.output)).scale / (1 << state.settings.guard_bits)
    operands = [guarded(state, name, scale) for name in (left, right)]
    output = state.builder.unique(f"{node.output}_sum")
    state.builder.emit("Add", node.name, operands, output)
    state.set_pending(node, output, scale, 0.0)


def settled(state, name):
    """The tensor that `name` is once the ReLUs that alone read it are done: the one that its sum is requantised to."""
    readers = state.consumers.get(name, ())
    if len(readers) == 1 and readers[0].op in ("Relu", "Clip") and name not in state.graph.outputs:
        return settled(state, readers[0].output)
    return name


def guarded(state, name, scale):
    """The branch `name` of a residual sum on the step `scale`, in the narrowest width that holds all it took."""
    if (name, scale) not in state.guards:
        if state.is_quantised(name):
            state.quantised(name)
        seen = state.observed[name]
        grid = guard_grid(seen.low, seen.high, scale)
        value = state.affine_or_pending(name)
        node = f"{state.producers.get(name, name)}_guard"
        steps = 1 << state.settings.guard_bits
        state.guards[name, scale] = state.requantise(name, value, grid, node, f"{name}_guard", np.int32, steps)
    return state.guards[name, scale]


def lower_max_pool(state, node):
    """MaxPoolInteger on the input's own grid."""
    x = state.quantised(node.inputs[0])
    attributes = {key: node.attributes[key] for key in ("kernel_shape", "strides", "pads")}
    output = state.builder.unique(f"{node.output}_q")
    state.builder.emit("MaxPoolInteger", node.name, (x.name,), output, attributes, x.format)
    state.counterparts[output] = counterparts.stated(node.output)
    state.values[node.output] = Quantised(output, x.format)


def lower_average_pool(state, node):
    """SumPool; the division by the window's area folds into a."""
    sum_pool(state, node, node.attributes["kernel_shape"], node.attributes["strides"])


def lower_global_average_pool(state, node):
    """SumPool over the whole image."""
    sum_pool(state, node, image_size(state, node), (1, 1))


def lower_reduce_mean(state, node):
    """The mean over height and width, as exporters write a global average pool."""
    axes = node.attributes["axes"]
    axes = state.constant(node, 1, "axes") if axes is None else axes
    size = image_size(state, node)
    if axes is None or sorted(int(axis) % 4 for axis in np.reshape(axes, -1)) != [2, 3]:
        node.fail(f"axes {axes}", "height and width, [2, 3]")
    sum_pool(state, node, size, (1, 1))
    if not node.attributes["keepdims"]:
        flatten(state, node, state.values[node.output], "Flatten")


def image_size(state, node):
    """(H, W) of the node's input; raises ModelError for another rank."""
    shape = state.shape(node.inputs[0])
    if len(shape) != 3:
        node.fail(f"an input of rank {len(shape) + 1}", "rank 4 (N, C, H, W)")
    return shape[1:]


def sum_pool(state, node, kernel, strides):
    """SumPool of the quantised input: mean = s·(S/area − z)."""
    x = state.quantised(node.inputs[0])
    total = state.sum("SumPool", node, (x.name,), {"kernel_shape": tuple(kernel), "strides": tuple(strides)})
    state.set_pending(node, total, x.format.scale / np.prod(kernel), -x.format.scale * x.format.zero_point)


def lower_reshape(state, node):
    """Flatten and Reshape: a Pending stays one where its channels survive, else it goes on its grid first."""
    name = node.inputs[0]
    extra = ()
    if node.op == "Reshape":
        extra = (state.builder.parameter(f"{node.name}_shape", reshape_sizes(state, node)),)
    keeps_channels = state.shape(name)[1:] == (1, 1) and len(state.shape(node.output)) == 1
    value = state.values[name] if keeps_channels else state.quantised(name)
    flatten(state, node, value, node.op, extra)


def reshape_sizes(state, node):
    """The int64 shape of a Reshape, its batch written as 0: the input's own; raises ModelError where it is no batch."""
    sizes = state.weight(node, "shape").astype(np.int64)
    if sizes.ndim != 1 or not len(sizes) or sizes[0] not in (-1, 0, 1) or (node.attributes["allowzero"] and 0 in sizes):
        node.fail(f"shape {sizes.tolist()}, allowzero {node.attributes['allowzero']}", "one that keeps the batch axis")
    return np.array([0, *sizes[1:]], np.int64)


def flatten(state, node, value, op, extra=()):
    """Emits the Flatten or Reshape of a value; channels and grid stay as they are."""
    suffix, grid = ("q", value.format) if isinstance(value, Quantised) else ("flat", None)
    output = state.builder.unique(f"{node.output}_{suffix}")
    name = node.name if op == node.op else f"{node.name}_flatten"
    state.builder.emit(op, name, (value.name, *extra), output, format=grid)
    state.values[node.output] = type(value)(**{**vars(value), "name": output})


LOWER: Mapping[str, Callable[[Lowering, FloatNode], None]] = {
    "Conv": lower_conv,
    "AdderConv": lower_adder_conv,
    "AdderGemm": lower_adder_gemm,
    "Gemm": lower_gemm,
    "MatMul": lower_matmul,
    "BatchNormalization": lower_batch_norm,
    "Relu": lower_relu,
    "Clip": lower_clip,
    "MaxPool": lower_max_pool,
    "AveragePool": lower_average_pool,
    "GlobalAveragePool": lower_global_average_pool,
    "ReduceMean": lower_reduce_mean,
    "Add": lower_add,
    "Flatten": lower_reshape,
    "Reshape": lower_reshape,
}
