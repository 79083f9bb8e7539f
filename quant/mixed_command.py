"""The command line of mixed widths: python -m quant mixed MODEL --calibrate DATASET --store FILE."""

import hashlib
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from adderhw.command_line import progress_bar, run_app
from adderhw.errors import AdderHwError
from adderhw.files import check_writable, file_digest
from adderhw.fixed import MAX_BITS, MIN_BITS
from quant import options
from quant.settings import Settings

PROGRAM = "python -m quant mixed"
EXAMPLES = f"""Examples:

  {PROGRAM} ann20.onnx --calibrate cifar10 --store mixed.jsonl --plot front.png

  {PROGRAM} ann20.onnx --calibrate cifar10 --store mixed.jsonl --most-energy 3.2 -o ann20_mixed.onnx

  {PROGRAM} ann20.onnx --calibrate cifar10 --store mixed.jsonl --least-top1 91 -o ann20_mixed.onnx
"""
PICOJOULES = 1e6  # in a microjoule
PIPE_WIDTH = 160
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    model: Annotated[Path, typer.Argument(help="Float ONNX file, opset 13 or later.")],
    calibrate: Annotated[
        str, typer.Option(help="Data set (digits, cifar10, fashion-mnist) or .npy/.npz file; its training split.")
    ],
    store: Annotated[Path, typer.Option(help="File that keeps every point measured; a killed search goes on from it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Integer ONNX file of the best point to write.")
    ] = None,
    most_energy: Annotated[
        float | None, typer.Option(metavar="E", help="The least divergence within so many microjoules an image.")
    ] = None,
    least_top1: Annotated[
        float | None, typer.Option(metavar="P", help="The least energy with so many % of the selection images right.")
    ] = None,
    energy: Annotated[str, typer.Option(help="Energy table, a name or a .toml file.")] = "horowitz45",
    samples: Annotated[int, typer.Option(help="Calibration images, spread evenly over the training split.")] = 1024,
    selection: Annotated[
        int, typer.Option(help="Other training images, on which points are compared; drawn by --seed.")
    ] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the draw of the selection images.")] = 0,
    fewest_bits: Annotated[int, typer.Option(help="Fewest bits of a tensor, 2 to 15.")] = MIN_BITS,
    most_bits: Annotated[int, typer.Option(help="Most bits of a tensor, 3 to 16.")] = 8,
    multiplication_free: options.MultiplicationFree = False,
    wide_residuals: options.WideResiduals = options.DEFAULTS.wide_residuals,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write front and points as JSON (schema 1).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the front: a .png, .svg or .pdf file.")] = None,
) -> None:
    """Search the bits of each tensor for the best accuracy at an energy, the least energy at an accuracy, or both."""
    from adderhw.cost.energy import load_table
    from quant import compare_report, mixed_report
    from quant.float_graph import read_float_graph
    from quant.mixed import Search
    from quant.mixed_bench import bench
    from quant.mixed_store import Store

    check_call(output, most_energy, least_top1, samples, selection, seed, (fewest_bits, most_bits))
    for path in filter(None, (output, json_path, plot, store)):
        check_writable(path)
    if plot:
        compare_report.check_plot(plot)
    started, table, graph = perf_counter(), load_table(energy), read_float_graph(model)
    settings = Settings(bits=most_bits, multiplication_free=multiplication_free, wide_residuals=wide_residuals)
    calibration, selected, labels = images_of(graph, calibrate, samples, selection, seed)
    header = {
        "schema": mixed_report.SCHEMA,
        "model": file_digest(model),
        "data": calibrate,
        "images": digest(calibration, selected),
        "samples": len(calibration),
        "selection": len(selected),
        "seed": seed,
        "bits": [fewest_bits, most_bits],
        "energy": f"{table.name} {hashlib.sha256(repr(table).encode()).hexdigest()[:16]}",
        "settings": asdict(settings),
    }
    kept = Store(store, header)
    with progress_bar("images, ranges, points") as progress:
        made = bench(graph, calibration, selected, labels, settings, table, progress)
        search = Search(made, kept, fewest_bits, most_bits, progress)
        target = target_of(made, most_energy, least_top1)
        chosen = search.run(target)
    if target and chosen is None:
        raise AdderHwError(f"target: found none of {len(search.known)} points within it, expected a weaker one")
    console, seconds = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH), perf_counter() - started
    print_search(console, search, seed, seconds)
    if output:
        write_best(console, search, target, output)
    if json_path:
        mixed_report.write_json(mixed_report.document(search, header, seconds, chosen), json_path)
    if plot:
        mixed_report.write_plot(search, plot)
    for path in filter(None, (output, json_path, plot)):
        print(f"{path}: written", file=sys.stderr)


