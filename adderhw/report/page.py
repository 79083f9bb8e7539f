"""Writes a report document as one self-contained HTML page: inline styles and SVG, no script, no request."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from adderhw.files import write_atomic
from adderhw.report.document import CAUSES
from adderhw.report.figures import count_text, energy_text, multiplications, percent_text, ratio_text

MOST_TIMES = 8  # this network's energy: the longest bar that is drawn


def write_html(document, path):
    """The page of `document` (of build_document) at `path`; raises AdderHwError when not writable."""
    write_atomic(path, render_html(document))


def render_html(document):
    """The page as text; every name that the model supplies is escaped."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count_text, energy=energy_text, percent=percent_text, ratio=ratio_text, breakable=_breakable
    )
    environment.filters["filename"] = lambda path: Path(path).name
    return environment.get_template("report.html.j2").render(
        document=document,
        causes=CAUSES,
        comparisons=[_comparison(document, source) for source in document["sources"]],
        layers=_layers(document),
        headroom=_headroom(document),
        multiplications=multiplications(document["totals"]["events"]),
        prices_by_basis=_prices_by_basis(document),
    )


def _breakable(name):
    """The escaped name, with a chance to break the line after each dot and slash."""
    return Markup(re.sub(r"([./])", r"\1<wbr>", str(escape(name))))


def _comparison(document, source):
    """One table's stacked bars: this network and its rivals on one scale, the longest 1000 units wide.

    A rival of more than MOST_TIMES this network's energy is told in words, for its bar would shrink all others.
    """
    table = source["table"]
    networks = [(document["network"]["title"], document["totals"])]
    networks += [(rival["title"], rival) for rival in document["baselines"].values() if rival["energy_pj"][table]]
    most = MOST_TIMES * document["totals"]["energy_pj"][table]
    beyond = [(label, totals["energy_pj"][table]) for label, totals in networks if totals["energy_pj"][table] > most]
    networks = [(label, totals) for label, totals in networks if totals["energy_pj"][table] <= most]
    longest = max(totals["energy_pj"][table] for _, totals in networks)
    bars = [
        {
            "label": label,
            "total": totals["energy_pj"][table],
            "segments": _segments(totals["energy_by_cause"][table], longest),
        }
        for label, totals in networks
    ]
    return {"source": source, "bars": bars, "beyond": beyond, "ratio": document["ratios"][table]}


def _segments(by_cause, longest):
    """The bar's parts: cause, its number in CAUSES, energy, left edge and width in thousandths of `longest`."""
    left, segments = 0.0, []
    for index, cause in enumerate(CAUSES):
        width = 1000 * by_cause[cause] / longest if longest else 0
        segments.append({"cause": cause, "index": index, "energy": by_cause[cause], "x": left, "width": width})
        left += width
    return segments


def _layers(document):
    """The layers with their share of the first table's energy and a bar on the scale of the costliest."""
    table = document["sources"][0]["table"]
    energies = [layer["energy_pj"][table] for layer in document["layers"]]
    total, most = sum(energies), max(energies, default=0)
    return [
        {
            **layer,
            "energy": energy,
            "share": energy / total if total else 0,
            "bar": 1000 * energy / most if most else 0,
            "index": CAUSES.index(layer["cause"]),
        }
        for layer, energy in zip(document["layers"], energies, strict=True)
    ]


def _headroom(document):
    """Accumulator widths of every layer that sums, in thousandths of the widest."""
    summing = [layer for layer in document["layers"] if layer["accumulator"]]
    widest = max((max(_widths(layer)) for layer in summing), default=1)
    rows = []
    for layer in summing:
        bound, observed, given = (1000 * bits / widest for bits in _widths(layer))
        rows.append({**layer, "bound": bound, "observed": observed, "given": given})
    return rows


def _widths(layer):
    seen = layer["accumulator"]
    return seen["bound_bits"], seen["observed_bits"], layer["bits"]["accumulator"]


def _prices_by_basis(document):
    """Per table the event names of each basis, so that a reader sees which prices the source did not publish."""
    grouped = {}
    for table, prices in document["price_basis"].items():
        grouped[table] = {}
        for name, price in prices.items():
            grouped[table].setdefault(price["basis"], []).append((name, price["picojoule"]))
    return grouped
