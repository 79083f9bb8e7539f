"""Options that the command lines of golden vectors and of the co-simulation share: which layers, on what, how wide."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path | None, typer.Argument(help="Integer ONNX file; without it the digits network that ships.")]
Data = Annotated[str, typer.Option(help="Data set (digits, cifar10, fashion-mnist) or a .npy/.npz file with x.")]
Split = Annotated[str, typer.Option(help="Split of the data set: train or test.")]
Limit = Annotated[int, typer.Option(help="How many images, the first ones.")]
Layers = Annotated[str, typer.Option(help="Names of adder layers, comma-separated; default all.")]
AccumulatorBits = Annotated[int, typer.Option(help="Width of the accumulators; 0: wide enough.")]
Overflow = Annotated[str, typer.Option(help="What a narrow accumulator does: wrap or saturate.")]
Lanes = Annotated[int, typer.Option(help="Processing elements of the array: output channels at a time.")]
