"""Ranges: what each tensor of the float network takes on calibration images, in one streamed pass."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort
from numba import njit

from adderhw.errors import DataError, ModelError
from adderhw.simulation import available_threads

# A bin of the histogram is the sign, the exponent and the 8 leading mantissa bits of a float32, so that no range need
# be known beforehand and a quantile is right to 2^-8 of itself, before the linear interpolation inside its bin.
BIN_BITS = 17
DROPPED_BITS = 32 - BIN_BITS
# Images that one thread of onnxruntime takes at a time; 4 stay in the cache, 16 do not (34, 48 ms each of ResNet-20).
# Its own threads would wait for each other after every node: twice the time on two busy processors.
PIECE = 4
# The bin of 0 holds subnormal numbers too; they count as 0.
SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass
class Observed:
    """What one tensor took: its shape per image, extremes, channel sums and the histogram of its values."""

    shape: tuple[int, ...]
    low: float = np.inf
    high: float = -np.inf
    sums: np.ndarray | float = 0.0
    images: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(1 << BIN_BITS, np.int64))

    def add(self, batch):
        """Takes in a batch float32 (N, …)."""
        self.low, self.high = min(self.low, float(batch.min())), max(self.high, float(batch.max()))
        axes = (0, *range(2, batch.ndim))
        self.sums = self.sums + batch.sum(axis=axes, dtype=np.float64)
        self.images += len(batch)
        count_bins(np.ascontiguousarray(batch, np.float32).view(np.int32).reshape(-1), self.counts)

    @property
    def mean(self):
        """float64 (C,): the mean of each channel (axis 1)."""
        return self.sums / (self.images * np.prod(self.shape[1:]))

    def quantile(self, share):
        """The value below which `share` of all values lie, clipped to the extremes."""
        target = share * self.counts.sum()
        cumulative = np.cumsum(self.counts)
        at = int(np.searchsorted(cumulative, target))
        inside = (target - (cumulative[at] - self.counts[at])) / max(self.counts[at], 1)
        lower, upper = edges_of(at)
        value = float(np.clip(lower + inside * (upper - lower), self.low, self.high))
        return value if abs(value) >= SMALLEST else 0.0

    def share_outside(self, low, high):
        """The share of values whose bin lies outside the bins of [low, high]."""
        first, last = bin_of(np.array([low, high], np.float32))
        return 1 - self.counts[first : last + 1].sum() / self.counts.sum()

    def range(self, settings):
        """(low, high) by settings.range: the extremes, or the quantiles 1 − q and q where they differ."""
        if settings.range == "max" or settings.quantile == 1:
            return self.low, self.high
        low, high = self.quantile(1 - settings.quantile), self.quantile(settings.quantile)
        return (low, high) if min(low, 0) < max(high, 0) else (self.low, self.high)


def bin_of(values):
    """The bin of each float32: its bits in an order that follows the numbers'."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    return ((bits >> DROPPED_BITS) ^ ((bits >> 31) & ((1 << (BIN_BITS - 1)) - 1))) + (1 << (BIN_BITS - 1))


@njit(cache=True, nogil=True)
def count_bins(bits, counts):
    """Adds the bins (see bin_of) of float32 bit patterns, int32 (n,), to counts: an eighth of numpy's time."""
    for at in range(bits.size):
        value = np.int64(bits[at])
        counts[((value >> DROPPED_BITS) ^ ((value >> 31) & ((1 << (BIN_BITS - 1)) - 1))) + (1 << (BIN_BITS - 1))] += 1


def edges_of(at):
    """(lower, upper) real edge of a bin, without infinities."""
    key = at - (1 << (BIN_BITS - 1))
    magnitudes = [key, key + 1] if key >= 0 else [~key + 1, ~key]
    values = (np.array(magnitudes, np.int64) << DROPPED_BITS).astype(np.uint32).view(np.float32)
    return tuple(float(v) if key >= 0 else -float(v) for v in np.nan_to_num(values))


@dataclass
class Recorded:
    """What calibration keeps image by image. means: layer output → float64 (N, C), the mean of each channel.

    outputs: graph output → float32 (N, …).
    """

    means: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def calibrate(graph, images, *, batch_size=16, progress=None):
    """Tensor name → Observed, for every activation of the FloatGraph, from stock onnxruntime.

    images: float32 (N, …), the model's input; one batch of activations is held at a time.
    progress: called with (images done, images in all). Raises DataError for images that do not fit the input or are
    not finite, ModelError where onnxruntime refuses the model or an activation is not finite.
    """
    return calibrate_and_record(graph, images, (), batch_size=batch_size, progress=progress)[0]


def calibrate_and_record(graph, images, layers, *, batch_size=16, progress=None):
    """(what calibrate returns, Recorded) with the means of the outputs `layers` of the graph's layers."""
    check_images(graph, images)
    names = [node.output for node in graph.nodes]
    observed, means, outputs = {}, {name: [] for name in layers}, {name: [] for name in graph.outputs}
    session = session_of(graph, names)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        tensors = dict(zip(names, run(session, graph, batch), strict=True)) | {graph.inputs[0].name: batch}
        for name, values in tensors.items():
            add(observed, name, values)
        for name, parts in means.items():
            parts.append(tensors[name].mean(axis=tuple(range(2, tensors[name].ndim)), dtype=np.float64))
        for name, parts in outputs.items():
            parts.append(tensors[name])
        if progress:
            progress(min(start + batch_size, len(images)), len(images))
    joined = ({name: np.concatenate(parts) for name, parts in found.items()} for found in (means, outputs))
    return observed, Recorded(*joined)


def check_images(graph, images):
    """Raises DataError unless the images fit the model's input."""
    shape = graph.inputs[0].shape[1:]
    if images.dtype != np.float32 or images.shape[1:] != shape or not len(images):
        raise DataError(f"calibration images: found {images.dtype} {list(images.shape)}, expected float32 [N, {shape}]")
    if not np.isfinite(images).all():
        raise DataError("calibration images: found NaN or infinity, expected finite numbers")


def session_of(graph, names):
    """An onnxruntime session that returns the tensors `names` and computes in the thread that runs it."""
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base class
        raise ModelError(
            f"onnxruntime: found a model it cannot load ({one_line(error)}), expected valid ONNX"
        ) from None


def run(session, graph, batch):
    """All outputs for one batch, whatever batch size the file states; an error of onnxruntime becomes a ModelError.

    Pieces of the batch run side by side, one thread each.
    """
    stated = session.get_inputs()[0].shape[0]
    size = stated if isinstance(stated, int) else PIECE
    with ThreadPoolExecutor(available_threads()) as pool:
        parts = [batch[at : at + size] for at in range(0, len(batch), size)]
        pieces = list(pool.map(lambda part: run_piece(session, graph, part, size), parts))
    return pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def run_piece(session, graph, piece, size):
    """All outputs for at most `size` images, of which the last is repeated to fill a batch of that size."""
    filled = np.concatenate([piece, np.repeat(piece[-1:], size - len(piece), axis=0)]) if len(piece) < size else piece
    try:
        return [values[: len(piece)] for values in session.run(None, {graph.inputs[0].name: filled})]
    except Exception as error:  # as above
        raise ModelError(
            f"onnxruntime: found an error in the float model ({one_line(error)}), expected it to run"
        ) from None


def one_line(error):
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def add(observed, name, values):
    """Takes the batch of one tensor in; raises ModelError for NaN, infinity or another dtype than float32."""
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise ModelError(f"tensor {name!r}: found {values.dtype} with NaN or infinity, expected finite float32")
    observed.setdefault(name, Observed(tuple(values.shape[1:]))).add(values)
