"""The command line of the co-simulation: python -m adderhw.cosim [MODEL]."""

import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.table import Table

from adderhw.command_line import run_app, wide_console
from adderhw.errors import AdderHwError
from adderhw.hardware import command_options as options

PROGRAM = "python -m adderhw.cosim"
EXAMPLES = f"""Examples:

  {PROGRAM}                                      every adder layer of the digits network that ships, 16 images

  {PROGRAM} --shipped                            that, three layers of ANN-20, and both with 12-bit accumulators

  {PROGRAM} ann20_int8.onnx --data cifar10 --layers blocks.1.conv1,blocks.7.conv2

  {PROGRAM} --accumulator-bits 12 --overflow saturate

  {PROGRAM} --rtl my_pe.sv                       hardware of your own in place of a module that ships

  {PROGRAM} --self-test                          change one value in each file: each must be noticed

  {PROGRAM} --vectors vectors                    on vectors written by python -m adderhw.vectors
"""
HEADINGS = {
    "layer": "left",
    "accumulator": "left",
    "accumulators": "right",
    "outputs": "right",
    "overflows": "right",
    "expected": "right",
    "mismatches": "right",
}
TOTALS = ("accumulators", "outputs", "overflows", "expected_overflows", "mismatches")
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
    shipped: Annotated[
        bool,
        typer.Option(
            "--shipped", help="All that is claimed: the networks that ship, exact and with 12-bit accumulators."
        ),
    ] = False,
    rtl: Annotated[
        str, typer.Option(help="SystemVerilog files, comma-separated, whose modules replace those that ship.")
    ] = "",
    simulator: Annotated[
        str | None, typer.Option(help="verilator or iverilog; default verilator where installed.")
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Also change one value in each file and expect it to be noticed.")
    ] = False,
) -> None:
    """Run the array in SystemVerilog on a model's layers and compare every accumulator and output."""
    from adderhw.hardware import simulators
    from adderhw.hardware.shipped import SHIPPED_JOBS, Job
    from adderhw.simulation import SHIPPED_MODEL

    chosen = [name for name, given in (("MODEL", model), ("--vectors", vectors), ("--shipped", shipped)) if given]
    if len(chosen) > 1:
        raise AdderHwError(f"call: found {' and '.join(chosen)}, expected one of them")
    if shipped and (data, split, layers, accumulator_bits, overflow) != ("digits", "test", "", 0, "wrap"):
        raise AdderHwError("call: found --shipped with data, layers or accumulators, expected it to choose them")
    simulator = simulators.choose(simulator)
    names = tuple(name for name in layers.split(",") if name)
    jobs = [Job(str(model or SHIPPED_MODEL), data, split, names, accumulator_bits, overflow)]
    jobs = SHIPPED_JOBS if shipped else jobs
    designs = [Path(name) for name in rtl.split(",") if name]
    started, results = perf_counter(), []
    for job in [None] if vectors else jobs:
        results.append(run_job(job, vectors, simulator, designs, limit, lanes, self_test))
        print_table(results[-1][0], f"{Path(job.model).name}, {job.data}" if job else str(vectors), simulator)
    comparisons = [comparison for result in results for comparison in result[0]]
    if len(results) > 1:
        print_totals(comparisons)
    print(f"{simulator}: {perf_counter() - started:.0f} s", file=sys.stderr)
    missed = report_corruptions([found for result in results for found in result[2]]) if self_test else []
    for line in (line for result in results for line in result[1]):
        print(f"mismatch: {line}", file=sys.stderr)
    if missed or any(c.mismatches for c in comparisons) or any(result[1] for result in results):
        raise typer.Exit(1)


def run_job(job, vectors, simulator, designs, limit, lanes, self_test):
    """(comparisons, first mismatches, corruptions) of a Job, or of the folder `vectors`."""
    from adderhw.hardware.cosimulation import Simulation
    from adderhw.hardware.self_test import corruptions
    from adderhw.hardware.vector_files import write_vectors
    from adderhw.simulation import load

    with tempfile.TemporaryDirectory(prefix="adderhw-") as temporary:
        if job:
            vectors = Path(temporary) / "vectors"
            arguments = {**job._asdict(), "layers": job.layers or None}
            write_vectors(load(arguments.pop("model")), vectors, limit=limit, lanes=lanes, **arguments)
        with Simulation(vectors, simulator, designs) as simulation:
            comparisons, first = simulation.run()
            return comparisons, first, list(corruptions(simulation)) if self_test else []


def print_table(comparisons, what, simulator):
    """Prints a row for each layer and their total."""
    images = f"{comparisons[0].images} images"
    print(f"{what}, {images}: adder_array in {simulator} against the simulator")
    table = Table(box=None, pad_edge=False)
    for heading, justify in HEADINGS.items():
        table.add_column(heading, justify=justify, overflow="fold")
    for c in comparisons:
        counts = (f"{getattr(c, key):,}" for key in TOTALS)
        table.add_row(c.layer, c.accumulator, *counts)
    table.add_row("all", "", *(f"{total:,}" for total in totals(comparisons)))
    wide_console().print(table)


def totals(comparisons):
    """The sums of TOTALS over the comparisons."""
    return [sum(getattr(c, key) for c in comparisons) for key in TOTALS]


def print_totals(comparisons):
    """Prints the sums over all tables."""
    accumulators, outputs, overflows, expected, mismatches = totals(comparisons)
    print(
        f"all: {accumulators:,} accumulators and {outputs:,} outputs compared, {overflows:,} overflows in hardware, "
        f"{expected:,} in the simulator, {mismatches:,} mismatches"
    )


def report_corruptions(found):
    """Prints a line for each kind of file and returns the files whose change went unnoticed."""
    for c in found:
        counts = f"{c.files} changed, {len(c.missed)} unnoticed"
        print(f"self-test: {c.kind}: {counts}; noticed by {c.noticed_by}: {c.first}")
    missed = [file for c in found for file in c.missed]
    print(f"self-test: {sum(c.files for c in found)} files changed, {len(missed)} went unnoticed")
    for file in missed:
        print(f"self-test: found no mismatch with a changed value in {file}, expected one", file=sys.stderr)
    return missed


def main() -> None:
    """Entry point of `python -m adderhw.cosim` and `adderhw-cosim`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
