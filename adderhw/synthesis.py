"""The command line of synthesis: python -m adderhw.synthesis."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from adderhw.command_line import progress_bar, run_app, wide_console
from adderhw.errors import AdderHwError

PROGRAM = "python -m adderhw.synthesis"
PUBLISHED = "published for AdderNet on an FPGA, in LUTs: kernel about -81 %, whole accelerator -65.5 %"
HEADROOM = 8
EXAMPLES = f"""Examples:

  {PROGRAM} --table                      the table that ships (Yosys, OSU 0.18 µm); runs nothing

  {PROGRAM} --table --library osu035     the one of OSU 0.35 µm

  {PROGRAM} --bits 8                     synthesise every element at 8 bits

  {PROGRAM} --liberty mine.lib --json mine.json
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    table: Annotated[bool, typer.Option("--table", help="Print the table that ships instead of synthesising.")] = False,
    bits: Annotated[str, typer.Option(help="Widths of the operands, comma-separated.")] = "2,4,6,8,12,16",
    library: Annotated[str, typer.Option(help="osu018 or osu035, of Debian's qflow-tech packages.")] = "osu018",
    liberty: Annotated[
        Path | None, typer.Option(help="A library of standard cells of your own, in Liberty format.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON (schema 2).")] = None,
    threads: Annotated[int, typer.Option(help="How many syntheses run at a time.")] = 1,
) -> None:
    """Area, cells and logic depth of each element; no power is claimed."""
    from adderhw.files import check_writable, write_atomic
    from adderhw.hardware.areas import find_liberty, load_table, synthesise_all, table_text

    widths = parse_bits(bits)
    if threads < 1:
        raise AdderHwError(f"threads: found {threads}, expected at least 1")
    if table and liberty:
        raise AdderHwError("call: found --table and --liberty, expected one of them")
    if json_path:
        check_writable(json_path)
    if table:
        result = load_table(library)
        result["areas"] = [row for row in result["areas"] if row["bits"] in widths]
    else:
        file = find_liberty(liberty, library)
        with progress_bar("elements") as progress:
            result = synthesise_all(file, widths, threads=threads, progress=progress)
    print_rows(result)
    print_side_by_side(result)
    if json_path:
        write_atomic(json_path, table_text(result))
        print(f"{json_path}: written", file=sys.stderr)


def parse_bits(text):
    """A tuple of widths from 2 to 16; raises AdderHwError for another text."""
    widths = text.split(",")
    if not all(width.isascii() and width.isdigit() and 2 <= int(width) <= 16 for width in widths):
        raise AdderHwError(f"bits: found {text!r}, expected widths from 2 to 16, comma-separated")
    return tuple(dict.fromkeys(int(width) for width in widths))


def print_rows(result):
    """Prints every row, its area also per tap a clock."""
    unit = result["area_unit"]
    print(f"{result['tool'].split(' (')[0]}, {result['library']}; area in {unit}, depth in cells")
    shown = Table(box=None, pad_edge=False)
    for heading in ("element", "bits", "accumulator", "area", "cells", "depth", "area a tap"):
        shown.add_column(heading, justify="left" if heading == "element" else "right")
    for row in result["areas"]:
        counts = (str(row[key]) for key in ("bits", "accumulator_bits"))
        each = f"{row['area'] / row['taps']:,.0f}" if row["taps"] > 1 else ""
        shown.add_row(row["element"], *counts, f"{row['area']:,.0f}", str(row["cells"]), str(row["depth"]), each)
    wide_console().print(shown)


def print_side_by_side(result):
    """Prints |x − w|, x·w and XNOR beside each other, with the ratios that papers publish."""
    from adderhw.hardware.areas import side_by_side

    print(f"\narea / cells / depth, accumulators of 2^{HEADROOM} taps; XNOR takes as many taps a clock as bits")
    shown = Table(box=None, pad_edge=False)
    for heading in ("bits", "|x-w| + acc", "x*w + acc", "xnor + popcount", "|x-w| / x*w", "xnor / x*w"):
        shown.add_column(heading, justify="right")
    for bits, adder, product, xnor in side_by_side(result, HEADROOM):
        shown.add_row(str(bits), *map(three, (adder, product, xnor)), share(adder, product), share(xnor, product))
    wide_console().print(shown)
    print(PUBLISHED)


def three(row):
    """'7,002 / 203 / 21': area, cells and depth."""
    return f"{row['area']:,.0f} / {row['cells']} / {row['depth']}"


def share(row, other):
    """'0.318 (-68 %)': an area over another's."""
    return f"{row['area'] / other['area']:.3f} ({row['area'] / other['area'] - 1:+.0%})"


def main() -> None:
    """Entry point of `python -m adderhw.synthesis` and `adderhw-synthesis`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
