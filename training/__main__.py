"""python -m training: train one network with one method, or go on with a run that was interrupted."""

from typing import Annotated

import typer

from training import command_line as options
from training.loop import BEST, train
from training.recipe import Recipe

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Examples:

  python -m training --output runs/digits

  python -m training --method cnn --seed 1 --output runs/digits_cnn

  python -m training --model resnet20 --data cifar10 --root data --batch-size 256 --epochs 400 --output runs/ann20
"""


@app.command(epilog=EPILOG)
def command(
    output: options.Output,
    model: options.Model = Recipe.model,
    data: options.Data = Recipe.data,
    method: Annotated[str, typer.Option(help="cnn, ann, kd (teacher's scores) or pkkd (and its layers).")] = "pkkd",
    epochs: options.Epochs = Recipe.epochs,
    seed: Annotated[int, typer.Option(help="Fixes weights, order and augmentation.")] = Recipe.seed,
    alpha: options.Alpha = Recipe.alpha,
    beta: options.Beta = Recipe.beta,
    lr: options.Rate = Recipe.lr,
    batch_size: options.BatchSize = Recipe.batch_size,
    weight_decay: options.WeightDecay = Recipe.weight_decay,
    eta: options.Eta = Recipe.eta,
    teacher: Annotated[str | None, typer.Option(help="A CNN's best.pt, to use as a fixed teacher.")] = None,
    limit: options.Limit = None,
    root: options.Root = None,
    threads: options.Threads = None,
):
    """Train a network and write best.pt (chosen on validation images), last.pt and epochs.csv into a folder.

    Run again with the same arguments, it goes on where it was interrupted. Top-1 on the test images is measured
    once, at the end, and printed.
    """
    recipe = Recipe(
        model, data, method, epochs, seed,
        alpha=alpha, beta=beta, lr=lr, batch_size=batch_size, weight_decay=weight_decay, eta=eta,
        teacher=teacher, limit=limit,
    )  # fmt: skip
    options.set_threads(threads)
    with options.epoch_progress(f"{method} {model}", epochs) as report:
        metrics = train(recipe, output, root=root, report=report)
    print(
        f"{output / BEST}: {method} {model} on {data}, test top-1 {metrics['test_top1']:.2f} %, "
        f"validation {metrics['val_top1']:.2f} % at epoch {metrics['epoch']}"
    )


def main():
    """The console command adderhw-train."""
    options.run(app, "python -m training")


if __name__ == "__main__":
    main()
