"""Every rival's energy over the network's own: a mark a table and the band they span, on a logarithmic axis."""

from adderhw.report.comparison import rival_text
from adderhw.report.figures import ratio_span
from adderhw.report.svg import Frame, Linear, Logarithmic, chart, element, line, rectangle, text

WIDTH, ROW, LEFT, RIGHT = 1000, 28, 178, 120
TOP, BELOW = 26, 46
SHAPES = ("circle", "square", "diamond", "triangle")


def ratio_chart(ratios, tables, scope, base):
    """The chart of a document's `ratios` ({rival: title, weights, by_table, band}), None where no table prices any.

    base: whose energy they are over, in words. tables: names, each with a shape of its own in this order; a key of
    by_table begins with its table's name.
    """
    rows = [ratio for ratio in ratios.values() if ratio["band"]]
    if not rows:
        return None
    ends = [ratio["band"][end]["value"] for ratio in rows for end in ("low", "high")]
    across = Logarithmic(min(*ends, 1) / 1.25, max(*ends, 1) * 1.25)
    frame = Frame(LEFT, TOP, WIDTH - LEFT - RIGHT, ROW * len(rows), across, Linear(0, 1))
    drawn = list(frame.x_axis(f"times {base}'s energy, {scope} (logarithmic)"))
    drawn += [line(frame.x(1), TOP - 6, frame.x(1), frame.bottom, "one"), _heading(frame)]
    for at, ratio in enumerate(rows):
        drawn += _row(frame, TOP + ROW * (at + 0.5), ratio, tables)
    label = "; ".join(f"{rival_text(ratio)} {ratio_span(ratio['band'])}" for ratio in rows)
    return chart(WIDTH, frame.bottom + BELOW, f"times {base}'s energy: {label}", *drawn)


def shape(kind, x, y, size, class_, title=None):
    """A filled mark of one of SHAPES about (x, y)."""
    words = [element("title", title)] if title else []
    if kind == "circle":
        return element("circle", *words, cx=x, cy=y, r=size, class_=class_)
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
    }[kind]
    points = " ".join(f"{x + size * dx:.2f},{y + size * dy:.2f}" for dx, dy in corners)
    return element("polygon", *words, points=points, class_=class_)


def table_shapes(tables):
    """{table: its shape}; after four they begin again."""
    return {table: SHAPES[at % len(SHAPES)] for at, table in enumerate(tables)}


def _heading(frame):
    return text(frame.x(1), frame.top - 11, "this network", "middle", "name")


def _row(frame, y, ratio, tables):
    low, high = (ratio["band"][end]["value"] for end in ("low", "high"))
    shapes, loses = table_shapes(tables), low <= 1
    yield text(LEFT - 12, y + 4, ratio["title"], "end", "ink")
    yield rectangle(frame.x(low), y - 5, frame.x(high) - frame.x(low), 10, "band loss" if loses else "band")
    for name, value in ratio["by_table"].items():
        kind = shapes[name.split(",")[0]]
        yield shape(kind, frame.x(value), y, 4, "mark loss" if value <= 1 else "mark", f"{name}: {value:.3g} ×")
    yield text(WIDTH, y + 4, ratio_span(ratio["band"]), "end", "bad" if loses else "ink")
