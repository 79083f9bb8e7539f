"""The command line of sweeps: python -m adderhw.sweep CONFIG.toml --store FILE."""

import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console

from adderhw.command_line import check_outputs, progress_bar
from adderhw.errors import AdderHwError

PROGRAM = "python -m adderhw.sweep"
EXAMPLES = f"""Examples:

  {PROGRAM} sweep.toml --store sweep.jsonl --plot front.png

  {PROGRAM} sweep.toml --store sweep.jsonl --scheduler tcp://head:8786
"""
PIPE_WIDTH = 160
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file: network, images and axes.")],
    store: Annotated[Path, typer.Option(help="File that keeps every point measured; a killed sweep goes on from it.")],
    workers: Annotated[int, typer.Option(help="Processes of this machine, one thread each; 0: one a core.")] = 0,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers measure: tcp://host:8786.")
    ] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write a row per point as CSV.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy over energy: a .png, .svg or .pdf file.")] = None,
) -> None:
    """Quantise, simulate and price every combination of bits, requantisation, accumulator, accelerator and table."""
    from adderhw.simulation import available_threads
    from quant import sweep_report
    from quant.compare_report import check_plot
    from quant.mixed_store import Store
    from quant.sweep_config import read_sweep
    from quant.sweep_run import header_of, job_of, run

    if workers < 0 or (workers and scheduler):
        raise AdderHwError(f"workers: found {workers}, expected 0 or more, and none with --scheduler")
    written = [path for path in (csv_path, plot) if path]
    check_outputs([store, *written])
    if plot:
        check_plot(plot)
    sweep, started = read_sweep(config), perf_counter()
    job = job_of(sweep)
    kept = Store(store, header_of(sweep, job))
    before = len(kept.records)
    with progress_bar("points") as progress:
        records = run(sweep, job, kept, workers=workers or available_threads(), scheduler=scheduler, progress=progress)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for table in sweep_report.tables(records):
        console.print(table)
    print_gist(console, records, len(kept.records) - before, perf_counter() - started, job)
    if csv_path:
        sweep_report.write_csv(records, csv_path)
    if plot:
        sweep_report.write_plot(records, plot)
    for path in written:
        print(f"{path}: written", file=sys.stderr)


def print_gist(console, records, measured, seconds, job):
    """How many points there are, how many this run measured, and each reason why some cannot be."""
    reasons = {}
    for record in records:
        if "error" in record:
            reasons.setdefault(record["error"], []).append(record)
    lines = [
        f"{len(records)} points on {len(job.samples)} images of {job.samples.name}, {measured} measured in this run, "
        f"{seconds:.1f} s"
    ]
    lines += [f"no figure for {len(found)} points: {reason}" for reason, found in reasons.items()]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
