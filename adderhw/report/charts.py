"""Which charts the page of a document has."""

from pathlib import Path

from adderhw.report.accuracy_charts import accuracy_chart, sqnr_chart
from adderhw.report.comparison import base_words
from adderhw.report.document import CAUSES
from adderhw.report.layer_chart import arithmetic_chart, memory_chart
from adderhw.report.ratio_chart import ratio_chart
from adderhw.report.roofline_chart import roofline_chart


def charts_of(document):
    """{name: Markup, or None where the document has nothing to draw}."""
    table, layers, memory = document["sources"][0]["table"], document["layers"], document["memory"]
    comparison = document["comparison"]
    base = base_words(document["network"]["name"], document["network"]["title"])
    points, tables = _points(document), comparison["tables"]
    rated = any(layer["sqnr_db"] is not None for layer in layers)
    return {
        "ratios": ratio_chart(comparison["ratios"], tables, "arithmetic only", base),
        "memory_ratios": ratio_chart(memory["ratios"], tables, "memory included", base) if memory else None,
        "layers": arithmetic_chart(layers, CAUSES, table) if layers else None,
        "memory_layers": memory_chart(layers, CAUSES, table) if memory and layers else None,
        "accuracy": accuracy_chart(points, table) if len(points) > 1 else None,
        "sqnr": sqnr_chart(layers) if rated else None,
        "roofline": roofline_chart(document) if memory and any(layer["taps"] for layer in layers) else None,
    }


def _points(document):
    """This run and the earlier ones, as accuracy_chart takes them; none where this run has no accuracy."""
    if document["accuracy"] is None:
        return []
    own = {**document["accuracy"], "path": document["model"]["path"], "energy_pj": document["totals"]["energy_pj"]}
    return [
        {**run, "label": Path(run["path"]).stem, "own": run is own}
        for run in (*document["earlier"], own)
    ]  # fmt: skip
