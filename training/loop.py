"""The training loop: epochs of one recipe, judged on validation images; killed, a run resumes to the same weights."""

import csv
import io
import time
from itertools import islice
from math import cos, isfinite, pi
from pathlib import Path

import torch

from adderhw.errors import AdderHwError, RunError
from adderhw.files import write_atomic
from training import checkpoint
from training.batch_norms import BATCHES, measure_batch_norms
from training.data import load_test, load_training
from training.learners import start, train_batch
from training.logs import open_log
from training.parallel import Place
from training.recipe import Recipe

BEST, TEACHER, LAST, LOG = "best.pt", "teacher.pt", "last.pt", "epochs.csv"
LOG_FIELDS = ("epoch", "lr", "loss", "teacher_loss", "match", "val_top1", "teacher_val_top1")
EVALUATION_BATCH = 500


class TrainingDivergedError(RunError):
    """The loss is no longer a finite number."""


class Silence:
    """What a run tells of its progress, told to nobody; the command lines hand in a progress bar of this shape."""

    def step(self, run, steps):
        """`run.steps` of the `steps` batches of the epoch under way are done."""

    def epoch(self, run):
        """The epoch whose row is the last of `run.history` is done and saved."""


def train(recipe, output, *, root=None, place=None, save_minutes=10.0, tensorboard=False, progress=None):
    """Train `recipe` to its last epoch in the folder `output`; returns the metrics that best.pt carries.

    Where the folder holds a last.pt of the same recipe the run goes on from there; since all that is random in an
    epoch is drawn from (seed, epoch), on a CPU it ends with the weights of a run that was never interrupted.
    After each epoch best.pt (the student with the best validation accuracy), teacher.pt (the same of a teacher that
    learns), last.pt and epochs.csv are written whole; inside an epoch last.pt every `save_minutes`. The test images are
    looked at once, at the end.
    place: this process's part of the work (parallel.join); only the first process touches the folder.
    tensorboard: write its events to `output`/tensorboard too. progress: an object like Silence.
    Raises AdderHwError for a folder with another recipe's run, TrainingDivergedError, and what loading data raises.
    """
    output, place, progress = Path(output), place or Place(), progress or Silence()
    training, validation = (part.to(place.device) for part in load_training(recipe.data, limit=recipe.limit, root=root))
    test = load_test(recipe.data, root=root).to(place.device)
    run = start(recipe, training, place)
    resume(run, output)
    with open_log(output, run, tensorboard) as log:
        while run.epoch < recipe.epochs:
            row = train_epoch(run, training, validation, _saver(run, output, save_minutes), progress)
            run.history.append(row)
            save(run, output, training)
            log(row)
            progress.epoch(run)
    return _test(run, output / BEST, test)


def resume(run, output):
    """Bring `run` to where the folder's last.pt left it, if there is one; the folder is made."""
    content = None
    if run.place.is_first:
        _make_folder(output)
        content = _read_last(run.recipe, output / LAST)
    content = run.place.from_first(content)
    if content:
        for learner, state in zip(run.learners, content["learners"], strict=True):
            learner.restore(state)
        run.history.extend(content["history"])
        run.steps, run.losses = content["steps"], content["losses"].to(run.place.device)


