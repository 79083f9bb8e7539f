"""The training loop: one method on one data set, in epochs that a killed run resumes between, to the same weights."""

import csv
import io
from dataclasses import dataclass, field
from math import cos, isfinite, pi
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from adderhw import datasets
from adderhw.errors import AdderHwError, ModelError
from adderhw.files import write_atomic
from training import checkpoint, networks
from training.data import AUGMENTATION, PREPROCESS, epoch_batches, load_test, load_training
from training.distil import KernelMatch, ResponseRecorder, blended_loss
from training.layers import scale_adder_gradients

BEST, LAST, LOG = "best.pt", "last.pt", "epochs.csv"
LOG_FIELDS = ("epoch", "lr", "loss", "teacher_loss", "val_top1", "teacher_val_top1")
EVALUATION_BATCH = 500


class TrainingDivergedError(AdderHwError):
    """The loss is no longer a finite number."""


@dataclass
class Learner:
    """A network, what it learns with, and what its layers last answered; `match` is the student's L_mid, if any."""

    network: nn.Module
    optimiser: torch.optim.Optimizer | None
    recorder: ResponseRecorder | None = None
    match: KernelMatch | None = None

    def state(self):
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict() if self.optimiser else None,
            "match": self.match.state_dict() if self.match else None,
        }

    def restore(self, state):
        self.network.load_state_dict(state["network"])
        if self.optimiser:
            self.optimiser.load_state_dict(state["optimiser"])
        if self.match:
            self.match.load_state_dict(state["match"])


@dataclass
class Run:
    """A training run between two epochs: the learners, and one row of LOG_FIELDS for each epoch done."""

    recipe: object
    student: Learner
    teacher: Learner | None
    history: list[dict] = field(default_factory=list)

    @property
    def learners(self):
        return [learner for learner in (self.student, self.teacher) if learner]

    @property
    def epoch(self):
        """How many epochs are done."""
        return len(self.history)

    def is_best(self):
        """Whether the last epoch's validation accuracy is the highest; of equals the latest, with the lowest rate."""
        return self.history[-1]["val_top1"] >= max(row["val_top1"] for row in self.history)


def train(recipe, output, *, root=None, report=lambda epoch, row: None):
    """Train `recipe` to its last epoch in the folder `output`; returns the metrics that best.pt carries.

    Where the folder holds a last.pt of the same recipe the run goes on from there; since all that is random in an
    epoch is drawn from (seed, epoch), it ends with the weights of a run that was never interrupted.
    After each epoch best.pt (the student with the best validation accuracy), last.pt and epochs.csv are written
    whole. The test images are looked at once, at the end. report(epoch, row) is called after each epoch.
    Raises AdderHwError for a folder with another recipe's run, TrainingDivergedError, and what loading data raises.
    """
    output = Path(output)
    training, validation = load_training(recipe.data, limit=recipe.limit, root=root)
    test = load_test(recipe.data, root=root)
    _make_folder(output)
    run = start(recipe, training)
    resume(run, output)
    while run.epoch < recipe.epochs:
        run.history.append(train_epoch(run, training, validation))
        save(run, output, training)
        report(run.epoch, run.history[-1])
    return _add_test_accuracy(output / BEST, test)


def start(recipe, data):
    """The Run before its first epoch: networks drawn from the seed, the student first, so that all methods share it."""
    torch.manual_seed(recipe.seed)
    student = networks.build(recipe.model, recipe.kind, **_sizes(recipe, data))
    if not recipe.distils:
        return Run(recipe, Learner(student, _optimiser(recipe, student)), None)
    teacher = _teacher(recipe, data)
    match = KernelMatch(student) if recipe.method == "pkkd" else None
    recorders = [ResponseRecorder(network) if match else None for network in (student, teacher.network)]
    teacher.recorder = recorders[1]
    return Run(recipe, Learner(student, _optimiser(recipe, student, match), recorders[0], match), teacher)


def resume(run, output):
    """Bring `run` to where the folder's last.pt left it, if there is one."""
    path = output / LAST
    if not path.exists():
        return
    content = checkpoint.read(path, checkpoint.RUN_FORMAT)
    found, expected = content["recipe"], run.recipe.as_dict()
    if found != expected:
        name = next(key for key in expected if found.get(key) != expected[key])
        raise AdderHwError(
            f"{path}: found a run with {name} {found.get(name)!r}, expected {expected[name]!r}; "
            "name another output folder or remove this one"
        )
    for learner, state in zip(run.learners, content["learners"], strict=True):
        learner.restore(state)
    run.history.extend(content["history"])


def train_epoch(run, training, validation):
    """One pass over `training` in batches drawn from (seed, epoch); returns the epoch's row of LOG_FIELDS."""
    recipe = run.recipe
    lr = recipe.lr * (1 + cos(pi * run.epoch / recipe.epochs)) / 2
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + run.epoch)
    preprocess = PREPROCESS[recipe.data]
    for learner in run.learners:
        learner.network.train(learner.optimiser is not None)
        for group in learner.optimiser.param_groups if learner.optimiser else ():
            group["lr"] = lr
    totals = {"loss": 0.0, "teacher_loss": 0.0}
    for batch in epoch_batches(training, recipe.batch_size, AUGMENTATION[recipe.data], generator):
        losses = train_batch(run, preprocess(batch.images), batch.labels)
        totals = {name: total + losses[name] * len(batch) / len(training) for name, total in totals.items()}
        if not isfinite(losses["loss"]):
            raise TrainingDivergedError(
                f"epoch {run.epoch + 1}: found a loss of {losses['loss']}, expected a finite number"
            )
    accuracies = [top1(learner.network, validation, preprocess) for learner in run.learners]
    student, teacher = accuracies if run.teacher else (accuracies[0], None)
    return {"epoch": run.epoch + 1, "lr": lr, **totals, "val_top1": student, "teacher_val_top1": teacher}


