"""The command lines of quantisation: python -m quant MODEL --calibrate DATASET -o OUTPUT, and its subcommands."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from adderhw.command_line import progress_bar, run_app
from adderhw.files import check_writable
from quant import compare_command, mixed_command, options, qat_command
from quant.options import DEFAULTS
from quant.settings import Settings

PROGRAM = "python -m quant"
EXAMPLES = f"""Examples:

  {PROGRAM} ann.onnx --calibrate digits -o ann_int8.onnx

  {PROGRAM} ann20.onnx --calibrate cifar10 --bits 6 --range quantile -o ann20_int6.onnx

  {PROGRAM} ann.onnx --calibrate digits --realisation shift_add:2 -o ann_shift.onnx

  {PROGRAM} ann.onnx --calibrate digits --multiplication-free -o ann_free.onnx

  {PROGRAM} compare ann.onnx ann_int8.onnx --data digits          (see {PROGRAM} compare --help)

  {PROGRAM} mixed ann.onnx --calibrate digits --store mixed.jsonl  (see {PROGRAM} mixed --help)

  {PROGRAM} qat ann20.onnx --data cifar10 --bits 4 -o ann20_int4.onnx      (see {PROGRAM} qat --help)
"""
BATCH = 64
PIPE_WIDTH = 120
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    model: Annotated[Path, typer.Argument(help="Float ONNX file, opset 13 or later.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Integer ONNX file to write.")],
    calibrate: Annotated[str, typer.Option(help="Data set (digits, cifar10, fashion-mnist) or .npy/.npz file.")],
    samples: Annotated[int, typer.Option(help="Calibration images, spread evenly over the training split.")] = 1024,
    bits: options.Bits = DEFAULTS.bits,
    edge_bits: options.EdgeBits = DEFAULTS.edge_bits,
    range_: options.Range = None,
    widths: Annotated[
        Path | None, typer.Option(help="JSON file, float tensor's name to bits, where not --bits or --edge-bits.")
    ] = None,
    quantile: Annotated[
        float | None, typer.Option(help="Share of the values inside the range; default by --bits, 0.9999 at 8.")
    ] = None,
    bias_correction: Annotated[
        bool, typer.Option(help="Correct the mean of each channel of every layer by the calibration images.")
    ] = DEFAULTS.bias_correction,
    guard_bits: Annotated[int, typer.Option(help="Guard bits of residual sums, 0 to 12.")] = DEFAULTS.guard_bits,
    wide_residuals: options.WideResiduals = DEFAULTS.wide_residuals,
    multiplier_bits: options.MultiplierBits = DEFAULTS.multiplier_bits,
    realisation: options.Realisation = DEFAULTS.realisation,
    rounding: options.Rounding = DEFAULTS.rounding,
    weight_realisation: options.WeightRealisation = DEFAULTS.weight_realisation,
    max_error: Annotated[
        float | None,
        typer.Option(help="Fewest digits and bits of the requantisation within so many steps; default: all allowed."),
    ] = None,
    multiplication_free: options.MultiplicationFree = False,
    filter_groups: Annotated[
        int, typer.Option(help="Groups of an adder layer's filters, each with its own grid of the input, 1 to 64.")
    ] = DEFAULTS.filter_groups,
    test_data: Annotated[
        int, typer.Option(help="Also write so many inputs with their outputs as test_data_set_0 beside OUTPUT.")
    ] = 0,
) -> None:
    """Quantise a float ONNX network of adder and convolution layers to an integer one; or, as `compare FLOAT INT`,
    compare the two; or, as `mixed FLOAT`, search bits tensor by tensor."""
    from adderhw.errors import AdderHwError
    from export.writer import write_graph
    from quant.choices import read_widths
    from quant.convert import quantise_with_summary
    from quant.float_graph import read_float_graph

    settings = Settings(
        bits=bits, edge_bits=edge_bits, range=range_, quantile=quantile, bias_correction=bias_correction,
        guard_bits=guard_bits, multiplier_bits=multiplier_bits, realisation=realisation, rounding=rounding,
        weight_realisation=weight_realisation, max_error=max_error, multiplication_free=multiplication_free,
        filter_groups=filter_groups, wide_residuals=wide_residuals,
    )  # fmt: skip
    for name, found, least in (("samples", samples, 1), ("test data", test_data, 0)):
        if found < least:
            raise AdderHwError(f"{name}: found {found}, expected at least {least}")
    chosen_widths = read_widths(widths) if widths else None
    graph = read_float_graph(model)
    check_writable(output)
    chosen = calibration_samples(graph, calibrate, samples)
    images = chosen.batch(0, len(chosen))
    with progress_bar() as progress:
        result = quantise_with_summary(graph, images, settings, chosen_widths, progress)
    write_graph(result.graph, output)
    if test_data:
        write_golden(result.graph, output, images[:test_data])
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(layer_table(result.layers))
    if chosen.labels is not None:
        print_accuracies(console, result, output, chosen)
    print(f"{output}: written", file=sys.stderr)


def calibration_samples(graph, data, count):
    """At most `count` Samples, spread evenly over the training split: the same ones in every run."""
    from adderhw.samples import open_samples

    samples = open_samples(graph, data, "train", None)
    chosen = np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(np.int64)
    labels = None if samples.labels is None else samples.labels[chosen]
    return replace(samples, values=samples.values[chosen], labels=labels)


def write_golden(graph, output, images):
    """Writes test_data_set_0 beside the model: `images` as input_0.pb and the simulator's outputs as output_0.pb."""
    from adderhw.plan import Plan
    from export.writer import write_test_data

    inputs = {graph.inputs[0].name: images}
    write_test_data(output.parent, inputs, Plan(graph).run(inputs))


