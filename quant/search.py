"""Searched ranges: of each adder layer's input the one whose grid changes the layers' outputs the least."""

from math import prod

import numpy as np

from adderhw.kernels import Geometry, adder_conv, pack_adder_conv
from quant.grids import activation_grid, adder_weight
from quant.groups import FilterGroup, filter_groups
from quant.op_kinds import ADDING, CARRIERS
from quant.ranges import run, session_of

CANDIDATES = np.geomspace(1 / 8, 1, 25)  # of the extremes
MEMORY = 256 << 20  # bytes of activations held at once
MOST_IMAGES = 64
BATCH = 16
MOST_APART = 3  # steps of CANDIDATES from the least range of a layer's groups to the greatest: a factor of 1.3
REGIONS = 2  # of the height, and of the width: quarters of an image


def single_places(bits):
    """Errors of tensors of any width are those of single places, not averaged over regions."""
    return False


def least_error_ranges(graph, observed, images, bits_of, progress=None, *, by_regions=single_places):
    """Tensor name → (low, high) for every tensor that adder layers read, by the least error of their outputs.

    graph: FloatGraph. observed: from calibrate. images: float32 (N, …), of which up to MOST_IMAGES are used, spread
    evenly. bits_of: tensor name → width of its grid. For a range [l, h] = share·[lowest, highest] the layer's input
    and weight go onto the grid; its error is Σ over channels of the variance of g·(Y_q − Y_float), where g is the
    gain of the batch norm behind it; the mean is left to bias correction (docs/quantisation.md). by_regions: bits →
    whether the variance is that of the mean over each quarter of an image, instead of that of single values.
    progress: called with (tensors done, tensors in all).
    """
    found = ranges_by_width(graph, observed, images, lambda name: (bits_of(name),), progress, by_regions=by_regions)
    return {name: ends for (name, _), ends in found.items()}


def ranges_by_width(graph, observed, images, widths_of, progress=None, *, by_regions=single_places):
    """(tensor name, bits) → (low, high), as least_error_ranges, for all widths that widths_of gives for the tensor."""
    return {
        (name, bits): least_error_range(graph, nodes, values, bits, by_regions(bits))
        for name, nodes, values in activations_of_readers(graph, observed, images, progress)
        for bits in widths_of(name)
    }


def least_error_groups(graph, observed, images, bits_of, count, progress=None, *, by_regions=single_places):
    """Adder layer's output name → its FilterGroups, up to `count`, on grids that differ (see group_ranges).

    Only layers of several groups, whose input the lowering can put on several grids. Arguments and error as
    least_error_ranges, the error that of the group's own channels.
    """
    found = {}
    for name, nodes, values in activations_of_readers(graph, observed, images, progress):
        for node in nodes:
            weight, conv_groups = graph.constants[node.inputs[1]], node.attributes.get("group", 1)
            filters = filter_groups(weight, conv_groups, count)
            if len(filters) > 1 and is_pending_sum(graph, observed, node.inputs[0]):
                bits = bits_of(name)
                ends = group_ranges(graph, node, values, bits, filters, by_regions(bits))
                found[node.output] = tuple(map(FilterGroup, filters, ends))
    return found


def is_pending_sum(graph, observed, name):
    """Whether the lowering has the tensor as sums, which can go on any grid; not what is on one grid already."""
    makers = {node.output: node for node in graph.nodes}
    while name in makers and makers[name].op in ("Flatten", "Reshape"):
        name = makers[name].inputs[0]
        if observed[name].shape[1:] != (1, 1):
            return False
    return name in makers and makers[name].op not in CARRIERS


