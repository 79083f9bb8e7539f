"""Bias correction: each layer's constant takes up what quantisation did to the means of its channels."""

from dataclasses import replace

import numpy as np

from adderhw.plan import Plan
from quant.choices import source_grid
from quant.lower import LAYERS, Lowering

BATCH = 64


def corrected(graph, observed, images, settings, choices, progress=None):
    """Layer output name → float64 (C,), what to add to the layer's output so that its means are the float network's.

    Layer after layer, in topological order: the integer network, with the layers before corrected, runs on the
    images; the correction is the float mean of each channel less the mean of a·S + b (M. Nagel et al., ICCV 2019,
    with means measured, not derived). Arguments as Lowering, but for the corrections among the choices, which are
    made anew; progress: called with (layers done, in all).
    """
    corrections, source = {}, source_grid(images, settings)
    choices = replace(choices, corrections=corrections)
    layers = [node for node in graph.nodes if node.op in LAYERS]
    for node in layers:
        lowering = Lowering(graph, observed, source, settings, choices)
        integer, _ = lowering.run()
        total = lowering.totals[node.output]
        sums = channel_means(integer, total.name, images)
        corrections[node.output] = observed[node.output].mean - (total.a * sums + total.b)
        if progress:
            progress(len(corrections), len(layers))
    return corrections


def channel_means(graph, name, images):
    """float64 (C,): the mean of each channel of an integer tensor over the images."""
    plan = Plan(ending_at(graph, name))
    total, count = 0.0, 0
    for start in range(0, len(images), BATCH):
        values = plan.run({graph.inputs[0].name: images[start : start + BATCH]})[name]
        axes = (0, *range(2, values.ndim))
        total = total + values.sum(axis=axes, dtype=np.int64)
        count += values.size // values.shape[1]
    return total / count


def ending_at(graph, name):
    """The part of an integer Graph that computes the tensor `name`, which is its output."""
    needed, nodes = {name}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            nodes.append(node)
    parameters = {key: value for key, value in graph.parameters.items() if key in needed}
    formats = {key: value for key, value in graph.formats.items() if key in needed}
    return replace(graph, outputs=(name,), nodes=tuple(reversed(nodes)), parameters=parameters, formats=formats)
