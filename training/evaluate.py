"""python -m training.evaluate: the accuracy of a checkpoint, in float, on the images of its data set."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from adderhw.errors import DataError, ModelError
from training import checkpoint
from training import command_line as options
from training.data import Preprocess, load_test, load_training
from training.loop import top1

SPLITS = ("test", "validation")

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
    name, preprocess = metadata["preprocess"]["dataset"], _preprocess(metadata, path)
    data = replace(_images(name, split, leave_out, root), preprocess=preprocess)
    if data.input_shape != tuple(metadata["input_shape"]) or data.classes != metadata["network"]["classes"]:
        found = f"a network for {metadata['input_shape']} and {metadata['network']['classes']} classes"
        raise ModelError(f"{path}: found {found}, expected {list(data.input_shape)} and {data.classes} as {name} has")
    with options.computing(device, threads) as place:
        accuracy = top1(network.to(place.device), data.to(place.device), place)
        if place.is_first:
            right = round(accuracy * len(data) / 100)
            print(f"{path}: {name}, {split}: {right:,} of {len(data):,} images, top-1 {accuracy:.2f} %")


def _images(name, split, leave_out, root):
    if split not in SPLITS:
        raise DataError(f"split: found {split!r}, expected one of {', '.join(SPLITS)}")
    data = load_test(name, root=root) if split == "test" else load_training(name, root=root)[1]
    if leave_out is None:
        return data
    kept = torch.ones(len(data), dtype=torch.bool)
    kept[torch.from_numpy(_indices(leave_out, split, len(data)))] = False
    return data[kept]


def _indices(path, split, count):
    """int64 indices below `count` from the array `split` of an .npz file."""
    try:
        with np.load(path) as arrays:
            indices = arrays[split]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: found {error}, expected an .npz with an array {split!r}") from error
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or not ((indices >= 0) & (indices < count)).all():
        raise DataError(f"{path}: found other indices in {split!r}, expected whole numbers from 0 to {count - 1}")
    return indices.astype(np.int64)


def _preprocess(metadata, path):
    found = metadata["preprocess"]
    try:
        return Preprocess(tuple(map(float, found["mean"])), tuple(map(float, found["std"])))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: found preprocess {found}, expected dataset, mean and std") from error


def main():
    """The entry of python -m training.evaluate."""
    options.run(app, "python -m training.evaluate")


if __name__ == "__main__":
    main()