def activations_of_readers(graph, observed, images, progress=None):
    """Yields (tensor name, the adder layers that read its grid, name → activations of what they read and compute)."""
    readers, done = adder_readers(graph), 0
    sizes = {name: 4 * sum(prod(observed[t].shape) for t in tensors_of(nodes)) for name, nodes in readers.items()}
    count = min(len(images), MOST_IMAGES, max(1, MEMORY // max(sizes.values(), default=1)))
    chosen = images[np.linspace(0, len(images) - 1, count).astype(np.int64)]
    for names in passes(sizes, MEMORY // count):
        values = activations(graph, chosen, {t for name in names for t in tensors_of(readers[name])})
        for name in names:
            yield name, readers[name], values
            done += 1
            if progress:
                progress(done, len(readers))


def adder_readers(graph):
    """Tensor name → the adder layers that read its grid, directly or through ops that only carry it on."""
    makers = {node.output: node for node in graph.nodes}
    readers = {}
    for node in graph.nodes:
        if node.op in ADDING:
            name = node.inputs[0]
            while name in makers and makers[name].op in CARRIERS:
                name = makers[name].inputs[0]
            readers.setdefault(name, []).append(node)
    return readers


def tensors_of(nodes):
    """Names of what the layers read and compute."""
    return sorted({name for node in nodes for name in (node.inputs[0], node.output)})


def least_error_range(graph, nodes, values, bits, of_regions=False):
    """(low, high) of the grid of `bits` on which the adder layers `nodes`, which read one grid, err the least."""
    inputs = [values[node.inputs[0]] for node in nodes]
    low, high = (float(end) for end in (min(0, *(x.min() for x in inputs)), max(0, *(x.max() for x in inputs))))
    errors = []
    for share in CANDIDATES:
        grid = activation_grid(share * low, share * high, bits)
        pairs = zip(nodes, inputs, strict=True)
        errors.append(sum(layer_error(graph, node, x, values[node.output], grid, of_regions) for node, x in pairs))
    best = float(CANDIDATES[int(np.argmin(errors))])
    return best * low, best * high


def group_ranges(graph, node, values, bits, groups, of_regions=False):
    """[(low, high)] of the grid of `bits` for each of the groups of filters: neighbours among shares, all different.

    What rounding does to a value of the input it then does to each group in another way, so that errors of channels
    cancel in the layer behind. Of all runs of neighbours, one for each group in order, it is that of the least error.
    Shares lie as CANDIDATES do, and go on beyond the extremes; with more groups than MOST_APART + 1 they lie closer.
    """
    x, y = values[node.inputs[0]], values[node.output]
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    finer = max(1, -(-(len(groups) - 1) // MOST_APART))
    most, steps = CANDIDATES[MOST_APART] / CANDIDATES[0], finer * (len(CANDIDATES) - 1 + MOST_APART)
    shares = np.geomspace(CANDIDATES[0], most, steps + 1)
    grids = [activation_grid(share * low, share * high, bits) for share in shares]
    errors = np.array([channel_errors(graph, node, x, y, grid, of_regions) for grid in grids])
    of_groups = np.stack([errors[:, filters].sum(axis=1) for filters in groups])
    starts = len(shares) - len(groups) + 1
    first = int(np.argmin([np.trace(of_groups[:, at : at + len(groups)]) for at in range(starts)]))
    return [(float(share) * low, float(share) * high) for share in shares[first : first + len(groups)]]


def passes(sizes, most):
    """The names in groups, in order, whose sizes add up to at most `most` where one name does not exceed it alone."""
    groups, total = [], most + 1
    for name, size in sizes.items():
        if total + size > most:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += size
    return groups


def activations(graph, images, names):
    """Tensor name → float32 (N, …) of the float network on the images."""
    computed = sorted(names - {graph.inputs[0].name})
    session = session_of(graph, computed)
    parts = [run(session, graph, images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
    values = dict(zip(computed, map(np.concatenate, zip(*parts, strict=True)), strict=True))
    return {**values, graph.inputs[0].name: images}


def layer_error(graph, node, x, y, grid, of_regions=False):
    """Σ over channels of the variance of g·(Y_q − Y) of an adder layer with input and weight on `grid`."""
    return float(channel_errors(graph, node, x, y, grid, of_regions).sum())


def channel_errors(graph, node, x, y, grid, of_regions=False):
    """float64 (O,): the variance of g·(Y_q − Y) of each channel of an adder layer with input and weight on `grid`.

    of_regions: that of its mean over each quarter of an image.
    """
    weight = graph.constants[node.inputs[1]]
    geometry = Geometry()
    if node.op == "AdderConv":
        attributes = node.attributes
        geometry = Geometry(
            tuple(attributes["strides"]), tuple(attributes["pads"]), tuple(attributes["dilations"]), attributes["group"]
        )
    else:
        weight, x, y = weight[:, :, None, None], x[:, :, None, None], y[:, :, None, None]
    w, constant = adder_weight(weight, grid)
    steps = np.clip(np.rint(x / grid.scale) + grid.zero_point, grid.min, grid.max).astype(grid.dtype)
    packed = pack_adder_conv(w, geometry, x_range=(grid.min, grid.max))
    sums = adder_conv(np.ascontiguousarray(steps.transpose(0, 2, 3, 1)), packed, grid.zero_point, threads=1)
    error = y.transpose(0, 2, 3, 1) + grid.scale * sums + constant
    error = (region_means(error) if of_regions else error).reshape(-1, len(weight))
    return gain(graph, node, len(weight)) ** 2 * error.var(axis=0, dtype=np.float64)


def region_means(values):
    """(N, REGIONS, REGIONS, C), fewer where there are fewer places: the means of (N, H, W, C) over parts of H and W."""
    for axis in (1, 2):
        parts = np.array_split(values, min(REGIONS, values.shape[axis]), axis)
        values = np.stack([part.mean(axis) for part in parts], axis)
    return values


def gain(graph, node, channels):
    """float64 (C,): what the batch norm that reads the layer's output multiplies it by; 1 without one."""
    for reader in graph.consumers.get(node.output, ()):
        if reader.op == "BatchNormalization":
            scale, variance = graph.constants[reader.inputs[1]], graph.constants[reader.inputs[4]]
            return scale / np.sqrt(variance + reader.attributes["epsilon"])
    return np.ones(channels)
