"""What learns in a run: the student, its teacher if it has one, and one step of both on a batch."""

import copy
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from adderhw.errors import ModelError
from training import checkpoint, networks
from training.distil import MATCHES, ResponseRecorder, blended_loss
from training.layers import scale_adder_gradients
from training.parallel import Place, share_batch_norm


@dataclass
class Learner:
    """A network and what it learns with.

    recorder: keeps what its layers last answered; match: the student's distance from its
    teacher's layers; average: a second network that holds
    the exponential moving average of this one's weights and is what gets judged and written. None where unused.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer | None
    recorder: ResponseRecorder | None = None
    match: nn.Module | None = None
    average: nn.Module | None = None

    @property
    def judged(self):
        """The network whose accuracy counts."""
        return self.average or self.network

    def state(self):
        """Everything that training changes, as plain dictionaries of tensors."""
        return {name: part.state_dict() if part else None for name, part in self._parts().items()}

    def restore(self, state):
        """Take over what `state` gave, also from another device."""
        for name, part in self._parts().items():
            if part:
                part.load_state_dict(state[name])

    def _parts(self):
        return {name: getattr(self, name) for name in ("network", "optimiser", "match", "average")}


@dataclass
class Run:
    """A training run: the learners, where they compute, and how far they are.

    history: one row of loop.LOG_FIELDS for each epoch done. steps, losses: the batches done of the epoch under way,
    and the sums over its images of the losses (student's, teacher's, match), float64 on the run's device.
    """

    recipe: object
    student: Learner
    teacher: Learner | None
    place: Place = field(default_factory=Place)
    history: list[dict] = field(default_factory=list)
    steps: int = 0
    losses: torch.Tensor | None = None

    @property
    def learners(self):
        return [learner for learner in (self.student, self.teacher) if learner]

    @property
    def epoch(self):
        """How many epochs are done."""
        return len(self.history)

    def is_best(self, figure):
        """Whether the last epoch's `figure`, a field of rows, is the highest; of equals the latest, of lowest rate."""
        return self.history[-1][figure] >= max(row[figure] for row in self.history)


def start(recipe, data, place=None):
    """The Run before its first epoch: networks drawn from the seed, the student first, so that all methods share it.

    data: what load_training gives, for its sizes. place: where to compute; the CPU, alone, if None.
    """
    place = place or Place()
    torch.manual_seed(recipe.seed)
    student = networks.build(recipe.model, recipe.kind, **_sizes(data))
    if not recipe.distils:
        return _settled(Run(recipe, Learner(student, None), None, place))
    teacher = _teacher(recipe, data)
    match = MATCHES[recipe.method](student, teacher.network, recipe) if recipe.method in MATCHES else None
    return _settled(Run(recipe, Learner(student, None, match=match), teacher, place))


def train_batch(run, batch):
    """One step of each learner from the weights both had before the batch.

    The teacher answers once: its own cross-entropy steps it, and its detached answers teach the student (Xu 2020,
    section 3). A fixed teacher only answers. Returns the sums over this process's images of the student's loss, the
    teacher's and the match, float64 (3,) on the run's device, without waiting for that device.
    """
    teacher, teacher_scores = run.teacher, None
    teacher_loss = match = torch.zeros((), device=run.place.device)
    if teacher:
        with torch.set_grad_enabled(teacher.optimiser is not None), _precision(run):
            teacher_scores = teacher.network(batch.images)
        if teacher.optimiser:
            teacher_loss = _mean_over_batch(functional.cross_entropy, teacher_scores, batch.labels)
            _step(run, teacher, teacher_loss, batch)
    with _precision(run):
        scores = run.student.network(batch.images)
        if run.student.match and len(batch):
            match = run.student.match(run.student.recorder.responses, run.teacher.recorder.responses)
        loss = _mean_over_batch(lambda *pair: student_loss(run, *pair, teacher_scores, match), scores, batch.labels)
    _step(run, run.student, loss, batch)
    return torch.stack([loss.detach(), teacher_loss.detach(), match.detach()]).double() * len(batch)


