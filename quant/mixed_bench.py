"""Measures one choice of widths: the energy of its integer network and how far its outputs are from the float ones."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np

from adderhw.cost.energy import EnergyTable, energy
from adderhw.cost.events import Tally
from quant.choices import Choices, source_grid
from quant.correction import Passage, corrected
from quant.divergence import divergence
from quant.lowering import Lowering
from quant.op_kinds import LAYERS
from quant.ranges import calibrate_and_record, run, session_of
from quant.refine import Trial, first_uses, thinned
from quant.search import ranges_by_width

BATCH = 16
CORRECTED_ON = 256  # calibration images at each point; the network that is written is corrected on all


class Point(NamedTuple):
    """What was measured of one choice of widths.

    widths: bits by tensor, in the bench's order. energy: pJ an image. loss: the divergence on the selection images.
    correct: how many of them are classified right, None without labels. seconds: what measuring took.
    """

    widths: tuple[int, ...]
    energy: float
    loss: float
    correct: int | None
    seconds: float


@dataclass
class Bench:
    """A float network, its calibration and selection images, and the table that prices its integer networks.

    trial: on the images corrected on, then the selection images; observed, images: the whole calibration.
    labels: int64 of the selection images, or None. uses: tensor with a grid of its own →
    number of the node that first asks for it, in order. edges: the ones of them that only first and last layers read
    where those multiply; settings.edge_bits is their most.
    trunk: widths, and a Passage with them on its way, from which those that differ only later branch off.
    """

    trial: Trial
    calibration: np.ndarray
    labels: np.ndarray | None
    table: EnergyTable
    uses: dict[str, int]
    edges: frozenset[str]
    trunk: tuple[tuple[int, ...], Passage] | None = None

    @property
    def selected(self):
        """How many selection images there are."""
        return len(self.trial.images) - self.trial.count

    def ranges(self, widths, progress=None):
        """(tensor, bits) → (low, high): the searched range of every tensor that adder layers read, at each width."""
        names = set(self.tensors)
        return ranges_by_width(
            self.trial.graph,
            self.trial.observed,
            self.calibration,
            lambda name: widths if name in names else (),
            progress,
            by_regions=self.trial.settings.by_regions,
        )

    def choices(self, widths, ranges):
        """The Choices of bits by tensor, with the ranges found for those widths."""
        named = dict(zip(self.tensors, widths, strict=True))
        return Choices({name: ranges[name, bits] for name, bits in named.items() if (name, bits) in ranges}, named)

    def measure(self, widths, ranges, base=None):
        """The Point of bits by tensor; base: widths that are shared up to the first tensor with other bits.

        What comes before that tensor is kept for the next point with this base.
        """
        started, trial = perf_counter(), self.trial
        done = self.branch(widths, ranges, base or widths).finish()
        outputs = {name: values[trial.count :] for name, values in done.outputs.items()}
        loss = divergence({name: values[trial.count :] for name, values in trial.expected.items()}, outputs)
        spent = network_energy(done.graph, self.table)
        return Point(tuple(widths), spent, float(loss), self.correct(outputs), perf_counter() - started)

    def branch(self, widths, ranges, base):
        """A Passage of bits by tensor, as far as it is that of `base` too."""
        uses = zip(self.uses.values(), widths, base, strict=True)
        first = next((use for use, bits, others in uses if bits != others), None)
        if first is None:
            return self.trial.passage(self.choices(widths, ranges))
        if self.trunk is None or self.trunk[0] != base or self.trunk[1].at > first:
            self.trunk = base, self.trial.passage(self.choices(base, ranges))
        self.trunk[1].advance(first)
        return self.trunk[1].branch(self.choices(widths, ranges))

    @property
    def tensors(self):
        """Names, in topological order, of the tensors that have grids of their own."""
        return tuple(self.uses)

    def correct(self, outputs):
        """How many selection images the first output puts in their class; None without labels or classes."""
        logits = next(iter(outputs.values()))
        if self.labels is None or logits.ndim != 2:
            return None
        return int((logits.argmax(axis=1) == self.labels).sum())

    def float_correct(self):
        """The same of the float network."""
        return self.correct({name: values[self.trial.count :] for name, values in self.trial.expected.items()})

    def uniform(self, bits):
        """The widths of `python -m quant --bits`: those of `edges` have the edges' bits, all others `bits`."""
        edge_bits = self.trial.settings.edge_bits
        return tuple(edge_bits if name in self.edges else bits for name in self.tensors)

    def network(self, widths, ranges):
        """(Graph, its layers) of bits by tensor, corrected on all calibration images: what is written to a file."""
        trial, choices = self.trial, self.choices(widths, ranges)
        if trial.settings.bias_correction:
            found = corrected(trial.graph, trial.observed, self.calibration, trial.settings, choices)
            choices = replace(choices, corrections=found)
        return Lowering(trial.graph, trial.observed, trial.source, trial.settings, choices).run()


def bench(graph, calibration, selection, labels, settings, table, progress=None):
    """The Bench of a FloatGraph; calibration, selection: float32 (N, …); labels: of the selection images, or None.

    progress: called with (images done, in all).
    """
    layers = [node.output for node in graph.nodes if node.op in LAYERS]
    observed, recorded = calibrate_and_record(graph, calibration, layers, progress=progress)
    source, fitted = source_grid(calibration, settings), thinned(np.arange(len(calibration)), CORRECTED_ON)
    expected = {name: [values[fitted]] for name, values in recorded.outputs.items()}
    session = session_of(graph, graph.outputs)
    for at in range(0, len(selection), BATCH):
        for name, values in zip(graph.outputs, run(session, graph, selection[at : at + BATCH]), strict=True):
            expected[name].append(values)
    trial = Trial(
        graph,
        observed,
        source,
        settings,
        np.concatenate([calibration[fitted], selection]),
        len(fitted),
        {name: values[fitted].mean(axis=0) for name, values in recorded.means.items()},
        {name: np.concatenate(parts) for name, parts in expected.items()},
    )
    names = first_uses(graph, observed, source, settings, Choices())
    state = Lowering(graph, observed, source, settings)
    edges = frozenset(name for name in names if state.readers(name) and state.readers(name) <= state.edges)
    return Bench(trial, calibration, labels, table, names, edges)


def network_energy(graph, table):
    """The picojoules an image of an integer Graph: its tally, priced, as adderhw.simulate does."""
    return energy(sum((work.events for work in graph.work()), Tally()), table)
