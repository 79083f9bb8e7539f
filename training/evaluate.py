"""python -m training.evaluate: the accuracy of a checkpoint, in float, on the images of its data set."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from adderhw.samples import read_indices
from training import checkpoint
from training import command_line as options
from training.data import load_images
from training.loop import top1

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Example:

  python -m training.evaluate runs/digits/best.pt
"""


@app.command(epilog=EPILOG)
def command(
    path: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A best.pt, or what training.convert wrote.")],
    split: Annotated[str, typer.Option(help="test, or the validation part of the training images.")] = "test",
    leave_out: Annotated[
        Path | None, typer.Option(help="A .npz whose array named as the split has indices of images not to count.")
    ] = None,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
):
    """Print how many images of its data set a network classifies right."""
    network, metadata = checkpoint.load_network(path)
    data = load_images(metadata, path, split, root)
    if leave_out:
        kept = torch.ones(len(data), dtype=torch.bool)
        kept[torch.from_numpy(read_indices(leave_out, split, len(data)))] = False
        data = data[kept]
    with options.computing(device, threads) as place:
        accuracy = top1(network.to(place.device), data.to(place.device), place)
        if place.is_first:
            right = round(accuracy * len(data) / 100)
            print(f"{path}: {data.name}, {split}: {right:,} of {len(data):,} images, top-1 {accuracy:.2f} %")


def main():
    """The entry of python -m training.evaluate."""
    options.run(app, "python -m training.evaluate")


if __name__ == "__main__":
    main()
