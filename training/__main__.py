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

  torchrun --nproc-per-node 2 -m training --output runs/digits_by_two
"""


@app.command(epilog=EPILOG)
@options.recipe_options()
def command(
    settings: dict,
    *,
    output: options.Output,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    save_minutes: Annotated[float, typer.Option(help="How often last.pt is written inside an epoch.", min=0)] = 10.0,
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard events into OUTPUT/tensorboard too.")] = False,
):
    """Train a network and write best.pt (chosen on validation images), last.pt and epochs.csv into a folder.

    Where a teacher learns beside it, the best of that is teacher.pt.
    Run again with the same arguments, it goes on where it was interrupted. Top-1 on the test images is measured
    once, at the end, and printed. Under torchrun the processes share each batch and train one network.
    """
    recipe, title = Recipe(**settings), "{method} {model}".format(**settings)
    told = {"save_minutes": save_minutes, "tensorboard": tensorboard}
    with options.computing(device, threads) as place:
        with options.epoch_progress(title, recipe.epochs, place) as progress:
            metrics = train(recipe, output, root=root, place=place, progress=progress, **told)
        if place.is_first:
            print(
                f"{output / BEST}: {title} on {recipe.data}, test top-1 {metrics['test_top1']:.2f} %, "
                f"validation {metrics['val_top1']:.2f} % at epoch {metrics['epoch']}"
            )


def main():
    """The console command adderhw-train."""
    options.run(app, "python -m training", **options.GOES_ON)


if __name__ == "__main__":
    main()
