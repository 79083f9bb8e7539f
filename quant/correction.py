"""Each layer's constant and factor take up what quantisation did to the mean and the slope of its channels."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from adderhw.graph import Graph
from adderhw.plan import channels_first
from adderhw.simulation import available_threads
from quant.choices import source_grid
from quant.fold import Correction
from quant.lowering import Lowering
from quant.ranges import places_of
from quant.stepwise import Stepwise

MEMORY = 1 << 29  # bytes of activations held at once
# An image's largest tensor in int32, this many times over, holds what lives at one time: branches, sums, guards.
LIVE_TENSORS = 6
GAINS = 0.5, 2.0


class Target(NamedTuple):
    """What a layer's output is in the float network, on the images that the integer network is corrected on.

    mean: float64 (C,). places: int64 (N, P), which of each image's places, row by row, `values`, float32 (N, P, C), are
    of; None where the gain is left as it is.
    """

    mean: np.ndarray
    places: np.ndarray | None = None
    values: np.ndarray | None = None


class Corrected(NamedTuple):
    """A corrected network and what it made of the images.

    corrections: layer output name → Correction. graph: the integer Graph. outputs: name → float32 (N, …).
    """

    corrections: dict[str, Correction]
    graph: Graph
    outputs: dict[str, np.ndarray]


def targets_of(observed, recorded, settings, chosen=None):
    """Layer output name → Target, on the calibration images of index `chosen` (integers; None: all).

    observed, recorded: from calibrate_and_record. Empty where the settings have no correction.
    """
    return {
        name: target_of(observed[name].shape, means, recorded.samples[name], settings.gain_correction, chosen)
        for name, means in recorded.means.items()
        if settings.bias_correction
    }


def target_of(shape, means, samples, with_gain, chosen):
    """The Target of an output of `shape` an image, of what Recorded has of it."""
    every = slice(None) if chosen is None else chosen
    mean = means[every].mean(axis=0)
    places = places_of(0, len(means), prod(shape[1:]))
    return Target(mean, places[every], samples[every]) if with_gain else Target(mean)


def corrected(graph, observed, images, settings, choices, targets, progress=None):
    """Layer output name → Correction, after which the output's means, and its slope, are the float network's.

    Layer after layer, in topological order: the integer network, with the layers before corrected, runs on the
    images. The gain of each channel is that of the line through the float values over a·S + b, as far as the images
    tell it from 1 (see gains); the offset is the float mean less the mean of what that gives (M. Nagel et al., ICCV
    2019, with means measured, not derived). Arguments as Lowering, but for the corrections among the choices, which
    are made anew; targets: layer output name → Target on the images; progress: called with (layers done, in all).
    """
    lowering = Lowering(graph, observed, source_grid(images, settings), settings, choices)
    passage = Passage(lowering, images, targets)
    passage.advance(progress=progress)
    return passage.corrections


class Passage:
    """A lowering and images that go through it together, each layer corrected as soon as it is lowered.

    images: (N, …), of which the first `count` (None: all) are corrected on. targets: layer output → Target on those; a
    layer without an entry is not corrected. Every piece of the images waits where it is
    while the next layer is lowered, as long as all of them together hold no more than MEMORY; what is beyond goes
    through the network again for each layer.
    """

    def __init__(self, lowering, images, targets, count=None):
        self.lowering, self.targets, self.corrections = lowering, targets, {}
        self.count, self.at = len(images) if count is None else count, 0
        largest = 4 * LIVE_TENSORS * max(prod(seen.shape) for seen in lowering.observed.values())
        size = max(1, min(-(-len(images) // available_threads()), MEMORY // largest))
        self.pieces = [Stepwise(lowering.builder, images[at : at + size]) for at in range(0, len(images), size)]

    def branch(self, choices):
        """A copy as far as this one has come, which goes on with other choices."""
        other = object.__new__(Passage)
        other.lowering = self.lowering.branch(choices)
        other.targets, other.corrections = self.targets, dict(self.corrections)
        other.count, other.at = self.count, self.at
        other.pieces = [piece.branch(other.lowering.builder) for piece in self.pieces]
        return other

    def advance(self, stop=None, progress=None):
        """Lowers the nodes up to before `stop` (None: all); progress: called with (layers corrected, in all)."""
        for node in self.lowering.graph.nodes[self.at : stop]:
            self.lowering.lower(node)
            self.at += 1
            if node.output in self.targets:
                self.corrections[node.output] = found = self.correction(node.output)
                self.lowering.correct(node.output, found)
                if progress:
                    progress(len(self.corrections), len(self.targets))

    def finish(self):
        """The Corrected network, all nodes lowered."""
        self.advance()
        graph, _ = self.lowering.finish()
        parts = list(self.each(lambda piece: self.outputs_of(piece, graph.outputs)))
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}
        return Corrected(self.corrections, graph, outputs)

    def correction(self, output):
        """The Correction of a layer's output that was just lowered."""
        total, target = self.lowering.totals[output], self.targets[output]
        mean, sampled = self.sums(total.name, target.places)
        gain = np.ones(len(mean)) if sampled is None else gains(total.a * sampled, target.values)
        return Correction(gain, target.mean - gain * (total.a * mean + total.b))

    def sums(self, name, places):
        """Of the integer tensor `name` over the images corrected on: the mean of each channel, float64 (C,), and what
        it is at the `places`, (N, P, C); None without places."""
        live = {*self.live_tensors(), name}
        starts = np.cumsum([0] + [len(piece.images) for piece in self.pieces])
        own = [None if places is None else places[at:end] for at, end in pairwise(starts)]
        sums, values, sampled = zip(
            *self.each(lambda *each: sums_of(*each, name, live), (self.count - starts).clip(0), own), strict=True
        )
        held = np.cumsum([piece.held for piece in self.pieces])
        for piece, total in zip(self.pieces, held, strict=True):
            if total > MEMORY:
                piece.restart()
        return sum(sums) / sum(values), None if places is None else np.concatenate(sampled)

    def live_tensors(self):
        """Names of the integer tensors that the float nodes to come, or the outputs, may still read."""
        state = self.lowering
        needed = {name for node in state.graph.nodes[self.at :] for name in node.inputs} | set(state.graph.outputs)
        guards = {guard for (name, _), guard in state.guards.items() if name in needed}
        values = {value.name for held in (state.values, state.sums) for name, value in held.items() if name in needed}
        return values | guards | {value.name for (name, *_), value in state.held.items() if name in needed}

    def each(self, function, *arguments):
        """function(piece, …) of every piece in order, the pieces shared between the processors."""
        with ThreadPoolExecutor(available_threads()) as pool:
            yield from pool.map(function, self.pieces, *arguments)

    @staticmethod
    def outputs_of(piece, names):
        """Name → (N, …) in ONNX layout, of a piece that goes through to the end."""
        piece.advance(set(names))
        return {name: channels_first(piece.arrays[name]) for name in names}


