"""Quantisation-aware training: post-training quantisation, then the grids and all weights learn on training images."""

import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from math import cos, isfinite, pi
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from adderhw.errors import AdderHwError, DataError
from adderhw.files import file_digest
from adderhw.graph import Graph
from adderhw.plan import Plan
from adderhw.samples import normalisation
from quant.float_graph import FloatGraph, read_float_graph
from quant.qat_network import FakeQuantised, start_of
from quant.qat_rates import units
from quant.qat_recipe import DivergedError, QatRecipe
from quant.qat_state import read_state, write_state
from quant.qat_teacher import FloatTeacher, Teacher, teacher_of
from quant.settings import Settings

EVALUATION_BATCH = 500
MOMENTUM = 0.1  # of the batch norms' statistics at the start, PyTorch's default; it falls with the rate
MATCH_UNIT = 1.0  # of the parameters of PKKD's match, which lie on no grid and are of the order of 1
SUFFIX = ".qat.pt"  # of the file beside the output from which an interrupted run goes on


class Trained(NamedTuple):
    """The integer Graph, and its top-1 in percent on the validation images, by the simulator, before and after."""

    graph: Graph
    before: float
    after: float


class Silence:
    """What a run tells of its progress, told to nobody; the command line hands in a progress bar of this shape."""

    def calibrated(self, done, total):
        """`done` of `total` images, tensors or layers of the post-training quantisation are done."""

    def step(self, run, steps):
        """`run.steps` of `steps` batches are done."""


@dataclass
class Run:
    """A training under way. steps: batches done; loss: the mean of the last ones; before: top-1 at the start."""

    recipe: QatRecipe
    network: FakeQuantised
    teacher: FloatTeacher | Teacher
    optimiser: torch.optim.Optimizer
    before: float = 0.0
    steps: int = 0
    loss: float = field(default=float("nan"))

    def state(self):
        """All that training changes, as plain types and tensors."""
        return {
            "parameters": {name: each.detach() for name, each in self.network.parameters.items()},
            "statistics": dict(self.network.statistics),
            "optimiser": self.optimiser.state_dict(),
            "match": self.teacher.match.state_dict() if self.teacher.match else None,
            "numbers": [self.before, self.steps, self.loss],
        }

    def restore(self, state):
        """Takes over what `state` gave."""
        with torch.no_grad():
            for kind in ("parameters", "statistics"):
                for name, each in getattr(self.network, kind).items():
                    each.copy_(state[kind][name])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.teacher.match:
            self.teacher.match.load_state_dict(state["match"])
        self.before, self.steps, self.loss = state["numbers"]


def train(model, recipe, settings=Settings(), *, state=None, root=None, save_minutes=5.0, progress=None):  # noqa: B008
    """The Trained integer network of a float model.

    model: path of a float ONNX file, or of a checkpoint of python -m training (.pt), which is exported. recipe:
    QatRecipe; settings: Settings. state: a file that is written every `save_minutes`, and from which an interrupted run
    of the same arguments goes on; the caller removes it. root: the folder of data sets. progress: as Silence.
    Raises ModelError, DataError and AdderHwError for what cannot be read or does not fit, DivergedError.
    """
    if settings.filter_groups > 1:
        raise AdderHwError(f"filter groups: found {settings.filter_groups} with training, expected 1")
    progress = progress or Silence()
    graph = read_model(model)
    training, validation = load(graph, recipe, root)
    identity = {"model": file_digest(model), "settings": asdict(settings), "recipe": recipe.as_dict()}
    found = read_state(state, identity) if state else None
    start = found[0] if found else calibrated(graph, training, recipe, settings, progress.calibrated)
    run = begin(model, graph, start, recipe)
    if found:
        run.restore(found[1])
    else:
        run.before = top1(run.network.integer_graph(), validation)
    train_steps(run, training, progress, saver(run, state, identity, save_minutes))
    result = run.network.integer_graph(recipe.as_dict())
    return Trained(result, run.before, top1(result, validation))


