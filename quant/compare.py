"""Compares a float model with its integer model, tensor by tensor, over a stream of images."""

from dataclasses import dataclass

import numpy as np

from adderhw.errors import AdderHwError, ModelError
from adderhw.files import file_digest
from adderhw.fixed import Format
from adderhw.plan import Plan
from adderhw.proportions import paired_difference
from adderhw.samples import batches, open_samples
from adderhw.simulation import load
from quant.counterparts import Counterpart, along_channels, read_counterparts
from quant.float_graph import read_float_graph
from quant.grids import grid_range
from quant.ranges import Observed, add, run, session_of

# Below it the noise carries more than a tenth of the signal's power (docs/quantisation.md has what networks reach).
DIVERGES_BELOW = 10.0
BATCH = 16
QUANTILES = (0.0001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.9999)


@dataclass(frozen=True)
class TensorComparison:
    """How one integer tensor differs from the float tensor that it stands for, over all images.

    name, tensor: the integer and the float tensor. node, op: the node that computes the integers. format: their
    Format; of a sum, only its width. on_grid: False for an exact sum, which no grid clips. signal_power: mean square
    of the float values about their channel's mean. noise_power: mean square of the error. grid_noise_power: the same
    for the float values themselves put on the grid, so without what came before; None for a sum. largest_error: in LSB
    of the grid, or in steps of the sum. clipped_low, clipped_high: share of the float values that lie more than half a
    step outside each end of the grid, None for a sum. low, high: the float values' extremes. quantiles: share → float
    value, each right to 2^-8 of itself.
    """

    name: str
    tensor: str
    node: str
    op: str
    format: Format
    on_grid: bool
    signal_power: float
    noise_power: float
    grid_noise_power: float | None
    largest_error: float
    clipped_low: float | None
    clipped_high: float | None
    low: float
    high: float
    quantiles: dict[float, float]

    @property
    def sqnr(self):
        """10·log10(signal_power/noise_power) in dB; inf without noise, None with noise on values without variance."""
        return decibels(self.signal_power, self.noise_power)

    @property
    def grid_sqnr(self):
        """The ratio that the grid alone would give, as `sqnr`; None for a sum."""
        return decibels(self.signal_power, self.grid_noise_power) if self.on_grid else None

    @property
    def representable(self):
        """(lowest, highest) real value on the grid, None for a sum."""
        return grid_range(self.format) if self.on_grid else None


@dataclass(frozen=True)
class Top1:
    """How many images both models put in the same class, and how many each and both of them right (None: no labels)."""

    agreeing: int
    float_correct: int | None
    integer_correct: int | None
    both_correct: int | None


@dataclass(frozen=True)
class ModelFile:
    """A model as it was read: its path and SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`, its tensors in topological order.

    diverges_below: dB. top1: None where the outputs are no logits (N, classes).
    """

    float_model: ModelFile
    integer_model: ModelFile
    data: str
    split: str | None
    images: int
    diverges_below: float
    tensors: tuple[TensorComparison, ...]
    top1: Top1 | None

    @property
    def first_divergence(self):
        """The first TensorComparison with a ratio below `diverges_below` dB, or None."""
        rated = (tensor for tensor in self.tensors if tensor.sqnr is not None)
        return next((tensor for tensor in rated if tensor.sqnr < self.diverges_below), None)

    @property
    def top1_difference(self):
        """(share of images right, integer less float, its standard error), None without labels or logits."""
        if self.top1 is None or self.top1.both_correct is None:
            return None
        gained, lost = (c - self.top1.both_correct for c in (self.top1.integer_correct, self.top1.float_correct))
        return paired_difference(gained, lost, self.images)


def decibels(signal, noise):
    """10·log10(signal/noise); inf without noise, None with noise and no signal."""
    if not noise:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal else None


