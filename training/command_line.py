"""What the two training commands share: option types, the progress bar over epochs, and their exit codes."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adderhw.command_line import run_app
from training.data import PREPROCESS
from training.loop import TrainingDivergedError
from training.networks import ARCHITECTURES

Model = Annotated[str, typer.Option(help=f"Network: {', '.join(ARCHITECTURES)}.")]
Data = Annotated[str, typer.Option(help=f"Data set: {', '.join(PREPROCESS)}.")]
Output = Annotated[Path, typer.Option(help="Folder for best.pt, last.pt and epochs.csv; a run found there goes on.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training images.")]
Alpha = Annotated[float, typer.Option(help="Weight of the teacher's scores in the loss (kd, pkkd).")]
Beta = Annotated[float, typer.Option(help="Weight of the intermediate layers' match in the loss (pkkd).")]
Rate = Annotated[float, typer.Option(help="Learning rate at the start of the cosine schedule.")]
BatchSize = Annotated[int, typer.Option(help="Images per step.")]
WeightDecay = Annotated[float, typer.Option(help="L2 penalty on every weight of the networks.")]
Eta = Annotated[float, typer.Option(help="Adaptive learning rate of the adder layers.")]
Limit = Annotated[int | None, typer.Option(help="Use only the first so many training images.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data sets.", envvar="ADDERHW_DATA")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; results depend on it in the last bits.", min=1)]


def run(app, program):
    """Runs a typer app as every command line here; a run that diverged ends with exit code 1."""
    interrupted = "interrupted; the same command goes on from the last whole epoch"
    run_app(app, program, failures=TrainingDivergedError, interrupted=interrupted)


def set_threads(threads):
    """Let PyTorch and the adder kernels use `threads` threads; None leaves the number as it is."""
    if threads:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def epoch_progress(title, epochs):
    """A progress bar on stderr if that is a terminal; gives report(epoch, row) for training.loop.train."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=epochs)

        def report(epoch, row):
            description = f"{title} loss {row['loss']:.3f} validation {row['val_top1']:.1f} %"
            progress.update(task, completed=epoch, description=description)

        yield report