def read_model(path) -> FloatGraph:
    """The FloatGraph of an ONNX file, or of a checkpoint (.pt), exported in a folder that does not stay."""
    if Path(path).suffix != ".pt":
        return read_float_graph(path)
    from export.from_torch import export_module
    from training.checkpoint import load_network

    module, metadata = load_network(path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.onnx"
        export_module(module, torch.zeros(1, *metadata["input_shape"]), file, metadata=metadata)
        return read_float_graph(file)


def load(graph, recipe, root):
    """(training, validation) LabelledImages, as the model takes them; raises DataError where they do not fit."""
    from training.data import Preprocess, load_training

    parts = load_training(recipe.data, limit=recipe.limit, root=root)
    tensor = graph.inputs[0]
    if tensor.shape[1:] != parts[0].input_shape:
        found, expected = list(parts[0].input_shape), list(tensor.shape[1:])
        raise DataError(f"data {recipe.data!r} for input {tensor.name!r}: found images {found}, expected {expected}")
    channels = tensor.shape[1]
    mean, std = (np.broadcast_to(each.reshape(-1), (channels,)).tolist() for each in normalisation(graph, channels))
    return tuple(replace(part, preprocess=Preprocess(tuple(mean), tuple(std))) for part in parts)


def calibrated(graph, training, recipe, settings, progress):
    """The Start, by `samples` training images spread evenly."""
    chosen = training[torch.linspace(0, len(training) - 1, min(recipe.samples, len(training))).long()]
    images = [batch.images.contiguous().numpy() for batch in chosen.batches_in_order(EVALUATION_BATCH)]
    return start_of(graph, np.concatenate(images), settings, progress)


def begin(model, graph, start, recipe):
    """The Run before its first step."""
    network, teacher = FakeQuantised(graph, start), teacher_of(model, graph, recipe)
    unit_of = units(network.graph, start)
    groups = [{"params": [each], "unit": unit_of[name]} for name, each in network.parameters.items()]
    matching = [each for each in teacher.match.parameters() if each.requires_grad] if teacher.match else []
    groups += [{"params": [each], "unit": MATCH_UNIT} for each in matching]
    return Run(recipe, network, teacher, torch.optim.Adam(groups))


def train_steps(run, training, progress=None, after_step=lambda: None):
    """The rest of the training, in batches drawn from (seed, epoch)."""
    recipe, progress = run.recipe, progress or Silence()
    in_epoch = -(-len(training) // recipe.batch_size)
    steps = min(recipe.epochs * in_epoch, recipe.steps or recipe.epochs * in_epoch)
    while run.steps < steps:
        epoch, first = divmod(run.steps, in_epoch)
        for batch in training.epoch_batches(recipe.batch_size, seed=recipe.seed, epoch=epoch, start=first):
            step(run, batch, (1 + cos(pi * run.steps / steps)) / 2)
            progress.step(run, steps)
            after_step()
            if run.steps == steps:
                break


def step(run, batch, share):
    """One step of Adam on a Batch at a `share` of the rate; returns the loss before it.

    Raises DivergedError where the loss is not finite.
    """
    for group in run.optimiser.param_groups:
        group["lr"] = share * run.recipe.lr * group["unit"]
    run.optimiser.zero_grad()
    answer = run.teacher.answer(batch.images)
    scores, lowering = run.network.forward(batch.images, run.teacher.watched, normalises=True)
    loss = run.teacher.loss(scores, batch.labels, answer, lowering)
    found = loss.item()
    if not isfinite(found):
        raise DivergedError(f"step {run.steps + 1}: found a loss of {found}, expected a finite number (lower --lr)")
    loss.backward()
    run.optimiser.step()
    run.network.track(lowering, share * MOMENTUM)
    run.loss = found if run.steps == 0 else 0.98 * run.loss + 0.02 * found
    run.steps += 1
    return found


def saver(run, path, identity, minutes):
    """What to call after each step: writes the state when the last one is `minutes` old."""
    last = time.monotonic()

    def save_now_and_then():
        nonlocal last
        if path and time.monotonic() - last >= 60 * minutes:
            write_state(path, identity, run.network.start, run.state())
            last = time.monotonic()

    return save_now_and_then


def top1(graph, data):
    """The share, in percent, of LabelledImages that the simulator puts in their class with an integer Graph."""
    plan, correct = Plan(graph, threads=torch.get_num_threads()), 0
    for batch in data.batches_in_order(EVALUATION_BATCH):
        scores = plan.run({graph.inputs[0].name: batch.images.contiguous().numpy()})[graph.outputs[0]]
        correct += int((scores.argmax(axis=1) == batch.labels.numpy()).sum())
    return 100 * correct / len(data)
