"""What a search over mixed widths prints, writes as JSON and draws."""

import io
import json
from pathlib import Path

from rich.table import Table

from adderhw.files import write_atomic
from adderhw.proportions import standard_error
from adderhw.report.figures import energy_text
from quant.mixed import front

SCHEMA = 1
COLUMNS = ("point", "energy", "divergence", "top-1 %", "± %", "bits, tensor by tensor")


def table(search):
    """A rich Table with a row for each point of the front, dearest first, then one for each uniform width."""
    found = Table()
    for column in COLUMNS:
        found.add_column(column, justify="left" if column == COLUMNS[-1] else "right", overflow="fold")
    for number, point in enumerate(front(search.known.values()), 1):
        found.add_row(*row(str(number), point, search.bench.selected), bits_text(point))
    found.add_section()
    for bits, point in search.uniform.items():
        found.add_row(*row(f"all {bits}", point, search.bench.selected), beaten_text(search, point))
    return found


def row(name, point, count):
    """The cells of a point but for its bits."""
    shares = ("", "")
    if point.correct is not None:
        shares = f"{100 * point.correct / count:.2f}", f"{100 * standard_error(point.correct, count):.2f}"
    return name, energy_text(point.energy), f"{point.loss:.3g}", *shares


def bits_text(point):
    """'8 6 6 5 …' of a point's widths."""
    return " ".join(map(str, point.widths))


def beaten_text(search, uniform):
    """Which points of the front are better than a uniform width, the dearest and the cheapest, and by how much."""
    beating = [
        (number, point)
        for number, point in enumerate(front(search.known.values()), 1)
        if point.energy <= uniform.energy and point.loss <= uniform.loss and point.widths != uniform.widths
    ]
    if not beating:
        return "on the front, or near it"
    texts = []
    for number, point in {beating[0][0]: beating[0][1], beating[-1][0]: beating[-1][1]}.items():
        energy, loss = point.energy / uniform.energy - 1, point.loss / uniform.loss - 1 if uniform.loss else 0.0
        texts.append(f"{number}: energy {100 * energy:+.1f} %, divergence {100 * loss:+.1f} %")
    return "; ".join(texts)


def document(search, header, seconds, chosen=None):
    """The search as a dict of plain JSON values, all points with their widths by name; docs/quantisation.md."""

    def section(point):
        widths = dict(zip(search.bench.tensors, point.widths, strict=True))
        return {**point._asdict(), "widths": widths}

    return {
        "schema": SCHEMA,
        **{key: value for key, value in header.items() if key != "schema"},
        "float_correct": search.bench.float_correct(),
        "seconds": seconds,
        "chosen": section(chosen) if chosen else None,
        "front": [section(point) for point in front(search.known.values())],
        "uniform": {str(bits): section(point) for bits, point in search.uniform.items()},
        "points": [section(point) for point in search.known.values()],
    }


def write_json(document, path):
    """The document as indented UTF-8 JSON; raises AdderHwError when `path` cannot be written."""
    write_atomic(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_plot(search, path):
    """Draws `figure` to a .png, .svg or .pdf file; raises AdderHwError when it cannot be written."""
    data = io.BytesIO()
    figure(search).savefig(data, format=Path(path).suffix[1:])
    write_atomic(path, data.getvalue())


def figure(search):
    """A matplotlib Figure: divergence, and with labels top-1, over energy; all points, the front, uniform widths."""
    from matplotlib.figure import Figure

    drawn, count = Figure(figsize=(10, 4.5), layout="constrained", dpi=110), search.bench.selected
    best = front(search.known.values())
    curves = [("divergence of the outputs", lambda point: point.loss)]
    if best[0].correct is not None:
        curves.append(("top-1 on the selection images, %", lambda point: 100 * point.correct / count))
    for axes, (label, value) in zip(drawn.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        for points, style in ((search.known.values(), {"marker": ".", "color": "0.8", "linestyle": ""}),
                              (best, {"marker": ".", "color": "C0"}),
                              (search.uniform.values(), {"marker": "s", "color": "C3", "linestyle": ""})):  # fmt: skip
            axes.plot([point.energy / 1e6 for point in points], [value(point) for point in points], **style)
        for bits, point in search.uniform.items():
            axes.annotate(f" {bits}", (point.energy / 1e6, value(point)), color="C3", va="bottom")
        axes.set_xlabel(f"energy an image, µJ ({search.bench.table.name})")
        axes.set_ylabel(label)
        axes.grid(color="0.9")
    drawn.axes[0].set_yscale("log")
    names = ("all points", "front", "all tensors at so many bits")
    drawn.legend(drawn.axes[0].lines[:3], names, loc="outside upper center", ncols=3, frameon=False)
    return drawn