def compare(
    float_model,
    integer_model,
    *,
    data,
    split="test",
    limit=None,
    diverges_below=DIVERGES_BELOW,
    batch_size=BATCH,
    progress=None,
):
    """The Comparison of the float ONNX file `float_model` with the integer file that was quantised from it.

    Onnxruntime runs the float model, the simulator the integer one; activations are held for batch_size images at a
    time, so memory does not grow with their number. data: a data set's name or a .npy/.npz file; split, limit: which
    of its images, uint8 pixels or float32 (N, …) as the model takes them. diverges_below: dB. progress: called with
    (images done, images in all). Raises ModelError for files that cannot be read or do not belong together, DataError
    for images that do not fit, AdderHwError for a batch size below 1 or a threshold that is no number.
    """
    check_call(diverges_below, batch_size)
    graph, model = read_float_graph(float_model), load(integer_model)
    counterparts = counterparts_in(model)
    check_pair(graph, model.graph, counterparts, float_model, integer_model)
    stream = Stream(graph, model.graph, counterparts)
    samples = open_samples(graph, data, split, limit)
    for start, values in batches(samples, batch_size):
        stop = min(start + batch_size, len(samples))
        stream.add(values, None if samples.labels is None else samples.labels[start:stop])
        if progress:
            progress(stop, len(samples))
    return Comparison(
        ModelFile(str(float_model), file_digest(float_model)),
        ModelFile(str(integer_model), model.sha256),
        samples.name,
        samples.split,
        len(samples),
        diverges_below,
        stream.tensors(),
        stream.top1,
    )


def check_call(diverges_below, batch_size):
    """Raises AdderHwError for an argument out of its range."""
    if not np.isfinite(diverges_below):
        raise AdderHwError(f"diverges below: found {diverges_below}, expected a finite number of dB")
    if batch_size < 1:
        raise AdderHwError(f"batch size: found {batch_size}, expected at least 1")


class Stream:
    """Both models side by side, and what the images so far showed; counterparts: integer tensor → Counterpart."""

    def __init__(self, graph, integer, counterparts):
        self.graph, self.integer = graph, integer
        self.name = graph.inputs[0].name
        self.names = list(dict.fromkeys([c.tensor for c in counterparts.values() if c.tensor != self.name]))
        self.session = session_of(graph, self.names)
        self.plan = Plan(integer, keep_all=True)
        self.observed: dict[str, Observed] = {}
        self.signals = {c.tensor: Signal() for c in counterparts.values()}
        self.differences = {
            name: Difference(c, integer.tensors[name].format if c.on_grid else None) for name, c in counterparts.items()
        }
        self.top1 = None

    def add(self, batch, labels):
        """Takes in a batch float32 (N, …) with its labels int64 (N,) or None."""
        reals = dict(zip(self.names, run(self.session, self.graph, batch), strict=True)) | {self.name: batch}
        integers = self.plan.run({self.name: batch})
        for name, values in reals.items():
            add(self.observed, name, values)
            self.signals[name].add(values)
        for name, difference in self.differences.items():
            difference.add(name, integers[name], reals[difference.counterpart.tensor])
        output = self.graph.outputs[0]
        if reals[output].ndim == 2:
            self.top1 = with_batch(self.top1, reals[output].argmax(1), integers[output].argmax(1), labels)

    def tensors(self):
        """The TensorComparisons so far, in topological order."""
        producers = {node.output: node for node in self.integer.nodes}
        return tuple(self._comparison(producers[name], found) for name, found in self.differences.items())

    def _comparison(self, node, difference):
        tensor, seen = difference.counterpart.tensor, self.observed[difference.counterpart.tensor]
        return TensorComparison(
            node.output,
            tensor,
            node.name,
            node.op,
            self.integer.tensors[node.output].format,
            difference.counterpart.on_grid,
            self.signals[tensor].power,
            difference.noise / difference.count,
            None if difference.grid is None else difference.grid_noise / difference.count,
            difference.largest,
            *difference.clipped,
            seen.low,
            seen.high,
            {share: seen.quantile(share) for share in QUANTILES},
        )


def counterparts_in(model):
    """The counterparts of a Model; raises ModelError, naming the file, where it states none."""
    try:
        return read_counterparts(model.graph)
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from None


