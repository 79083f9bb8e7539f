"""The fake-quantised network: parameters and steps that learn, and the integer network that they are at any moment."""

from dataclasses import replace

import numpy as np
import torch

from adderhw.errors import AdderHwError, ModelError
from quant.builder import unused
from quant.choices import Choices, source_grid
from quant.correction import corrected
from quant.grids import symmetric_weight
from quant.lowering import Lowering
from quant.op_kinds import LAYERS
from quant.qat_lower import LearntLowering, TorchLowering
from quant.qat_start import Seen, Start, step_of, weight_step_of
from quant.ranges import calibrate
from quant.search import least_error_ranges
from quant.settings import BY_LAYERS

SHARES = np.geomspace(1 / 8, 1, 25)  # of the largest weight, as quant.search.CANDIDATES of the extremes


class FakeQuantised:
    """A FloatGraph as the integer network that its parameters and steps make.

    statistics: constant name → float64 (C,), the means and variances of batch norms, which follow the batches (track).
    parameters: name → float32 leaf tensor that learns: weights, biases, γ and β, by the names of the graph's constants,
    and the logarithms of steps, scalars by the names of step_of and (O,) by those of weight_step_of.
    """

    def __init__(self, graph, start):
        import training.adder_op  # noqa: F401 - registers the adder operators

        if len(graph.outputs) != 1:
            raise ModelError(f"model: found {len(graph.outputs)} outputs, expected 1 to train by")
        graph = with_own_constants(graph)
        self.graph, self.start = graph, start
        self.parameters = {
            name: torch.from_numpy(graph.constants[name].astype(np.float32)) for name in learning_constants(graph)
        }
        for name in start.learning:
            self.parameters[step_of(name)] = torch.tensor(start.grids[name].scale).log().float()
        for name, steps in start.weight_steps.items():
            self.parameters[weight_step_of(name)] = torch.from_numpy(np.log(steps)).float()
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        names = [name for node in graph.nodes if node.op == "BatchNormalization" for name in node.inputs[3:5]]
        self.statistics = {name: torch.tensor(graph.constants[name]) for name in names}

    def forward(self, images, watched=(), normalises=False):
        """float32 images (N, …) → (scores float32 (N, classes), the TorchLowering that computed them).

        watched: names of nodes whose responses are wanted; normalises: see TorchLowering.
        """
        steps = self.steps()
        graph, start = self.now(steps)
        lowering = TorchLowering(graph, start, self.parameters, steps, images, watched, normalises)
        return lowering.scores(), lowering

    def track(self, lowering, momentum):
        """Moves the statistics of batch norms towards those of the batch that `lowering` computed, by `momentum`."""
        for node in self.graph.nodes:
            if node.name in lowering.batch_norms:
                batch = lowering.batch_norms[node.name]
                for name, value in zip(node.inputs[3:5], (batch.mean, batch.variance), strict=True):
                    self.statistics[name].lerp_(torch.from_numpy(value), momentum)

    def integer_graph(self, recipe=None):
        """The checked integer Graph of the parameters as they are; recipe: JSON-able, for its metadata."""
        return LearntLowering(*self.now(self.steps()), recipe).run()[0]

    def steps(self):
        """Name of a parameter that is the logarithm of steps → the steps, a tensor with a gradient."""
        return {name: each.exp() for name, each in self.parameters.items() if name not in self.graph.constants}

    def now(self, steps):
        """(FloatGraph, Start) with the parameters and steps as they are."""
        numbers = {name: each.detach().double().numpy() for name, each in (*self.parameters.items(), *steps.items())}
        constants = {name: numbers.get(name, value) for name, value in self.graph.constants.items()}
        constants.update({name: value.numpy() for name, value in self.statistics.items()})
        grids = dict(self.start.grids)
        for name in self.start.learning:
            grids[name] = replace(grids[name], scale=float(numbers[step_of(name)]))
        weight_steps = {name: numbers[weight_step_of(name)] for name in self.start.weight_steps}
        graph = replace(self.graph, constants=constants)
        return graph, replace(self.start, grids=grids, weight_steps=weight_steps)


def with_own_constants(graph):
    """The FloatGraph with a copy of each constant for each node that reads it: exporters merge equal ones."""
    constants, nodes, taken = {}, [], {*graph.constants, *(node.output for node in graph.nodes)}
    for node in graph.nodes:
        inputs = list(node.inputs)
        for at, name in enumerate(inputs):
            if name in graph.constants:
                inputs[at] = name if name not in constants else unused(name, taken)
                constants[inputs[at]] = graph.constants[name]
        nodes.append(node._replace(inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), constants=constants)


def learning_constants(graph):
    """Names of the constants that learn: weights and biases of layers, γ and β of batch norms, constant summands."""
    names = []
    for node in graph.nodes:
        if node.op in LAYERS:
            names += node.inputs[1:]
        elif node.op == "BatchNormalization":
            names += node.inputs[1:3]
        elif node.op == "Add":
            names += node.inputs
    return list(dict.fromkeys(name for name in names if name in graph.constants))


class Recorder(Lowering):
    """A Lowering that notes which tensors it puts on a grid of their own, and a step for weights that multiply."""

    def __init__(self, *arguments):
        self.learning, self.weight_steps = [], {}
        super().__init__(*arguments)

    def requantise(self, tensor_name, value, grid, *arguments, **options):
        if not grid.signed:  # signed ones hold a residual's branches, or the logits
            self.learning.append(tensor_name)
        return super().requantise(tensor_name, value, grid, *arguments, **options)

    def product_weight(self, node, weight, bits):
        if self.settings.weight_digits is None:
            self.weight_steps[node.name] = least_error_steps(weight, bits)
        return super().product_weight(node, weight, bits)


def start_of(graph, images, settings, progress=None):
    """The Start of a FloatGraph by post-training quantisation, as quant.quantise_with_summary does it.

    images: float32 (N, …), calibration images. progress: called with (done, in all) of images, tensors, layers.
    """
    if settings.range == "divergence":
        raise AdderHwError("range: found divergence, expected max, quantile, error or regions where training follows")
    observed = calibrate(graph, images, progress=progress)
    source, choices = source_grid(images, settings), Choices()
    if settings.range in BY_LAYERS:
        bits_of = Lowering(graph, observed, source, settings).grid_bits
        ranges = least_error_ranges(graph, observed, images, bits_of, progress, by_regions=settings.by_regions)
        choices = Choices(ranges=ranges)
    if settings.bias_correction:
        corrections = corrected(graph, observed, images, settings, choices, progress)
        choices = replace(choices, corrections=corrections)
    recorder = Recorder(graph, observed, source, settings, choices)
    recorder.run()
    seen = {name: Seen(each.shape, each.low, each.high, each.mean) for name, each in observed.items()}
    grids = {name: recorder.grid(name) for name in observed}
    return Start(seen, source, settings, choices, grids, tuple(recorder.learning), recorder.weight_steps)


def least_error_steps(weight, bits):
    """float64 (O,): of SHARES of each channel's largest |w|, the one whose grid of `bits` has the least Σ(w − ŵ)².

    weight: float64 (O, …).
    """
    flat, top = weight.reshape(len(weight), -1), (1 << (bits - 1)) - 1
    steps = symmetric_weight(weight, bits)[1] * SHARES[:, None]
    on_grid = np.clip(np.rint(flat / steps[:, :, None]), -top, top) * steps[:, :, None]
    best = ((flat - on_grid) ** 2).sum(axis=2).argmin(axis=0)
    return steps[best, np.arange(len(flat))]
