"""Shows a SideBySide: on a terminal, as Markdown, as CSV and as one HTML page."""

import csv
import io

from adderhw.files import write_atomic
from adderhw.report.accuracy_charts import accuracy_chart
from adderhw.report.csv_cells import cells
from adderhw.report.markdown import escaped, markdown_table
from adderhw.report.page import environment


def print_tables(runs, console, layers):
    """The rows, and with `layers` those of the layers, on a rich Console; long cells are folded, never cut."""
    for title, rows in _tables(runs, layers):
        console.print(_rich(title, runs.names, rows))
    for note in runs.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def write_markdown(runs, path, layers):
    """The same as Markdown; raises AdderHwError when not writable."""
    parts = ["# Runs side by side", "In brackets: the difference from the first run."]
    for title, rows in _tables(runs, layers):
        columns = [(title, False), *((name, True) for name in runs.names)]
        parts.append(markdown_table(columns, [(row.label, *row.texts) for row in rows]))
    write_atomic(path, "\n\n".join([*parts, *map(escaped, runs.notes)]) + "\n")


def write_csv(runs, path):
    """A row a figure and a layer, RFC 4180, raw values, empty where a run has none; AdderHwError when not writable."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(cells(("section", "figure", "unit", *runs.names)))
    for section, rows in (("network", runs.rows), (f"layer, {runs.table}", runs.layers)):
        writer.writerows(cells((section, row.label, row.unit, *row.values)) for row in rows)
    write_atomic(path, text.getvalue())


def write_html(runs, documents, path):
    """One self-contained page; raises AdderHwError when not writable."""
    write_atomic(path, render_html(runs, documents))


def render_html(runs, documents):
    """The page as text: accuracy against energy where all runs have labels of one data set, then both tables."""
    points = _points(runs, documents)
    return environment().get_template("side_by_side.html.j2").render(
        runs=runs,
        tables=_tables(runs, layers=True),
        chart=accuracy_chart(points, runs.table) if points else None,
    )  # fmt: skip


def _tables(runs, layers):
    yield "figure", runs.rows
    if layers:
        yield f"energy of the layer, {runs.table}", runs.layers


def _points(runs, documents):
    """The runs as accuracy_chart takes them, none where their accuracies do not compare."""
    data = {(document["data"]["name"], document["data"]["split"]) for document in documents}
    if len(data) > 1 or not all(document["accuracy"] for document in documents):
        return []
    return [
        {**document["accuracy"], "label": name, "energy_pj": document["totals"]["energy_pj"], "own": False}
        for name, document in zip(runs.names, documents, strict=True)
    ]


def _rich(title, names, rows):
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(title, overflow="fold")
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, (row.label, *row.texts)))
    return table