def train_epoch(run, training, validation, after_step=lambda: None, progress=None):
    """The rest of one pass over `training`, in batches drawn from (seed, epoch); returns its row of LOG_FIELDS.

    Before learners are judged, their batch norms are measured anew on the epoch's first batches (batch_norms.py).
    """
    recipe, place, progress = run.recipe, run.place, progress or Silence()
    lr = learning_rate(recipe, run.epoch)
    if not run.steps:
        run.losses = torch.zeros(3, dtype=torch.float64, device=place.device)
    for learner in run.learners:
        learner.network.train(learner.optimiser is not None)
        for group in learner.optimiser.param_groups if learner.optimiser else ():
            group["lr"] = lr
    drawn = {"seed": recipe.seed, "epoch": run.epoch, "start": run.steps}
    steps = -(-len(training) // recipe.batch_size)
    for batch in training.epoch_batches(recipe.batch_size, **drawn, **_share(place)):
        losses = train_batch(run, batch)
        place.sum([losses])
        run.losses += losses
        run.steps += 1
        progress.step(run, steps)
        after_step()
    loss, teacher_loss, match = (run.losses / len(training)).tolist()
    run.steps = 0
    if not isfinite(loss):
        raise TrainingDivergedError(f"epoch {run.epoch + 1}: found a loss of {loss}, expected a finite number")
    for learner in run.learners:
        if learner.optimiser:
            batches = training.epoch_batches(recipe.batch_size, seed=recipe.seed, epoch=run.epoch, **_share(place))
            measure_batch_norms(learner.judged, islice(batches, BATCHES))
    accuracies = [top1(learner.judged, validation, place) for learner in run.learners]
    return {
        "epoch": run.epoch + 1,
        "lr": lr,
        "loss": loss,
        "teacher_loss": teacher_loss if run.teacher else None,
        "match": match if run.student.match else None,
        "val_top1": accuracies[0],
        "teacher_val_top1": accuracies[1] if run.teacher else None,
    }


def learning_rate(recipe, epoch):
    """The rate of epoch 0, 1, …: equal steps up to lr over the warm-up, then half a cosine down to 0 at the end."""
    if epoch < recipe.warmup:
        return recipe.lr * (epoch + 1) / (recipe.warmup + 1)
    return recipe.lr * (1 + cos(pi * (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup))) / 2


def top1(network, data, place=None, batch_size=EVALUATION_BATCH):
    """The share, in percent, of images whose highest score is that of their label; sets evaluation mode."""
    return 100.0 * right_together([network], [data], place, batch_size)[0][0] / len(data)


@torch.no_grad()
def right_together(networks, sets, place=None, batch_size=EVALUATION_BATCH):
    """Of K networks and as many LabelledImages of the same images: K lists of K ints, the images that both put right.

    On the diagonal stands how many images a network classifies right; sets evaluation mode.
    """
    place = place or Place()
    for network in networks:
        network.eval()
    count = torch.zeros(len(networks), len(networks), dtype=torch.float64, device=place.device)
    for batches in zip(*(data.batches_in_order(batch_size, **_share(place)) for data in sets), strict=True):
        scores = [network(batch.images) for network, batch in zip(networks, batches, strict=True)]
        right = torch.stack([each.argmax(1) == batch.labels for each, batch in zip(scores, batches, strict=True)])
        count += right.double() @ right.double().T
    place.sum([count])
    return [[int(each) for each in row] for row in count.tolist()]


def save(run, output, data):
    """Write best.pt if this epoch is the best, teacher.pt if it is that of a teacher that learns, last.pt and the log.

    Killed in between, the epoch is redone.
    """
    if not run.place.is_first:
        return
    if run.is_best("val_top1"):
        _write_network(run, output / BEST, run.student.judged, run.recipe.kind, data, "val_top1")
    if run.teacher and run.teacher.optimiser and run.is_best("teacher_val_top1"):
        _write_network(run, output / TEACHER, run.teacher.judged, "cnn", data, "teacher_val_top1")
    _write_last(run, output / LAST)
    write_atomic(output / LOG, _csv(run.history))


def _saver(run, output, minutes):
    """What to call after each step: writes last.pt when the last one is `minutes` old."""
    last = time.monotonic()

    def save_now_and_then():
        nonlocal last
        if run.place.is_first and time.monotonic() - last >= 60 * minutes:
            _write_last(run, output / LAST)
            last = time.monotonic()

    return save_now_and_then


def _share(place):
    return {"rank": place.rank, "world": place.world}


def recipe_of(folder):
    """The Recipe of the run in a folder; raises ModelError where it holds no last.pt of a run."""
    content = checkpoint.read(Path(folder) / LAST, checkpoint.RUN_FORMAT)
    return Recipe(**{**Recipe().as_dict(), **content["recipe"]})


def _read_last(recipe, path):
    if not path.exists():
        return None
    content = checkpoint.read(path, checkpoint.RUN_FORMAT)
    found, expected = {**Recipe().as_dict(), **content["recipe"]}, recipe.as_dict()
    if found != expected:
        name = next(key for key in expected if found[key] != expected[key])
        raise AdderHwError(
            f"{path}: found a run with {name} {found[name]!r}, expected {expected[name]!r}; "
            "name another output folder or remove this one"
        )
    return content


def _write_last(run, path):
    content = {
        "recipe": run.recipe.as_dict(),
        "learners": [learner.state() for learner in run.learners],
        "history": run.history,
        "steps": run.steps,
        "losses": run.losses,
    }
    checkpoint.write(path, checkpoint.RUN_FORMAT, content)


def _write_network(run, path, network, kind, data, figure):
    row = run.history[-1]
    checkpoint.write_network(
        path,
        network,
        description={
            "name": run.recipe.model,
            "kind": kind,
            "classes": data.classes,
            "in_channels": data.input_shape[0],
        },
        preprocess=data.preprocess,
        dataset=run.recipe.data,
        input_shape=data.input_shape,
        training=run.recipe.as_dict(),
        metrics={"val_top1": row[figure], "epoch": row["epoch"]},
    )


def _test(run, path, test):
    """Look at the test images with the chosen weights, and write the figure into best.pt."""
    place = run.place
    content = place.from_first(checkpoint.read(path, checkpoint.FORMAT) if place.is_first else None)
    network = checkpoint.network_of(content, path).to(place.device)
    metrics = {**content["metrics"], "test_top1": top1(network, test, place)}
    if place.is_first:
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
