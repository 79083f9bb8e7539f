"""Writes a report document as one self-contained HTML page: inline style and SVG, one script that sorts, no request."""

import base64
import hashlib
import re
from functools import cache
from math import prod
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from adderhw.files import write_atomic
from adderhw.report.bars import by_cause_bars, memory_bars
from adderhw.report.charts import charts_of
from adderhw.report.comparison import base_words
from adderhw.report.document import CAUSES
from adderhw.report.figures import (
    count_text,
    energy_span,
    energy_text,
    multiplications,
    percent_text,
    ratio_span,
    ratio_text,
)
from adderhw.report.ratio_chart import shape, table_shapes
from adderhw.report.summary import unfit_by_reason
from adderhw.report.svg import element

TEMPLATES = Path(__file__).parent / "templates"


def write_html(document, path):
    """The page of `document` (of build_document) at `path`; raises AdderHwError when not writable."""
    write_atomic(path, render_html(document))


def render_html(document):
    """The page as text; every name that the model supplies is escaped."""
    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    comparison, own = document["comparison"], document["network"]
    return environment().get_template("report.html.j2").render(
        document=document,
        base=base_words(own["name"], own["title"]),
        causes=CAUSES,
        charts=charts_of(document),
        comparisons=[by_cause_bars(document, source) for source in document["sources"]],
        energy_span=energy_span(*(comparison["energy_pj"][own["name"]][end]["value"] for end in ("low", "high"))),
        headroom=_headroom(document),
        layers=_layers(document),
        losses=_losses(document),
        marks={table: _mark(kind) for table, kind in table_shapes(comparison["tables"]).items()},
        **(_memory(document) if document["memory"] else {}),
        multiplications=multiplications(document["totals"]["events"]),
        prices_by_basis=_prices_by_basis(document),
        script=Markup(script),
        script_digest=script_digest(script),
    )  # fmt: skip


def script_digest(script):
    """'sha256-…' of a script, by which the page's security policy lets it run and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def environment():
    """The Jinja environment of the templates, compiled once: everything is escaped, every name must exist."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count_text,
        energy=energy_text,
        percent=percent_text,
        ratio=ratio_text,
        span=ratio_span,
        breakable=_breakable,
        filename=lambda path: Path(path).name,
    )
    return environment


def _breakable(name):
    """The escaped name, with a chance to break the line after each dot and slash."""
    return Markup(re.sub(r"([./])", r"\1<wbr>", str(escape(name))))


def _mark(kind):
    """A legend's mark."""
    return element("svg", shape(kind, 7, 7, 4, "mark"), viewBox="0 0 14 14", aria_hidden="true")


def _layers(document):
    """The layers with what the table sorts by: energy and share under the first table, elements, memory."""
    table = document["sources"][0]["table"]
    total = sum(layer["energy_pj"][table] for layer in document["layers"])
    return [
        {
            **layer,
            "energy": layer["energy_pj"][table],
            "share": layer["energy_pj"][table] / total if total else 0,
            "elements": prod(layer["output_shape"]),
            "memory_low": _low(layer["memory"]["energy_pj"]) if layer["memory"] else None,
        }
        for layer in document["layers"]
    ]


def _low(energy):
    return energy["registers"] + energy["buffer"] + energy["dram_low"]


def _losses(document):
    """Where an adder network does not win, arithmetic only and with memory, in sentences that say which."""
    found = [f"Arithmetic only. {sentence}" for sentence in document["comparison"]["losses"]]
    memory = document["memory"]
    return found + [f"With memory. {sentence}" for sentence in memory["losses"]] if memory else found


def _memory(document):
    """What the templates show only with an accelerator."""
    dram = document["memory"]["networks"][document["network"]["name"]]["energy_pj"]
    return {
        "memory_bars": memory_bars(document),
        "memory_rows": _memory_rows(document),
        "dram_span": energy_span(dram["dram_low"], dram["dram_high"]),
        "unfit": unfit_by_reason(document),
    }


def _memory_rows(document):
    """One row a network on the accelerator: what it moves, its memory's energy and the whole over all tables."""
    memory, own = document["memory"], document["network"]
    titles = {own["name"]: own["title"]}
    titles |= {name: rival["title"] for name, rival in document["baselines"].items()}
    return [
        {
            "label": titles[name],
            "moved": moved,
            "memory": energy_span(
                _low(moved["energy_pj"]),
                _low(moved["energy_pj"]) - moved["energy_pj"]["dram_low"] + moved["energy_pj"]["dram_high"],
            ),
            "whole": energy_span(min(memory["energy_pj"][name].values()), max(memory["energy_pj"][name].values())),
        }
        for name, moved in memory["networks"].items()
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
