"""The command line of the co-simulation: python -m adderhw.cosim [MODEL]."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adderhw.command_line import run_app
from adderhw.errors import AdderHwError
from adderhw.hardware import command_options as options

PROGRAM = "python -m adderhw.cosim"
EXAMPLES = f"""Examples:

  {PROGRAM}                                      every adder layer of the digits network that ships, 16 images

  {PROGRAM} ann_int8.onnx --data cifar10 --layers layer1.0.conv1,layer3.0.conv2

  {PROGRAM} --accumulator-bits 12 --overflow saturate

  {PROGRAM} --self-test                          change one value in each file: each must be noticed

  {PROGRAM} --vectors DIR                        on vectors written by python -m adderhw.vectors
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    model: options.Model = None,
    data: options.Data = "digits",
    split: options.Split = "test",
    limit: options.Limit = 16,
    layers: options.Layers = "",
    accumulator_bits: options.AccumulatorBits = 0,
    overflow: options.Overflow = "wrap",
    lanes: options.Lanes = 16,
    vectors: Annotated[Path | None, typer.Option(help="Folder of vectors to use instead of a model and data.")] = None,
    simulator: Annotated[
        str | None, typer.Option(help="verilator or iverilog; default verilator where installed.")
    ] = None,
    self_test: Annotated[bool, typer.Option(help="Also change one value in each file and expect a mismatch.")] = False,
) -> None:
    """Run the array in SystemVerilog on a model's layers and compare every accumulator and output."""
    from adderhw.hardware import simulators
    from adderhw.hardware.cosimulation import Simulation
    from adderhw.hardware.vector_files import write_vectors
    from adderhw.simulation import SHIPPED_MODEL, load

    if vectors and model:
        raise AdderHwError(f"call: found MODEL {model} and --vectors {vectors}, expected one of them")
    simulator = simulators.choose(simulator)
    with tempfile.TemporaryDirectory(prefix="adderhw-") as temporary:
        if vectors is None:
            vectors = Path(temporary) / "vectors"
            write_vectors(
                load(model or SHIPPED_MODEL),
                vectors,
                data=data,
                split=split,
                limit=limit,
                layers=[name for name in layers.split(",") if name] or None,
                accumulator_bits=accumulator_bits,
                overflow=overflow,
                lanes=lanes,
            )
        with Simulation(vectors, simulator) as simulation:
            comparisons, first = simulation.run()
            print_table(comparisons, simulator)
            missed = simulation.undetected() if self_test else []
    for line in first:
        print(f"mismatch: {line}", file=sys.stderr)
    if self_test:
        print(f"self-test: {len(missed)} corrupted files went unnoticed")
    for file in missed:
        print(f"self-test: found no mismatch with a changed value in {file}, expected one", file=sys.stderr)
    if missed or any(c.mismatches for c in comparisons):
        raise typer.Exit(1)


def print_table(comparisons, simulator):
    """Prints a row for each layer and their total."""
    table = Table(title=f"adder_array in {simulator} against the simulator", title_justify="left")
    for heading in ("layer", "accumulator", "images", "accumulators", "outputs", "mismatches"):
        table.add_column(heading, justify="left" if heading in ("layer", "accumulator") else "right", overflow="fold")
    for c in comparisons:
        table.add_row(
            c.layer, c.accumulator, str(c.images), f"{c.accumulators:,}", f"{c.outputs:,}", f"{c.mismatches:,}"
        )
    totals = (sum(getattr(c, key) for c in comparisons) for key in ("accumulators", "outputs", "mismatches"))
    table.add_row("all", "", "", *(f"{total:,}" for total in totals))
    Console().print(table)


def main() -> None:
    """Entry point of `python -m adderhw.cosim` and `adderhw-cosim`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
