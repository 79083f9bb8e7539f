"""python -m adderhw.crosscheck: taps counted here beside the multiply-accumulates of QONNX and ZigZag, by layer."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adderhw.command_line import run_app
from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.energy import energy, load_table
from adderhw.cost.memory_table import load_memory_table
from adderhw.external.alias import conv_alias
from adderhw.external.qonnx_macs import qonnx_macs
from adderhw.external.subject import needs_taps, subject_of, words_of
from adderhw.external.zigzag_files import hardware, mapping
from adderhw.external.zigzag_run import search

PROGRAM = "python -m adderhw.crosscheck"
EXAMPLES = f"""Examples:

  {PROGRAM} ann20_int8.onnx cnn20.onnx                 beside QONNX (pip install adderhw[qonnx])

  {PROGRAM} ann20_int8.onnx --zigzag eyeriss_like      and ZigZag on that accelerator (adderhw[zigzag])
"""
PIPE_WIDTH = 160  # characters of a line where no terminal says how many it has
ZIGZAG_OPERANDS = {"activations": "act_size", "weights": "weight_size", "partial_sums": "output_size"}
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    models: Annotated[list[Path], typer.Argument(help="ONNX files: integer ones of this toolkit, float or QDQ ones.")],
    zigzag: Annotated[
        str | None, typer.Option(help="Search mappings with ZigZag on an accelerator: a name or a .toml file.")
    ] = None,
    depth: Annotated[int, typer.Option(help="How many loop factors ZigZag orders (its lpf_limit).")] = 4,
    table: Annotated[str, typer.Option(help="Energy table of a tap in ZigZag's array.")] = "horowitz45",
) -> None:
    """Count each network's taps here and with other tools, adder layers as Conv; exit code 1 where a layer differs."""
    tools = ["QONNX", *(["ZigZag"] if zigzag else [])]
    shown = Table("network", "layers", "taps here", *tools, "layers that differ", box=None, pad_edge=False)
    differing, found = [], []
    for path in models:
        subject = subject_of(path)
        needs_taps(subject)
        taps = {work.name: work.taps for work in subject.works}
        counts = {"QONNX": qonnx_macs(subject.model)}
        if zigzag:
            searched = search_mappings(subject, zigzag, depth, table)
            counts["ZigZag"] = {name: layer.macs for name, layer in searched.items()}
            found.append((subject.name, searched))
        differ = [f"{tool}: {name}" for tool, macs in counts.items() for name in differences(taps, macs)]
        differing += [f"{path}: {where}" for where in differ]
        sums = [f"{sum(macs.values()):,}" for macs in counts.values()]
        shown.add_row(subject.name, str(len(taps)), f"{sum(taps.values()):,}", *sums, str(len(differ)))
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(shown)
    for name, searched in found:
        console.print(searched_text(name, searched, zigzag, table), markup=False, highlight=False, soft_wrap=True)
    for where in differing:
        print(f"check failed: {where}", file=sys.stderr)
    if differing:
        raise typer.Exit(1)


def differences(taps, macs):
    """The layers that only one side has, or that have other counts, in order."""
    return [name for name in dict.fromkeys((*taps, *macs)) if taps.get(name) != macs.get(name)]


def search_mappings(subject, name, depth, table):
    """{layer name: Searched} of a Subject on the accelerator called `name`, a tap priced by an energy table."""
    accelerator = load_accelerator(name)
    words = words_of(subject.works, accelerator)
    widest = {operand: max(bits[operand] for bits in words.values()) for operand in ZIGZAG_OPERANDS}
    prices = load_table(table)
    tap_pj = sum(energy(work.events, prices) for work in subject.works) / sum(work.taps for work in subject.works)
    described = hardware(accelerator, load_memory_table(accelerator.memory), tap_pj, widest)
    model = subject.model
    if subject.graph is not None:
        sizes = {layer: {ZIGZAG_OPERANDS[key]: bits for key, bits in each.items()} for layer, each in words.items()}
        model = conv_alias(subject.graph, sizes)
    return search(model, described, mapping(accelerator), depth=depth)


def searched_text(name, searched, accelerator, table):
    """ZigZag's energies and cycles of a network in one line."""
    array, memory = (sum(getattr(layer, part) for layer in searched.values()) for part in ("array_pj", "memory_pj"))
    cycles = sum(layer.cycles for layer in searched.values())
    return (
        f"{name} by ZigZag on {accelerator}: array {array / 1e6:.2f} µJ ({table}), memories {memory / 1e6:.2f} µJ "
        f"(DRAM low), {cycles:,.0f} cycles"
    )


def main() -> None:
    """Entry point of `python -m adderhw.crosscheck` and `adderhw-crosscheck`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