def layer_table(layers):
    """The summary as a rich Table."""
    table = Table()
    for column in ("layer", "op", "bits x/w", "scale", "sum bits", "x clipped %", "w clipped %"):
        table.add_column(column, justify="left" if column in ("layer", "op") else "right", overflow="fold")
    for layer in layers:
        table.add_row(
            layer.name,
            layer.op,
            f"{layer.bits}/{layer.weight_bits}",
            f"{layer.scale:.4g}",
            str(layer.sum_bits),
            f"{100 * layer.clipped:.3f}",
            f"{100 * layer.weight_clipped:.2f}" if layer.op.startswith("Adder") else "",
        )
    return table


def print_accuracies(console, result, path, samples):
    """Float and integer top-1 on the calibration images, for a first look; the test split is the simulator's."""
    from adderhw import load
    from adderhw.plan import Plan

    (name, *_), integer = result.graph.outputs, load(path).graph
    scores = result.outputs[name]
    if scores.ndim != 2:
        return
    correct, plan = [int((scores.argmax(axis=1) == samples.labels).sum()), 0], Plan(integer)
    for start in range(0, len(samples), BATCH):
        found = plan.run({integer.inputs[0].name: samples.batch(start, start + BATCH)})[name]
        correct[1] += int((found.argmax(axis=1) == samples.labels[start : start + BATCH]).sum())
    float_top1, integer_top1 = (100 * count / len(samples) for count in correct)
    console.print(
        f"top-1 on the {len(samples)} calibration images: float {float_top1:.2f} %, integer {integer_top1:.2f} %"
    )


def main() -> None:
    """Entry point of `python -m quant` and `adderhw-quant`; a first argument may be a subcommand."""
    if sys.argv[1:2] == ["qat"]:
        qat_command.main(sys.argv[2:])
    if sys.argv[1:2] == ["mixed"]:
        mixed_command.main(sys.argv[2:])
    if sys.argv[1:2] == ["compare"]:
        run_app(partial(compare_command.app, sys.argv[2:]), compare_command.PROGRAM)
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
