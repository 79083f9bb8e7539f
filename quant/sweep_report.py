"""What a sweep prints, writes as CSV and draws: the points that no other beats in both accuracy and energy."""

import csv
import io
from pathlib import Path

from rich.table import Table

from adderhw.errors import AdderHwError
from adderhw.files import write_atomic
from adderhw.proportions import standard_error
from adderhw.report.csv_cells import cells
from adderhw.report.figures import count_text, energy_scale, energy_text
from quant.sweep_config import EXACT, NO_ACCELERATOR, Point

MARKERS = "os^Dv<>p*"
# Of M. Okabe and K. Ito: told apart by readers of every colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
FIGURES = ("correct", "count", "arithmetic_pj", "multiplications", "overflows", "cnn_over_ann", "outputs", "error")
MEMORY = ("cycles", "low_pj", "high_pj")


def whole_pj(record):
    """pJ an image: arithmetic, and memory at DRAM's low end where there is an accelerator."""
    return record["arithmetic_pj"] + (record["memory"]["low_pj"] if record["memory"] else 0.0)


def front(records):
    """The records, dearest first, that no other equals or beats in both images right and energy."""
    best, found = -1, []
    for record in sorted(records, key=lambda each: (whole_pj(each), -each["correct"])):
        if record["correct"] > best:
            best = record["correct"]
            found.append(record)
    return found[::-1]


def panels(records):
    """{(energy table, accelerator): its records with accuracies}; only within one do energies compare."""
    found = {}
    for record in records:
        if record.get("correct") is not None:
            found.setdefault((record["point"]["energy"], record["point"]["accelerator"]), []).append(record)
    return found


def panel_title(energy, accelerator):
    """'horowitz45, arithmetic only' or 'horowitz45 and eyeriss_like, DRAM low', files by their stems."""
    if accelerator == NO_ACCELERATOR:
        return f"{Path(energy).stem}, arithmetic only"
    return f"{Path(energy).stem} and {Path(accelerator).stem}, DRAM low"


def tables(records):
    """A rich Table for each panel: its front."""
    for (energy, accelerator), inside in panels(records).items():
        found = Table(title=f"front of {len(inside)} points: {panel_title(energy, accelerator)}", title_justify="left")
        for column in (
            "energy",
            "top-1 %",
            "± %",
            "bits",
            "realisation",
            "accumulator",
            "multiplications",
            "overflows",
        ):
            found.add_column(column, justify="left" if column in ("realisation", "accumulator") else "right")
        for record in front(inside):
            found.add_row(*_row(record))
        yield found


def _row(record):
    point, right, count = record["point"], record["correct"], record["count"]
    return (
        energy_text(whole_pj(record)),
        f"{100 * right / count:.2f}",
        f"{100 * standard_error(right, count):.2f}",
        str(point["bits"]),
        point["realisation"],
        point["accumulator"],
        count_text(record["multiplications"]),
        count_text(record["overflows"]),
    )


def write_csv(records, path):
    """A row a point, RFC 4180, energies in pJ an image, empty where there is none; AdderHwError when not writable."""
    text = io.StringIO()
    writer = csv.DictWriter(text, (*Point._fields, *FIGURES, *MEMORY), restval="", lineterminator="\r\n")
    writer.writeheader()
    for record in records:
        figures = {name: record.get(name) for name in FIGURES}
        writer.writerow(cells({**record["point"], **figures, **(record.get("memory") or {})}))
    write_atomic(path, text.getvalue())


def write_plot(records, path):
    """Draws `figure` to a .png, .svg or .pdf file; raises AdderHwError when it cannot be written."""
    data = io.BytesIO()
    figure(records).savefig(data, format=Path(path).suffix[1:])
    write_atomic(path, data.getvalue())


def figure(records):
    """A matplotlib Figure, a panel a table and accelerator: top-1 over energy, the front as a line.

    Colour says the bits, shape the realisation; a narrowed accumulator's mark is hollow.
    Raises AdderHwError where no point has an accuracy.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = panels(records)
    if not shown:
        raise AdderHwError("plot: found no point with an accuracy, expected data with labels")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    drawn = Figure(figsize=(5.2 * columns, 0.6 + 3.6 * rows), layout="constrained", dpi=110)
    grid = drawn.subplots(rows, columns, squeeze=False).flat
    points = [record["point"] for inside in shown.values() for record in inside]
    colours = {bits: COLOURS[at % len(COLOURS)] for at, bits in enumerate(sorted({point["bits"] for point in points}))}
    names = dict.fromkeys(point["realisation"] for point in points)
    markers = {name: MARKERS[at % len(MARKERS)] for at, name in enumerate(names)}
    for axes, (key, inside) in zip(grid, shown.items(), strict=False):
        _draw(axes, panel_title(*key), inside, colours, markers)
    for axes in list(grid)[len(shown) :]:
        axes.set_visible(False)
    handles = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in colours.values()]
    handles += [Line2D([], [], color="0.3", marker=marker, linestyle="") for marker in markers.values()]
    labels = [f"{bits} bit" for bits in colours] + list(markers)
    drawn.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)), frameon=False)
    return drawn


def _draw(axes, title, records, colours, markers):
    size, unit = energy_scale(max(map(whole_pj, records)))
    for record in records:
        point, share = record["point"], 100 * record["correct"] / record["count"]
        style = {"color": colours[point["bits"]], "marker": markers[point["realisation"]]}
        filled = "full" if point["accumulator"] == EXACT else "none"
        axes.plot(whole_pj(record) / size, share, linestyle="", markersize=6, fillstyle=filled, **style)
    ends = [(whole_pj(record) / size, 100 * record["correct"] / record["count"]) for record in front(records)]
    axes.plot(*zip(*ends, strict=True), color="0.4", linewidth=1, drawstyle="steps-pre", zorder=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(f"energy an image, {unit}")
    axes.set_ylabel("top-1, %")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
