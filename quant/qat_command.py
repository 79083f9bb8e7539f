"""The command line of quantisation-aware training: python -m quant qat MODEL --data DATASET -o OUTPUT."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from adderhw.command_line import run_app
from adderhw.errors import AdderHwError
from adderhw.files import check_writable
from quant.qat_recipe import DivergedError, QatRecipe
from quant.settings import Settings

PROGRAM = "python -m quant qat"
EXAMPLES = f"""Examples:

  {PROGRAM} adderhw/models/digits.onnx --data digits --bits 3 --epochs 20 -o digits_int3.onnx

  {PROGRAM} ann20.onnx --data cifar10 --bits 4 -o ann20_int4.onnx

  {PROGRAM} runs/ann20/best.pt --data cifar10 --bits 4 --teacher runs/cnn20/best.pt -o ann20_int4.onnx
"""
DEFAULTS, RECIPE = Settings(), QatRecipe("")
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    model: Annotated[Path, typer.Argument(help="Float ONNX file, or a best.pt of python -m training.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Integer ONNX file to write.")],
    data: Annotated[str, typer.Option(help="Data set whose training images teach, such as digits or cifar10.")],
    bits: Annotated[int, typer.Option(help="Width of adder layers and activations, 2 to 16.")] = 4,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = RECIPE.epochs,
    steps: Annotated[int | None, typer.Option(help="Stop after so many batches, if the epochs have more.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="A CNN's best.pt that teaches; without it the float network does.")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Adam's rate at the start, by default 2^-(8 + bits); half a cosine takes it to 0."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = RECIPE.batch_size,
    alpha: Annotated[float, typer.Option(help="Weight of the --teacher's scores beside the labels.")] = RECIPE.alpha,
    beta: Annotated[
        float, typer.Option(help="Weight of the layers' match, where MODEL and --teacher are checkpoints of twins.")
    ] = RECIPE.beta,
    seed: Annotated[int, typer.Option(help="Fixes order and augmentation.")] = RECIPE.seed,
    samples: Annotated[int, typer.Option(help="Calibration images, of the training images.")] = RECIPE.samples,
    limit: Annotated[int | None, typer.Option(help="Use only the first so many training images.")] = None,
    edge_bits: Annotated[
        int, typer.Option(help="Width of the first and the last layer where they multiply, 2 to 16.")
    ] = DEFAULTS.edge_bits,
    multiplier_bits: Annotated[
        int, typer.Option(help="Width of the signed requantisation multiplier, 3 to 24.")
    ] = DEFAULTS.multiplier_bits,
    realisation: Annotated[
        str, typer.Option(help="Hardware of the requantisation: multiplier, shift or shift_add:K.")
    ] = DEFAULTS.realisation,
    rounding: Annotated[
        str, typer.Option(help="Rounding: half_up, floor, half_even or half_away.")
    ] = DEFAULTS.rounding,
    weight_realisation: Annotated[
        str, typer.Option(help="Hardware of layers that multiply by weights: multiplier, shift or shift_add:K.")
    ] = DEFAULTS.weight_realisation,
    multiplication_free: Annotated[
        bool, typer.Option("--multiplication-free", help="Shifts and adds in place of every multiplier.")
    ] = False,
    root: Annotated[Path | None, typer.Option(help="Folder of the data sets.", envvar="ADDERHW_DATA")] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; results depend on it in the last bits.", min=1)
    ] = None,
    save_minutes: Annotated[
        float,
        typer.Option(help="How often the state beside OUTPUT is written, from which a killed run goes on.", min=0),
    ] = 5.0,
) -> None:
    """Train the grids and weights of an integer network, starting from post-training quantisation, and write it.

    The training's forward pass is the integer network, integer by integer. Interrupted, the same command goes on.
    """
    from export.__main__ import check_installed

    check_installed("torch", "onnxscript")
    recipe = QatRecipe(
        data=data, epochs=epochs, steps=steps, seed=seed, lr=lr, batch_size=batch_size, alpha=alpha, beta=beta,
        teacher=None if teacher is None else str(teacher), samples=samples, limit=limit,
    )  # fmt: skip
    settings = Settings(
        bits=bits, edge_bits=edge_bits, multiplier_bits=multiplier_bits, realisation=realisation, rounding=rounding,
        weight_realisation=weight_realisation, multiplication_free=multiplication_free,
    )  # fmt: skip
    if not model.is_file():
        raise AdderHwError(f"{model}: found no such file, expected a float ONNX file or a checkpoint (.pt)")
    check_writable(output)
    import torch

    from export.writer import write_graph
    from quant.qat import SUFFIX, train

    if threads:
        torch.set_num_threads(threads)
    state = output.with_name(output.name + SUFFIX)
    with Bar() as progress:
        options = {"state": state, "root": root, "save_minutes": save_minutes, "progress": progress}
        trained = train(model, recipe, settings, **options)
    write_graph(trained.graph, output)
    state.unlink(missing_ok=True)
    print(f"validation top-1: {trained.before:.2f} % before training, {trained.after:.2f} % after")
    print(f"{output}: written", file=sys.stderr)


class Bar:
    """A bar on stderr, if that is a terminal: what quant.qat.train tells its progress to."""

    def __enter__(self):
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
        self.bar.start()
        self.task = self.bar.add_task("calibration", total=None)
        return self

    def __exit__(self, *error):
        self.bar.stop()

    def calibrated(self, done, total):
        """As quant.qat.Silence says."""
        self.bar.update(self.task, completed=done, total=total)

    def step(self, run, steps):
        """As quant.qat.Silence says."""
        words = f"batch {run.steps}/{steps} loss {run.loss:.3f}"
        self.bar.update(self.task, completed=run.steps, total=steps, description=words)


def main(arguments) -> None:
    """Runs the command; a run that diverged ends with exit code 1."""
    interrupted = "interrupted; the same command goes on from the last saved step"
    run_app(partial(app, arguments), PROGRAM, failures=DivergedError, interrupted=interrupted)
