"""The command line of the simulator: python -m adderhw.simulate [MODEL]."""

import gc
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adderhw.command_line import check_outputs, progress_bar, run_app
from adderhw.memory_limit import memory_limit
from adderhw.printable import one_line

PROGRAM = "python -m adderhw.simulate"
EXAMPLES = f"""Examples:

  {PROGRAM}                                  the digits network that ships, on its test images

  {PROGRAM} ann20_int8.onnx --data cifar10 --report report.html --json report.json

  {PROGRAM} --check ort                      compare every integer with onnxruntime

  {PROGRAM} --accumulator-bits 12 --overflow saturate

  {PROGRAM} --energy horowitz45,mine.toml --accelerator eyeriss_like

  {PROGRAM} cnn.onnx --as adder              any ONNX network: tally and price only
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Integer ONNX file, or any ONNX network to be tallied; without it the digits network that ships."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set (digits, the default, cifar10, mnist, imagenet, …) or a .npy/.npz file with x and y."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the data set: train or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first LIMIT images.")] = None,
    leave_out: Annotated[
        Path | None, typer.Option(help="A .npz whose array named as the split has indices of images not to take.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 128,
    threads: Annotated[
        int | None, typer.Option(help="Threads; default all cores. Results do not depend on it.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers run the images: tcp://host:8786.")
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(help="Kernel path: vnni, avx512, avx2 or portable; default the fastest here.")
    ] = None,
    energy: Annotated[
        str, typer.Option(help="Energy tables, comma-separated names or .toml files.")
    ] = "horowitz45,qtools45",
    cnn: Annotated[
        Path | None, typer.Option(help="ONNX file of a CNN of this topology: its weights for the hard-wired CNN.")
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option(
            help="Count and price memory too, on eyeriss_like, systolic_like, output_like or a described .toml file."
        ),
    ] = None,
    area: Annotated[
        str, typer.Option(help="Table of areas: osu018, osu035 or a .json file of python -m adderhw.synthesis.")
    ] = "osu018",
    sqnr: Annotated[
        Path | None, typer.Option(help="JSON of python -m quant compare: the noise of each layer, for the report.")
    ] = None,
    earlier: Annotated[
        list[Path] | None, typer.Option(help="JSON of an earlier run, for accuracy against energy; may be repeated.")
    ] = None,
    check: Annotated[str | None, typer.Option(help="'ort': compare every tensor with stock onnxruntime.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    markdown_path: Annotated[Path | None, typer.Option("--markdown", help="Write the report as Markdown.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the results as JSON (schema 3).")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write a row per layer as CSV.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write a copy of the model whose nodes carry their energies, for Netron.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Write every tensor as DIR/NAME.npy with an index.")] = None,
    accumulator_bits: Annotated[int, typer.Option(help="Width of the adder layers' accumulators; 0: wide enough.")] = 0,
    overflow: Annotated[str, typer.Option(help="What a narrow accumulator does: wrap or saturate.")] = "wrap",
    accumulate_all: Annotated[
        bool, typer.Option(help="Apply --accumulator-bits to convolution and linear layers too.")
    ] = False,
    max_memory: Annotated[
        str | None, typer.Option(help="Memory for activations, such as 2GiB; default: this machine's.")
    ] = None,
    arithmetic: Annotated[
        str | None, typer.Option("--as", help="Price the topology with the layers of an adder, cnn or bnn network.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Width of the integer networks beside a float model (default 8).")
    ] = None,
) -> None:
    """Simulate an integer adder network bit for bit; tally its operations and price them.

    Any other ONNX network is tallied and priced too, and simulated with --data where its integers are determined.
    """
    from adderhw.foreign.repricing import UNSTATED
    from adderhw.report import markdown, onnx_metadata, summary, tables
    from adderhw.simulation import SHIPPED_MODEL, simulate

    gc.freeze()  # what imports made stays: looking through it for garbage costs a seventh of a short run
    gc.enable()
    wanted = (
        (report, _write_html),
        (markdown_path, markdown.write_markdown),
        (json_path, tables.write_json),
        (csv_path, tables.write_csv),
        (annotate, onnx_metadata.write_annotated),
    )
    writers = [(path, write) for path, write in wanted if path]
    check_outputs([path for path, _ in writers])
    with progress_bar() as progress:
        document = simulate(
            model or SHIPPED_MODEL,
            data=data,
            split=split,
            limit=limit,
            leave_out=leave_out,
            batch_size=batch_size,
            threads=threads,
            path=kernel,
            energy=[name for name in energy.split(",") if name],
            cnn=cnn,
            accelerator=accelerator,
            area=area,
            sqnr=sqnr,
            earlier=earlier or (),
            check=check,
            trace=trace,
            accumulator_bits=accumulator_bits,
            overflow=overflow,
            accumulate_all=accumulate_all,
            max_memory=memory_limit(max_memory),
            arithmetic=arithmetic,
            bits=bits,
            progress=progress,
            scheduler=scheduler,
            command=shlex.join([*PROGRAM.split(), *sys.argv[1:]]),
        )
    for path, write in writers:
        write(document, path)
        print(f"{path}: written", file=sys.stderr)
    summary.print_summary(document, Console())
    if UNSTATED in (document["network"]["assumptions"] or ""):
        print(f"{document['model']['path']}: {UNSTATED}", file=sys.stderr)
    if document["check"] and document["check"]["mismatches"]:
        print(one_line(f"check failed: {document['check']['first']}"), file=sys.stderr)
        raise typer.Exit(1)


def _write_html(document, path):
    from adderhw.report.page import write_html  # and jinja2 with it

    write_html(document, path)


def main() -> None:
    """Entry point of `python -m adderhw.simulate` and `adderhw-simulate`."""
    gc.disable()
    try:
        run_app(app, PROGRAM)
    finally:
        gc.enable()
