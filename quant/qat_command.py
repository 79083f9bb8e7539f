"""The command line of quantisation-aware training: python -m quant qat MODEL --data DATASET -o OUTPUT."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from adderhw.command_line import progress_bar, run_app
from adderhw.errors import AdderHwError
from adderhw.files import check_writable
from quant import options
from quant.options import DEFAULTS
from quant.qat_recipe import QatRecipe
from quant.settings import Settings

PROGRAM = "python -m quant qat"
EXAMPLES = f"""Examples:

  {PROGRAM} adderhw/models/digits.onnx --data digits --bits 3 --epochs 20 -o digits_int3.onnx

  {PROGRAM} ann20.onnx --data cifar10 --bits 4 -o ann20_int4.onnx

  {PROGRAM} runs/ann20/best.pt --data cifar10 --bits 4 --teacher runs/cnn20/best.pt -o ann20_int4.onnx
"""
RECIPE = QatRecipe("")
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    model: Annotated[Path, typer.Argument(help="Float ONNX file, or a best.pt of python -m training.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Integer ONNX file to write.")],
    data: Annotated[str, typer.Option(help="Data set whose training images teach, such as digits or cifar10.")],
    bits: options.Bits = 4,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = RECIPE.epochs,
    steps: Annotated[int | None, typer.Option(help="Stop after so many batches, if the epochs have more.")] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="A CNN's best.pt, or teacher.pt, that teaches; without it the float network does."),
    ] = None,
    lr: Annotated[
        float, typer.Option(help="Adam's rate at the start in steps of the grids; half a cosine takes it to 0.")
    ] = RECIPE.lr,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = RECIPE.batch_size,
    alpha: Annotated[float, typer.Option(help="Weight of the --teacher's scores beside the labels.")] = RECIPE.alpha,
    beta: Annotated[
        float, typer.Option(help="Weight of the layers' match, where MODEL and --teacher are checkpoints of twins.")
    ] = RECIPE.beta,
    seed: Annotated[int, typer.Option(help="Fixes order and augmentation.")] = RECIPE.seed,
    samples: Annotated[int, typer.Option(help="Calibration images, of the training images.")] = RECIPE.samples,
    limit: Annotated[int | None, typer.Option(help="Use only the first so many training images.")] = None,
    edge_bits: options.EdgeBits = DEFAULTS.edge_bits,
    range_: options.Range = None,
    multiplier_bits: options.MultiplierBits = DEFAULTS.multiplier_bits,
    realisation: options.Realisation = DEFAULTS.realisation,
    rounding: options.Rounding = DEFAULTS.rounding,
    weight_realisation: options.WeightRealisation = DEFAULTS.weight_realisation,
    multiplication_free: options.MultiplicationFree = False,
    wide_residuals: options.WideResiduals = DEFAULTS.wide_residuals,
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
        bits=bits, edge_bits=edge_bits, range=range_, multiplier_bits=multiplier_bits, realisation=realisation,
        rounding=rounding, weight_realisation=weight_realisation, multiplication_free=multiplication_free,
        wide_residuals=wide_residuals,
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
    with progress_bar("calibration") as show:
        told = Told(show) if show else None
        trained = train(model, recipe, settings, state=state, root=root, save_minutes=save_minutes, progress=told)
    write_graph(trained.graph, output)
    state.unlink(missing_ok=True)
    print(f"validation top-1: {trained.before:.2f} % before training, {trained.after:.2f} % after")
    print(f"{output}: written", file=sys.stderr)


class Told:
    """Shows on a progress_bar what quant.qat.train tells of its progress."""

    def __init__(self, show):
        self.show = show

    def calibrated(self, done, total):
        """As quant.qat.Silence says."""
        self.show(done, total)

    def step(self, run, steps):
        """As quant.qat.Silence says."""
        self.show(run.steps, steps, f"batch {run.steps}/{steps} loss {run.loss:.3f}")


def main(arguments) -> None:
    """Runs the command."""
    interrupted = "interrupted; the same command goes on from the last saved step, if one was saved"
    run_app(partial(app, arguments), PROGRAM, interrupted=interrupted)
