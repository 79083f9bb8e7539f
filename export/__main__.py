"""python -m export: a checkpoint of python -m training becomes a float ONNX file."""

import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adderhw.command_line import run_app
from adderhw.errors import AdderHwError
from adderhw.files import check_writable

PROGRAM = "python -m export"
EXAMPLE = f"""Example:

  {PROGRAM} runs/ann20/best.pt -o ann20.onnx
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLE)
def command(
    checkpoint: Annotated[Path, typer.Argument(help="The best.pt that python -m training writes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
) -> None:
    """Export a trained network as ONNX: adder layers as adderhw::AdderConv, which stock onnxruntime executes.

    onnxruntime's output is compared with PyTorch's before the file appears.
    """
    check_installed("torch", "onnxscript")
    check_writable(output)
    with Console(stderr=True).status(f"exporting {checkpoint}"):
        exported = export_checkpoint(checkpoint, output)
    print(f"{output}: {exported.size:,} bytes")
    counts = Counter(node.op_type for node in exported.model.graph.node)
    print("ops: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    print(f"largest difference between onnxruntime and torch: {exported.difference:.3g}")


def check_installed(*packages):
    """Raises AdderHwError for a package of the training half that is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise AdderHwError(
            f"{PROGRAM}: found no {', '.join(missing)}, expected it installed: pip install adderhw[train]"
        )


def export_checkpoint(checkpoint, output):
    """The Exported of the network in the file `checkpoint`, written to `output`; exit code 1 where the check fails."""
    import torch

    from export.from_torch import MismatchError, export_module
    from training.checkpoint import load_network

    module, metadata = load_network(checkpoint)
    try:
        return export_module(module, torch.zeros(1, *metadata["input_shape"]), output, metadata=metadata)
    except MismatchError as error:
        print(f"check failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def main() -> None:
    """Entry point of `python -m export` and `adderhw-export`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