def student_loss(run, scores, labels, teacher_scores, match):
    """Cross-entropy, or L_blend where the teacher's scores count, plus β times the match (Xu 2020, section 3)."""
    if run.recipe.blends:
        loss = blended_loss(scores, labels, teacher_scores, run.recipe.alpha)
    else:
        loss = functional.cross_entropy(scores, labels)
    return loss + run.recipe.beta * match if run.student.match else loss


def _settled(run):
    """Move the learners to the run's device, then give those that learn an optimiser, records and an average."""
    place, recipe = run.place, run.recipe
    for learner in run.learners:
        if place.world > 1:
            share_batch_norm(learner.network)
        learner.network.to(place.device)
        if learner.match:
            learner.match.to(place.device)
        if recipe.ema and learner is run.student:
            learner.average = copy.deepcopy(learner.network).requires_grad_(False)
        if run.student.match:
            learner.recorder = ResponseRecorder(learner.network, run.student.match.watched)
        if any(parameter.requires_grad for parameter in learner.network.parameters()):
            learner.optimiser = _optimiser(recipe, learner)
    return run


def _mean_over_batch(loss, scores, labels):
    """loss(scores, labels); without an image of this batch a zero, whose way back meets the others' batch norms."""
    return loss(scores, labels) if len(labels) else scores.sum()


def _step(run, learner, loss, batch):
    """Gradients of the mean loss over the whole batch, of all processes, then AdderNet's rate, then the step."""
    learner.optimiser.zero_grad()
    (loss * (len(batch) / batch.total)).backward()
    run.place.sum(_gradients(learner))
    scale_adder_gradients(learner.network, run.recipe.eta)
    learner.optimiser.step()
    if learner.average:
        _follow(learner, run.recipe.ema)


@torch.no_grad()
def _follow(learner, decay):
    """Move the average's weights and batch statistics to decay·average + (1 − decay)·network."""
    pairs = list(zip(learner.average.state_dict().values(), learner.network.state_dict().values(), strict=True))
    averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    torch._foreach_lerp_(averages, values, 1 - decay)
    for average, value in pairs:
        if not average.is_floating_point():
            average.copy_(value)


def _gradients(learner):
    """The gradient of every parameter, 0 where this process's part of the batch gave none."""
    parameters = [parameter for group in learner.optimiser.param_groups for parameter in group["params"]]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return [parameter.grad for parameter in parameters]


def _precision(run):
    """The context of forward passes: with 'bfloat16', PyTorch's autocast; adder layers always sum in float32."""
    return torch.autocast(run.place.device.type, torch.bfloat16, enabled=run.recipe.precision == "bfloat16")


def _teacher(recipe, data):
    """The student's CNN twin: new and learning, or read from the recipe's checkpoint and fixed."""
    if not recipe.teacher:
        return Learner(networks.build(recipe.model, "cnn", **_sizes(data)), None)
    network, metadata = checkpoint.load_network(recipe.teacher)
    expected = {"name": recipe.model, "kind": "cnn", **_sizes(data)}
    if metadata["network"] != expected or metadata["preprocess"]["dataset"] != recipe.data:
        found = f"{metadata['network']} on {metadata['preprocess']['dataset']}"
        raise ModelError(f"{recipe.teacher}: found {found}, expected {expected} on {recipe.data}")
    return Learner(network.requires_grad_(False), None)


def _optimiser(recipe, learner):
    """SGD with momentum; weight decay for the network's parameters, none for the σ and ρ of the match."""
    groups = [{"params": list(learner.network.parameters()), "weight_decay": recipe.weight_decay}]
    if learner.match and (matched := [each for each in learner.match.parameters() if each.requires_grad]):
        groups.append({"params": matched, "weight_decay": 0.0})
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)


def _sizes(data):
    return {"classes": data.classes, "in_channels": data.input_shape[0]}