def check_call(output, most_energy, least_top1, samples, selection, seed, bits):
    """Raises AdderHwError for options out of their range, or that exclude each other."""
    for name, found, least in (("samples", samples, 1), ("selection", selection, 1), ("seed", seed, 0)):
        if found < least:
            raise AdderHwError(f"{name}: found {found}, expected at least {least}")
    if not MIN_BITS <= bits[0] < bits[1] <= MAX_BITS:
        raise AdderHwError(
            f"bits: found {bits[0]} to {bits[1]}, expected fewest below most in {MIN_BITS} to {MAX_BITS}"
        )
    if most_energy is not None and least_top1 is not None:
        raise AdderHwError("target: found --most-energy and --least-top1, expected one of them or neither")
    if most_energy is not None and not 0 < most_energy < float("inf"):
        raise AdderHwError(f"most energy: found {most_energy}, expected microjoules above 0")
    if least_top1 is not None and not 0 < least_top1 <= 100:
        raise AdderHwError(f"least top-1: found {least_top1}, expected a percentage above 0, at most 100")
    if output is not None and most_energy is None and least_top1 is None:
        raise AdderHwError("output: found no target for it, expected --most-energy or --least-top1")


def images_of(graph, data, samples, selection, seed):
    """(calibration, selection, labels of the selection or None), float32 (N, …), all of the training split.

    The calibration images are those of `python -m quant`; the selection is drawn by the seed from the others.
    """
    from adderhw.samples import open_samples

    all_samples = open_samples(graph, data, "train", None)
    chosen = np.linspace(0, len(all_samples) - 1, min(samples, len(all_samples))).astype(np.int64)
    others = np.setdiff1d(np.arange(len(all_samples)), chosen)
    if len(others) < selection:
        raise AdderHwError(
            f"selection: found {len(others)} training images besides {len(chosen)} calibration images, "
            f"expected at least {selection}"
        )
    drawn = np.sort(np.random.default_rng(seed).choice(others, selection, replace=False))
    calibration, selected = (picked(all_samples, indices) for indices in (chosen, drawn))
    return calibration, selected, None if all_samples.labels is None else all_samples.labels[drawn]


def picked(samples, indices):
    """The model's input for the samples of these indices."""
    from dataclasses import replace

    return np.ascontiguousarray(replace(samples, values=samples.values[indices]).batch(0, len(indices)))


def digest(*arrays):
    """The SHA-256 of the arrays' bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(array.tobytes())
    return found.hexdigest()


def target_of(bench, most_energy, least_top1):
    """The Target of the options; None with neither."""
    from quant.mixed import Target

    if most_energy is not None:
        return Target(energy=most_energy * PICOJOULES)
    if least_top1 is None:
        return None
    if bench.float_correct() is None:
        raise AdderHwError("least top-1: found data without labels or outputs without classes, expected both")
    return Target(correct=int(np.ceil(least_top1 / 100 * bench.selected)))


def print_search(console, search, seed, seconds):
    """The table of the front, and how it was found."""
    from quant import mixed_report

    console.print(mixed_report.table(search))
    count, right = search.bench.selected, search.bench.float_correct()
    float_top1 = "" if right is None else f"float top-1 on them {100 * right / count:.2f} %; "
    measured = sum(point.seconds for point in search.known.values())
    console.print(
        f"{count} selection images of the training split, seed {seed}; {float_top1}{len(search.known)} points "
        f"measured in {measured:.0f} s, this run {seconds:.0f} s; energy an image by {search.bench.table.title}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def write_best(console, search, target, output):
    """Writes the best point whose network, corrected on all calibration images, is within the target's energy too."""
    from adderhw.report.figures import energy_text
    from export.writer import write_graph
    from quant.__main__ import layer_table
    from quant.mixed_bench import network_energy

    within = sorted(filter(target.holds, search.known.values()), key=target.objective)
    for point in within:
        graph, layers = search.bench.network(point.widths, search.ranges)
        spent = network_energy(graph, search.bench.table)
        if target.energy is None or spent <= target.energy:
            break
    write_graph(graph, output)
    console.print(layer_table(layers))
    console.print(f"written: {energy_text(spent)} an image, divergence {point.loss:.3g} on the selection images")


def main(arguments) -> None:
    """Runs the command."""
    run_app(partial(app, arguments), PROGRAM, interrupted="interrupted; the store has what was measured")