def train_batch(run, images, labels):
    """One step of each learner from the weights both had before the batch; returns {'loss', 'teacher_loss'}.

    The teacher answers once: its own cross-entropy steps it, and its detached answers teach the student (Xu 2020,
    section 3). A fixed teacher only answers.
    """
    teacher, teacher_scores, teacher_loss = run.teacher, None, 0.0
    if teacher:
        with torch.set_grad_enabled(teacher.optimiser is not None):
            teacher_scores = teacher.network(images)
        if teacher.optimiser:
            teacher_loss = _step(teacher, functional.cross_entropy(teacher_scores, labels), run.recipe.eta)
    loss = student_loss(run, run.student.network(images), labels, teacher_scores)
    return {"loss": _step(run.student, loss, run.recipe.eta), "teacher_loss": teacher_loss}


def student_loss(run, scores, labels, teacher_scores):
    """Cross-entropy; with a teacher L_blend; with PKKD L = β·L_mid + L_blend (Xu 2020, section 3)."""
    if not run.teacher:
        return functional.cross_entropy(scores, labels)
    loss = blended_loss(scores, labels, teacher_scores, run.recipe.alpha)
    if run.student.match:
        middle = run.student.match(run.student.recorder.responses, run.teacher.recorder.responses)
        loss = loss + run.recipe.beta * middle
    return loss


@torch.no_grad()
def top1(network, data, preprocess):
    """The share, in percent, of images whose highest score is that of their label; sets evaluation mode."""
    network.eval()
    correct = 0
    for first in range(0, len(data), EVALUATION_BATCH):
        batch = data[first : first + EVALUATION_BATCH]
        correct += int((network(preprocess(batch.images)).argmax(1) == batch.labels).sum())
    return 100.0 * correct / len(data)


def save(run, output, data):
    """Write best.pt if this epoch is the best, then last.pt and the log; killed in between, the epoch is redone."""
    if run.is_best():
        row = run.history[-1]
        _write_best(run, output / BEST, data, {"val_top1": row["val_top1"], "epoch": row["epoch"]})
    content = {
        "recipe": run.recipe.as_dict(),
        "learners": [learner.state() for learner in run.learners],
        "history": run.history,
    }
    checkpoint.write(output / LAST, checkpoint.RUN_FORMAT, content)
    write_atomic(output / LOG, _csv(run.history))


def _step(learner, loss, eta):
    learner.optimiser.zero_grad()
    loss.backward()
    scale_adder_gradients(learner.network, eta)
    learner.optimiser.step()
    return loss.item()


def _teacher(recipe, data):
    """The student's CNN twin: new and learning, or read from the recipe's checkpoint and fixed."""
    if not recipe.teacher:
        network = networks.build(recipe.model, "cnn", **_sizes(recipe, data))
        return Learner(network, _optimiser(recipe, network))
    network, metadata = checkpoint.load_network(recipe.teacher)
    expected = {"name": recipe.model, "kind": "cnn", **_sizes(recipe, data)}
    if metadata["network"] != expected or metadata["preprocess"]["dataset"] != recipe.data:
        found = f"{metadata['network']} on {metadata['preprocess']['dataset']}"
        raise ModelError(f"{recipe.teacher}: found {found}, expected {expected} on {recipe.data}")
    return Learner(network.requires_grad_(False), None)


def _optimiser(recipe, network, match=None):
    """SGD with momentum; weight decay for the network's parameters, none for the σ and ρ of the match."""
    groups = [{"params": list(network.parameters()), "weight_decay": recipe.weight_decay}]
    if match:
        groups.append({"params": list(match.parameters()), "weight_decay": 0.0})
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)


def _sizes(recipe, data):
    return {"classes": len(datasets.classes(recipe.data)), "in_channels": data.images.shape[1]}


def _write_best(run, path, data, metrics):
    checkpoint.write_network(
        path,
        run.student.network,
        description={"name": run.recipe.model, "kind": run.recipe.kind, **_sizes(run.recipe, data)},
        preprocess=PREPROCESS[run.recipe.data],
        dataset=run.recipe.data,
        input_shape=data.images.shape[1:],
        training=run.recipe.as_dict(),
        metrics=metrics,
    )


def _add_test_accuracy(path, test):
    """Look at the test images with the chosen weights, and write the figure into best.pt."""
    content = checkpoint.read(path, checkpoint.FORMAT)
    network, metadata = checkpoint.load_network(path)
    metrics = {**metadata["metrics"], "test_top1": top1(network, test, PREPROCESS[metadata["preprocess"]["dataset"]])}
    checkpoint.write(path, checkpoint.FORMAT, {**content, "metrics": metrics})
    return metrics


def _make_folder(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AdderHwError(f"{path}: cannot make the output folder: {error.strerror}") from error


def _csv(history):
    text = io.StringIO()
    writer = csv.DictWriter(text, LOG_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
