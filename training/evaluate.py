"""python -m training.evaluate: the accuracy of checkpoints, in float, on the images of their data set."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from adderhw.errors import ModelError
from adderhw.proportions import paired_difference
from adderhw.samples import read_indices
from training import checkpoint
from training import command_line as options
from training.data import load_images
from training.loop import right_together

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Examples:

  python -m training.evaluate runs/digits/best.pt

  python -m training.evaluate runs/ann/best.pt runs/pkkd/best.pt
"""


@app.command(epilog=EPILOG)
def command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...", help="A best.pt, or what training.convert wrote; others are compared to the first."
        ),
    ],
    split: Annotated[
        str, typer.Option(help="test, or the validation or the training part of the training images.")
    ] = "test",
    leave_out: Annotated[
        Path | None, typer.Option(help="A .npz whose array named as the split has indices of images not to count.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Take the split from the first so many training images, as a run with this --limit did.", min=1
        ),
    ] = None,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
):
    """Print how many images of its data set a network classifies right, and what other networks do on the same ones."""
    networks, metadata = zip(*map(checkpoint.load_network, paths), strict=True)
    check_same_data(paths, metadata)
    sets = [load_images(each, path, split, root, limit) for path, each in zip(paths, metadata, strict=True)]
    if leave_out:
        kept = torch.ones(len(sets[0]), dtype=torch.bool)
        kept[torch.from_numpy(read_indices(leave_out, split, len(kept)))] = False
        sets = [data[kept] for data in sets]
    with options.computing(device, threads) as place:
        networks = [network.to(place.device) for network in networks]
        right = right_together(networks, [data.to(place.device) for data in sets], place)
        if place.is_first:
            print_comparison(paths, f"{sets[0].name}, {split}", right, len(sets[0]))


def check_same_data(paths, metadata):
    """Raises ModelError for a checkpoint of another data set than the first."""
    expected, *others = (each["preprocess"].get("dataset") for each in metadata)
    for path, found in zip(paths[1:], others, strict=True):
        if found != expected:
            raise ModelError(f"{path}: found a network for {found!r}, expected one for {expected!r} as {paths[0]}")


def print_comparison(paths, images, right, total):
    """Prints each network's line, and each but the first one's difference from the first.

    images: their name; right: of the K networks K lists of K ints, see right_together; total: how many images.
    """
    for at, path in enumerate(paths):
        print(f"{path}: {images}: {right[at][at]:,} of {total:,} images, top-1 {100 * right[at][at] / total:.2f} %")
    for at, path in enumerate(paths[1:], 1):
        gained, lost = right[at][at] - right[0][at], right[0][0] - right[0][at]
        difference, error = paired_difference(gained, lost, total)
        print(
            f"{path} against {paths[0]}: {100 * difference:+.2f} points, standard error {100 * error:.2f} "
            f"({gained:,} images right only here, {lost:,} only there)"
        )


def main():
    """The entry of python -m training.evaluate."""
    options.run(app, "python -m training.evaluate")


if __name__ == "__main__":
    main()
