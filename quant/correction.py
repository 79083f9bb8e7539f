"""Bias correction: each layer's constant takes up what quantisation did to the means of its channels."""

from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import NamedTuple

import numpy as np

from adderhw.graph import Graph
from adderhw.layouts import channels_first
from adderhw.simulation import available_threads
from quant.choices import source_grid
from quant.lowering import Lowering
from quant.op_kinds import LAYERS
from quant.stepwise import Stepwise

MEMORY = 1 << 29  # bytes of activations held at once
# An image's largest tensor in int32, this many times over, holds what lives at one time: branches, sums, guards.
LIVE_TENSORS = 6


class Corrected(NamedTuple):
    """A corrected network and what it made of the images.

    corrections: layer output name → float64 (C,). graph: the integer Graph. outputs: name → float32 (N, …).
    """

    corrections: dict[str, np.ndarray]
    graph: Graph
    outputs: dict[str, np.ndarray]


def corrected(graph, observed, images, settings, choices, progress=None):
    """Layer output name → float64 (C,), what to add to the layer's output so that its means are the float network's.

    Layer after layer, in topological order: the integer network, with the layers before corrected, runs on the
    images; the correction is the float mean of each channel less the mean of a·S + b (M. Nagel et al., ICCV 2019,
    with means measured, not derived). Arguments as Lowering, but for the corrections among the choices, which are
    made anew; progress: called with (layers done, in all).
    """
    means = {node.output: observed[node.output].mean for node in graph.nodes if node.op in LAYERS}
    lowering = Lowering(graph, observed, source_grid(images, settings), settings, choices)
    passage = Passage(lowering, images, means)
    passage.advance(progress=progress)
    return passage.corrections


class Passage:
    """A lowering and images that go through it together, each layer corrected as soon as it is lowered.

    images: (N, …), of which the first `count` (None: all) are corrected on. means: layer output → float64 (C,), the
    float network's on those; a layer without an entry is not corrected. Every piece of the images waits where it is
    while the next layer is lowered, as long as all of them together hold no more than MEMORY; what is beyond goes
    through the network again for each layer.
    """

    def __init__(self, lowering, images, means, count=None):
        self.lowering, self.means, self.corrections = lowering, means, {}
        self.count, self.at = len(images) if count is None else count, 0
        largest = 4 * LIVE_TENSORS * max(prod(seen.shape) for seen in lowering.observed.values())
        size = max(1, min(-(-len(images) // available_threads()), MEMORY // largest))
        self.pieces = [Stepwise(lowering.builder, images[at : at + size]) for at in range(0, len(images), size)]

    def branch(self, choices):
        """A copy as far as this one has come, which goes on with other choices."""
        other = object.__new__(Passage)
        other.lowering = self.lowering.branch(choices)
        other.means, other.corrections = self.means, dict(self.corrections)
        other.count, other.at = self.count, self.at
        other.pieces = [piece.branch(other.lowering.builder) for piece in self.pieces]
        return other

    def advance(self, stop=None, progress=None):
        """Lowers the nodes up to before `stop` (None: all); progress: called with (layers corrected, in all)."""
        for node in self.lowering.graph.nodes[self.at : stop]:
            self.lowering.lower(node)
            self.at += 1
            if node.output in self.means:
                total = self.lowering.totals[node.output]
                correction = self.means[node.output] - (total.a * self.channel_means(total.name) + total.b)
                self.corrections[node.output] = correction
                self.lowering.correct(node.output, correction)
                if progress:
                    progress(len(self.corrections), len(self.means))

    def finish(self):
        """The Corrected network, all nodes lowered."""
        self.advance()
        graph, _ = self.lowering.finish()
        parts = list(self.each(lambda piece: self.outputs_of(piece, graph.outputs)))
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}
        return Corrected(self.corrections, graph, outputs)

    def channel_means(self, name):
        """float64 (C,): the mean of each channel of the integer tensor `name` over the images corrected on."""
        live = {*self.live_tensors(), name}
        starts = np.cumsum([0] + [len(piece.images) for piece in self.pieces[:-1]])
        counts = iter((self.count - starts).clip(0))
        sums, values = zip(*self.each(lambda piece, count: sums_of(piece, name, live, count), counts), strict=True)
        held = np.cumsum([piece.held for piece in self.pieces])
        for piece, total in zip(self.pieces, held, strict=True):
            if total > MEMORY:
                piece.restart()
        return sum(sums) / sum(values)

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


def sums_of(piece, name, live, count):
    """(int64 (C,), values) of a piece: the sum of each channel of its first `count` images, and of how many values."""
    piece.advance(live)
    sums = piece.arrays[name][:count]
    # Over the images first: the rows of one image are far longer than one pixel's channels.
    image = sums.reshape(len(sums), prod(sums.shape[1:])).sum(axis=0, dtype=np.int64)
    return image.reshape(-1, sums.shape[-1]).sum(axis=0), sums.size // sums.shape[-1]
