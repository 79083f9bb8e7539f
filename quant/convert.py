"""The Python API: a float model and calibration images in, the integer Graph out."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from adderhw.graph import Graph
from quant.choices import Choices, check_widths, source_grid
from quant.correction import corrected
from quant.float_graph import FloatGraph, read_float_graph
from quant.lowering import Layer, Lowering
from quant.op_kinds import LAYERS
from quant.ranges import calibrate_and_record
from quant.refine import first_uses, refined
from quant.search import least_error_groups, least_error_ranges
from quant.settings import BY_LAYERS, Settings


class Quantisation(NamedTuple):
    """An integer Graph, a summary line per layer, and the float outputs on the images, name → float32 (N, …)."""

    graph: Graph
    layers: tuple[Layer, ...]
    outputs: dict[str, np.ndarray]


def quantise(model, images, settings=Settings(), widths=None):  # noqa: B008 - frozen
    """The integer Graph of a float model.

    model: path, ModelProto or FloatGraph (opset 13 or later). images: float32 (N, …), calibration images as the
    model takes them. settings: Settings. widths: tensor name → bits, where not the settings' width. Raises ModelError
    for a model that cannot be quantised, naming the node and its op, DataError for images that do not fit,
    AdderHwError for a width outside 2…16 or of a tensor that has no grid.
    """
    return quantise_with_summary(model, images, settings, widths).graph


def quantise_with_summary(model, images, settings=Settings(), widths=None, progress=None):  # noqa: B008 - frozen
    """As quantise, with the summary; progress: called with (done, in all) of images, tensors, layers."""
    graph = model if isinstance(model, FloatGraph) else read_float_graph(model)
    images, choices = np.ascontiguousarray(images), Choices(widths=widths or {})
    layers = [node.output for node in graph.nodes if node.op in LAYERS] if settings.range == "divergence" else []
    observed, recorded = calibrate_and_record(graph, images, layers, progress=progress)
    source = source_grid(images, settings)
    if choices.widths:
        check_widths(choices.widths, first_uses(graph, observed, source, settings, choices))
    if settings.range in (*BY_LAYERS, "divergence"):
        bits_of = Lowering(graph, observed, source, settings, choices).grid_bits
        searched, by_regions = (graph, observed, images, bits_of), settings.by_regions
        choices = replace(choices, ranges=least_error_ranges(*searched, progress, by_regions=by_regions))
        if settings.filter_groups > 1:
            found = least_error_groups(*searched, settings.filter_groups, progress, by_regions=by_regions)
            choices = replace(choices, groups=found)
    if settings.range == "divergence":
        choices = refined(graph, observed, source, settings, images, recorded, choices, progress)
    if settings.bias_correction:
        choices = replace(choices, corrections=corrected(graph, observed, images, settings, choices, progress))
    return Quantisation(*Lowering(graph, observed, source, settings, choices).run(), recorded.outputs)