def check_pair(graph, integer, counterparts, float_path, integer_path):
    """Raises ModelError unless the integer Graph can have been made from the FloatGraph."""
    expected = f"the float model that {integer_path} was quantised from"
    inputs = [[(t.name, *t.shape[1:], str(t.dtype)) for t in each.inputs] for each in (graph, integer)]
    if inputs[0] != inputs[1]:
        raise ModelError(f"{float_path}: found inputs {inputs[0]}, expected {inputs[1]}, those of {expected}")
    if graph.outputs != integer.outputs:
        raise ModelError(f"{float_path}: found outputs {list(graph.outputs)}, expected {expected}")
    known = {graph.inputs[0].name, *(node.output for node in graph.nodes)}
    missing = [each.tensor for each in counterparts.values() if each.tensor not in known]
    if missing:
        raise ModelError(f"{float_path}: found no tensor {missing[0]!r}, expected {expected}")


class Signal:
    """The power of a float tensor's values about the mean of their channel (axis 1), from one pass.

    Sums are taken of each value's distance from the first value of its channel, so that a large mean, such as that of
    an adder layer's output, costs no digits, and a constant has a power of exactly 0.
    """

    def __init__(self):
        self.first, self.sums, self.squares, self.count = None, 0.0, 0.0, 0

    def add(self, values):
        """Takes in a batch float32 (N, C, …)."""
        if self.first is None:
            self.first = values[:1].reshape(values.shape[1], -1)[:, 0].astype(np.float64)
        distance = values - along_channels(self.first, values.ndim)
        axes = (0, *range(2, values.ndim))
        self.sums = self.sums + distance.sum(axis=axes)
        self.squares = self.squares + (distance**2).sum(axis=axes)
        self.count += values.size // values.shape[1]

    @property
    def power(self):
        """The mean over all values of the squared distance from their channel's mean."""
        return float(np.maximum(self.squares - self.sums**2 / self.count, 0).mean() / self.count)


class Difference:
    """The running difference of an integer tensor from its float counterpart; grid: its Format, None for a sum."""

    def __init__(self, counterpart: Counterpart, grid: Format | None):
        self.counterpart, self.grid = counterpart, grid
        self.noise, self.grid_noise, self.largest, self.count = 0.0, 0.0, 0.0, 0
        self.outside = np.zeros(2, np.int64)

    def add(self, name, integers, real):
        """Takes in a batch of integers (N, …) and the float32 values that they stand for; shapes raise ModelError."""
        shapes = [[size for size in array.shape[1:] if size != 1] for array in (integers, real)]
        if shapes[0] != shapes[1]:
            raise ModelError(
                f"float tensor {self.counterpart.tensor!r}: found shape {list(real.shape[1:])}, "
                f"expected {list(integers.shape[1:])} as {name!r} has in the integer model"
            )
        error = np.abs(self.counterpart.real(integers).reshape(real.shape) - real)
        self.noise += float((error**2).sum())
        self.largest = max(self.largest, float((error / self._step(real.ndim)).max()))
        self.count += real.size
        if self.grid is not None:
            self._put_on_grid(real)

    def _put_on_grid(self, real):
        at = (real - self.counterpart.offset) / self.counterpart.scale
        self.outside += [(at < self.grid.min - 0.5).sum(), (at > self.grid.max + 0.5).sum()]
        rounded = np.clip(np.rint(at), self.grid.min, self.grid.max)
        self.grid_noise += float((((rounded - at) * self.counterpart.scale) ** 2).sum())

    def _step(self, rank):
        return np.abs(along_channels(self.counterpart.scale, rank))

    @property
    def clipped(self):
        """(low, high): the shares clipped at each end, None for a sum."""
        return (None, None) if self.grid is None else tuple((self.outside / self.count).tolist())


def with_batch(top1, float_classes, integer_classes, labels):
    """The Top1 so far (None: nothing yet) with a batch: each model's classes int64 (N,) and labels (N,) or None."""
    known = top1 or Top1(0, *(None,) * 3 if labels is None else (0,) * 3)
    agreeing = known.agreeing + int((float_classes == integer_classes).sum())
    if labels is None:
        return Top1(agreeing, None, None, None)
    right = [classes == labels for classes in (float_classes, integer_classes)]
    float_correct, integer_correct, both = (int(each.sum()) for each in (*right, right[0] & right[1]))
    return Top1(
        agreeing,
        known.float_correct + float_correct,
        known.integer_correct + integer_correct,
        known.both_correct + both,
    )
