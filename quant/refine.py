"""Refined ranges: coordinate descent, tensor by tensor, on the divergence of the whole integer network's outputs."""

from dataclasses import dataclass, replace

import numpy as np

from adderhw.fixed import Format
from quant.correction import Passage
from quant.divergence import divergence, divergences
from quant.float_graph import FloatGraph
from quant.lowering import Lowering
from quant.ranges import Recorded
from quant.settings import Settings

# What a pass multiplies each range by: every pass is half as coarse as the one before.
PASSES = ((0.7, 0.84, 1.19, 1.42), (0.84, 0.92, 1.09, 1.19), (0.92, 0.96, 1.04, 1.09))
HELD_OUT_EVERY = 4
MOST_IMAGES = 1024  # of each part: those that the ranges are fitted to, and those that are held out


@dataclass(frozen=True)
class Trial:
    """Runs the whole network for some choices, on images that it is corrected on and on others that it is not.

    images: float32 (N, …), of which the first `count` are corrected on. expected: output name → float32 (N, …), the
    float network's. means: layer output → float64 (C,) over the first `count` images.
    """

    graph: FloatGraph
    observed: dict
    source: Format
    settings: Settings
    images: np.ndarray
    count: int
    means: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]

    def passage(self, choices, stop=None):
        """The Passage of the first `stop` images (None: all) at its beginning."""
        lowering = Lowering(self.graph, self.observed, self.source, self.settings, choices)
        means = self.means if self.settings.bias_correction else {}
        return Passage(lowering, self.images[:stop], means, self.count)

    def fitted(self, passage):
        """float64 (count,): the divergences of the images corrected on, of a Passage that goes through to its end."""
        expected = {name: values[: self.count] for name, values in self.expected.items()}
        return divergences(expected, {name: v[: self.count] for name, v in passage.finish().outputs.items()})

    def held_out(self, choices):
        """The divergence on the images that are not corrected on."""
        expected = {name: values[self.count :] for name, values in self.expected.items()}
        outputs = self.passage(choices).finish().outputs
        return divergence(expected, {name: values[self.count :] for name, values in outputs.items()})


def trial_of(graph, observed, source, settings, images, recorded, fitted, held_out):
    """A Trial on the images of index `fitted` and, not corrected on, `held_out` (integer arrays)."""
    chosen = np.concatenate([fitted, held_out])
    means = {name: values[fitted].mean(axis=0) for name, values in recorded.means.items()}
    expected = {name: values[chosen] for name, values in recorded.outputs.items()}
    return Trial(graph, observed, source, settings, images[chosen], len(fitted), means, expected)


def refined(graph, observed, source, settings, images, recorded: Recorded, choices, progress=None):
    """The choices with ranges of less divergence, where they have less on held-out images too.

    Every fourth image is held out; up to MOST_IMAGES of each part are used, spread evenly. In each of PASSES, of every
    tensor on a grid, in topological order, the range times each factor is tried in the whole network, corrected anew;
    what has the least divergence on the fitted images stays if the gain is more than its standard error. A pass counts
    only if the divergence on the held-out images falls too; the first that does not is the last. progress: called with
    (tensors done, at most so many).
    """
    fitted, held_out = parts(len(images))
    trial = trial_of(graph, observed, source, settings, images, recorded, fitted, held_out)
    best = with_all_ranges(graph, observed, source, settings, choices)
    held = trial.held_out(best)
    for number, factors in enumerate(PASSES):
        candidate = descend(trial, best, factors, number, progress)
        found = trial.held_out(candidate)
        if candidate.ranges == best.ranges or found >= held:
            break
        best, held = candidate, found
    return best


def parts(count):
    """(indices fitted, indices held out) of `count` images, each int64 and up to MOST_IMAGES, spread evenly."""
    every = np.arange(count)
    held = every % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return thinned(every[~held], MOST_IMAGES), thinned(every[held] if held.any() else every, MOST_IMAGES)


def thinned(indices, most):
    """At most `most` of the indices, spread evenly."""
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), most)).astype(np.int64)]


class Asking(Lowering):
    """A lowering that notes at which node, counted from 0, each tensor's grid is first asked for."""

    def __init__(self, *arguments):
        self.asked, self.lowered = {}, 0
        super().__init__(*arguments)

    def lower(self, node):
        """As Lowering's."""
        super().lower(node)
        self.lowered += 1

    def grid(self, name):
        """As Lowering's."""
        self.asked.setdefault(name, self.lowered)
        return super().grid(name)


def first_uses(graph, observed, source, settings, choices):
    """Name of each float tensor with a grid of its own → number of the node that first asks for it, in order."""
    lowering = Asking(graph, observed, source, settings, choices)
    lowering.run()
    return lowering.asked


def with_all_ranges(graph, observed, source, settings, choices):
    """The choices with a range for every tensor that has a grid: that of the calibration where none is chosen."""
    lowering = Asking(graph, observed, source, settings, choices)
    lowering.run()
    calibrated = {name: observed[name].range(lowering.settings_of(name)) for name in lowering.asked}
    return replace(choices, ranges={**calibrated, **choices.ranges})


def descend(trial, choices, factors, number, progress=None):
    """One pass of coordinate descent; on the fitted images its result is never worse than `choices`.

    What lies before the first use of the tensor's grid is computed once for all factors.
    """
    asked = first_uses(trial.graph, trial.observed, trial.source, trial.settings, choices)
    least = trial.fitted(trial.passage(choices, trial.count))
    before = trial.passage(choices, trial.count)
    for at, (name, first) in enumerate(asked.items()):
        before.advance(first)
        (low, high), start = choices.ranges[name], least
        for factor in factors:
            tried = replace(choices, ranges={**choices.ranges, name: (factor * low, factor * high)})
            losses = trial.fitted(before.branch(tried))
            if is_less(losses, start) and losses.mean() < least.mean():
                choices, least = tried, losses
        before = before.branch(choices)
        if progress:
            progress(number * len(asked) + at + 1, len(PASSES) * len(asked))
    return choices


def is_less(losses, others):
    """Whether the mean of losses (N,) of some images is less than that of others by more than the standard error."""
    gains = others - losses
    return gains.mean() > gains.std() / np.sqrt(len(gains))