def sums_of(piece, count, places, name, live):
    """(int64 (C,), values, sampled) of a piece: the sum of each channel of its first `count` images, and of how many
    values; what these images are at their `places`, (N, P, C), or None."""
    piece.advance(live)
    sums = piece.arrays[name][:count]
    # Over the images first: the rows of one image are far longer than one pixel's channels.
    image = sums.reshape(len(sums), prod(sums.shape[1:])).sum(axis=0, dtype=np.int64)
    rows = sums.reshape(len(sums), -1, sums.shape[-1]) if len(sums) else sums.reshape(0, 1, sums.shape[-1])
    sampled = None if places is None else rows[np.arange(len(rows))[:, None], places]
    return image.reshape(-1, sums.shape[-1]).sum(axis=0), sums.size // sums.shape[-1], sampled


def gains(found, meant):
    """float64 (C,): the slope of `meant` over `found`, (N, P, C) each, of every channel; 1 where found is constant.

    The slope α of least squares has a standard error e; as N images, whose places say about the same, give it, e² is
    the variance of what the line leaves over that of `found`, over N. What is taken is 1 + (α − 1)·(1 − e²/(α − 1)²),
    1 where that would turn the sign of α − 1, and never outside GAINS: few images change nothing by chance.
    """
    x, y = (each.reshape(-1, each.shape[2]).astype(np.float64) for each in (found, meant))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    power = (x * x).sum(axis=0)
    excess = np.divide((x * y).sum(axis=0), power, out=np.ones_like(power), where=power > 0) - 1
    left = ((y - x - excess * x) ** 2).sum(axis=0)
    error = np.divide(left, power * len(found), out=np.zeros_like(power), where=power > 0)
    kept = 1 - np.divide(error, excess**2, out=np.ones_like(excess), where=excess != 0)
    return np.clip(1 + excess * kept.clip(0), *GAINS)
