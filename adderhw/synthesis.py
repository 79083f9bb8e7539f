"""The command line of synthesis: python -m adderhw.synthesis."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adderhw.command_line import progress_bar, run_app
from adderhw.errors import AdderHwError

PROGRAM = "python -m adderhw.synthesis"
PUBLISHED = "published (AdderNet on an FPGA, LUTs): kernel about -81 %, whole accelerator -65.5 %"
EXAMPLES = f"""Examples:

  {PROGRAM} --table                      the table that ships (Yosys, OSU 0.18 µm); runs nothing

  {PROGRAM} --bits 8                     synthesise every element at 8 bits

  {PROGRAM} --liberty mine.lib --json mine.json
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    table: Annotated[bool, typer.Option("--table", help="Print the table that ships instead of synthesising.")] = False,
    bits: Annotated[str, typer.Option(help="Widths of the operands, comma-separated.")] = "2,4,6,8,12,16",
    liberty: Annotated[
        Path | None, typer.Option(help="Library of standard cells (Liberty); default OSU 0.18 µm where installed.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON (schema 1).")] = None,
) -> None:
    """Area, cells and logic depth of each processing element; no power is claimed."""
    from adderhw.files import check_writable, write_atomic
    from adderhw.hardware.areas import find_liberty, load_table, synthesise_all

    if json_path:
        check_writable(json_path)
    if table:
        result = load_table()
    else:
        with progress_bar("elements") as progress:
            result = synthesise_all(find_liberty(liberty), parse_bits(bits), progress=progress)
    print_table(result)
    if json_path:
        write_atomic(json_path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print(f"{json_path}: written", file=sys.stderr)


def parse_bits(text):
    """A tuple of widths from 2 to 16; raises AdderHwError for another text."""
    widths = text.split(",")
    if not all(width.isascii() and width.isdigit() and 2 <= int(width) <= 16 for width in widths):
        raise AdderHwError(f"bits: found {text!r}, expected widths from 2 to 16, comma-separated")
    return tuple(int(width) for width in widths)


def print_table(result):
    """Prints every row with its area over the multiply-accumulate element's of the same bits and headroom."""
    from adderhw.hardware.areas import multiply_accumulate_beside

    shown = Table(title=f"{result['tool'].split(' (')[0]}, {result['library']}", title_justify="left")
    for heading in ("element", "bits", "accumulator", "area", "cells", "depth", "of multiply-accumulate"):
        shown.add_column(heading, justify="left" if heading == "element" else "right")
    for row in result["areas"]:
        beside = multiply_accumulate_beside(result, row)
        ratio = f"{row['area'] / beside['area']:.3f} ({row['area'] / beside['area'] - 1:+.0%})" if beside else ""
        widths = (str(row[key]) for key in ("bits", "accumulator_bits"))
        shown.add_row(row["element"], *widths, f"{row['area']:,.0f}", str(row["cells"]), str(row["depth"]), ratio)
    Console().print(shown)
    print(PUBLISHED)


def main() -> None:
    """Entry point of `python -m adderhw.synthesis` and `adderhw-synthesis`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
