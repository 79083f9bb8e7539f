"""What the two training commands share: option types, the progress bar over epochs, and their exit codes."""

import contextlib
import dataclasses
import functools
import inspect
import os
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from adderhw.command_line import run_app
from training import parallel
from training.recipe import Recipe

Output = Annotated[Path, typer.Option(help="Folder for the networks, last.pt, epochs.csv; a run found there goes on.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data sets.", envvar="ADDERHW_DATA")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a CUDA device where there is one.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; results depend on it in the last bits.", min=1)]


def recipe_options(*left_out):
    """A decorator: a typer command whose first argument is a dictionary of Recipe's fields, an option for each.

    left_out: fields that the command has its own options for.
    """

    def decorate(command):
        own = list(inspect.signature(command).parameters.values())[1:]
        fields = [field for field in dataclasses.fields(Recipe) if field.name not in left_out]

        @functools.wraps(command)
        def with_options(**given):
            settings = {field.name: given.pop(field.name) for field in fields}
            return command(settings, **given)

        parameters = [*(each for each in own if each.default is each.empty), *map(_option, fields)]
        parameters += [each for each in own if each.default is not each.empty]
        with_options.__signature__ = inspect.Signature(parameters)
        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_options

    return decorate


def _option(field):
    """The parameter of one field of Recipe: its type, its default and its help."""
    annotation = Annotated[field.type, typer.Option(help=field.metadata["help"])]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation)


GOES_ON = {"interrupted": "interrupted; the same command goes on from what OUTPUT holds"}


def run(app, program, **told):
    """Runs a typer app as every command line here; told: as run_app takes it, GOES_ON for commands that train.

    One of several processes leaves without the interpreter's shutdown: in it, gloo's threads aborted a process that
    had done all its work, once in some forty runs.
    """
    try:
        run_app(app, program, **told)
    except SystemExit as done:
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code or 0)


@contextlib.contextmanager
def computing(device, threads):
    """This process's Place on `device`; PyTorch and the adder kernels use `threads` threads, or as many as were set."""
    if threads:
        torch.set_num_threads(threads)
    with parallel.join(device) as place:
        yield place


@contextlib.contextmanager
def epoch_progress(title, epochs, place):
    """What training.loop.train tells its progress to: a bar on stderr, if that is the first process's terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (place.is_first and sys.stderr.isatty())) as bar:
        yield EpochProgress(bar, title, epochs)


class EpochProgress:
    """Moves a progress bar with the batches of a run, and shows its last epoch's figures and its speed."""

    def __init__(self, bar, title, epochs):
        self.bar, self.title, self.task = bar, title, bar.add_task(title, total=epochs)
        self.figures = ""

    def step(self, run, steps):
        """As training.loop.Silence says."""
        self._show(run.epoch + run.steps / steps, f"batch {run.steps}/{steps}")

    def epoch(self, run):
        """As training.loop.Silence says."""
        row = run.history[-1]
        self.figures = f" loss {row['loss']:.3f} validation {row['val_top1']:.1f} %"
        self._show(run.epoch, "")

    def _show(self, completed, place):
        total = self.bar.tasks[0].total
        description = f"{self.title} epoch {min(int(completed) + 1, total)}/{total} {place}{self.figures}"
        self.bar.update(self.task, completed=completed, description=description)
