"""The command line that sets runs side by side: python -m adderhw.compare A.json B.json …"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adderhw.command_line import check_outputs, run_app
from adderhw.errors import AdderHwError

PROGRAM = "python -m adderhw.compare"
EXAMPLES = f"""Examples:

  {PROGRAM} int8.json int4.json

  {PROGRAM} int8.json int6.json int4.json --layers --html compare.html --csv compare.csv
"""
PIPE_WIDTH = 200
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    runs: Annotated[list[Path], typer.Argument(help="Documents that python -m adderhw.simulate --json wrote.")],
    layers: Annotated[bool, typer.Option("--layers", help="Print the energy of each layer too.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write raw values as CSV.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write tables and chart as one HTML file.")] = None,
) -> None:
    """Set runs side by side: accuracy, operations, energies, memory, and the differences from the first."""
    from adderhw.report import side_by_side_output as output
    from adderhw.report.reader import read_document
    from adderhw.report.side_by_side import side_by_side

    if len(runs) < 2:
        raise AdderHwError(f"compare: found {len(runs)} document, expected two or more")
    wanted = [path for path in (markdown, csv_path, html) if path]
    check_outputs(wanted)
    documents = [read_document(path) for path in runs]
    found = side_by_side(documents, runs)
    output.print_tables(found, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH), layers)
    if markdown:
        output.write_markdown(found, markdown, layers)
    if csv_path:
        output.write_csv(found, csv_path)
    if html:
        output.write_html(found, documents, html)
    for path in wanted:
        print(f"{path}: written", file=sys.stderr)


def main() -> None:
    """Entry point of `python -m adderhw.compare` and `adderhw-compare`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
