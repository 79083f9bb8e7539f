"""The command line of comparison: python -m quant compare FLOAT INT --data DATASET."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adderhw.command_line import check_outputs, progress_bar
from quant.compare import BATCH, DIVERGES_BELOW, compare

PROGRAM = "python -m quant compare"
EXAMPLES = f"""Examples:

  {PROGRAM} ann.onnx ann_int8.onnx --data digits

  {PROGRAM} ann20.onnx ann20_int4.onnx --data cifar10 --limit 512 --plot ranges.png

  {PROGRAM} ann.onnx ann_int8.onnx --data images.npz --json compare.json --csv compare.csv
"""
PIPE_WIDTH = 200
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    float_model: Annotated[Path, typer.Argument(metavar="FLOAT", help="Float ONNX file.")],
    integer_model: Annotated[Path, typer.Argument(metavar="INT", help="Integer ONNX file quantised from it.")],
    data: Annotated[str, typer.Option(help="Data set (digits, cifar10, fashion-mnist) or .npy/.npz file.")],
    split: Annotated[str, typer.Option(help="Split of the data set: train or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first LIMIT images.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch; memory grows with it.")] = BATCH,
    diverges_below: Annotated[
        float, typer.Option(metavar="DB", help="A tensor diverges when its SQNR is below so many dB.")
    ] = DIVERGES_BELOW,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the comparison as JSON (schema 1).")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write a row per tensor as CSV.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw value ranges against the grids: a .png, .svg or .pdf file.")
    ] = None,
) -> None:
    """Compare a float network with the integer one that was quantised from it, tensor by tensor."""
    from quant import compare_report as report

    wanted = ((json_path, report.write_json), (csv_path, report.write_csv), (plot, report.write_plot))
    writers = [(path, write) for path, write in wanted if path]
    check_outputs([path for path, _ in writers])
    if plot:
        report.check_plot(plot)
    with progress_bar() as progress:
        comparison = compare(
            float_model,
            integer_model,
            data=data,
            split=split,
            limit=limit,
            diverges_below=diverges_below,
            batch_size=batch_size,
            progress=progress,
        )
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(report.table(comparison))
    for line in report.headlines(comparison):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for path, write in writers:
        write(comparison, path)
        print(f"{path}: written", file=sys.stderr)
