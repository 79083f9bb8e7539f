"""The page's stacked bars: this network and its rivals on one scale, by cause, with or without memory."""

from adderhw.report.document import CAUSES
from adderhw.report.figures import energy_span, energy_text
from adderhw.report.layer_chart import memory_parts

MOST_TIMES = 8  # this network's energy: the longest bar that is drawn


def by_cause_bars(document, source):
    """One table's bars: {source, bars, beyond, ratio}; arithmetic only.

    A rival of more than MOST_TIMES this network's energy is told in words, for its bar would shrink all others.
    """
    table = source["table"]
    networks = [(document["network"]["title"], document["totals"])]
    networks += [(rival["title"], rival) for rival in document["baselines"].values() if rival["energy_pj"][table]]
    parts = {label: cause_parts(totals["energy_by_cause"][table]) for label, totals in networks}
    bars, beyond = _drawn(parts, {label: totals["energy_pj"][table] for label, totals in networks})
    for bar in bars:
        bar["total"] = energy_text(bar["total"])
    return {"source": source, "bars": bars, "beyond": beyond, "ratio": document["ratios"][table]}


def memory_bars(document):
    """{bars, beyond} with memory: every network that fits the accelerator and that the first table prices."""
    table = document["sources"][0]["table"]
    own = document["network"]
    networks = {own["name"]: (own["title"], document["totals"])}
    networks |= {name: (rival["title"], rival) for name, rival in document["baselines"].items()}
    parts, spans = {}, {}
    for name, moved in document["memory"]["networks"].items():
        label, totals = networks[name]
        if totals["energy_pj"][table]:
            parts[label] = cause_parts(totals["energy_by_cause"][table]) + memory_parts(moved["energy_pj"])
            high = sum(energy for *_, energy in parts[label])
            spans[label] = energy_span(high - parts[label][-1][-1], high)
    bars, beyond = _drawn(parts, {label: sum(energy for *_, energy in found) for label, found in parts.items()})
    for bar in bars:
        bar["total"] = spans[bar["label"]]
    return {"bars": bars, "beyond": [(label, spans[label]) for label, _ in beyond]}


def cause_parts(by_cause):
    """[(CSS class, name, pJ)] of an energy_by_cause of one table."""
    return [(f"c{index}", cause, by_cause[cause]) for index, cause in enumerate(CAUSES)]


def _drawn(parts, totals):
    """(the bars up to MOST_TIMES the first one's total, [(label, total)] of the others)."""
    most = MOST_TIMES * next(iter(totals.values()))
    beyond = [(label, total) for label, total in totals.items() if total > most]
    shown = {label: total for label, total in totals.items() if total <= most}
    longest = max(shown.values())
    bars = [
        {"label": label, "own": not at, "total": total, "segments": _segments(parts[label], longest)}
        for at, (label, total) in enumerate(shown.items())
    ]
    return bars, beyond


def _segments(parts, longest):
    """The bar's parts with left edge and width in thousandths of `longest`."""
    left, segments = 0.0, []
    for class_, name, energy in parts:
        width = 1000 * energy / longest if longest else 0
        segments.append({"class": class_, "name": name, "energy": energy, "x": left, "width": width})
        left += width
    return segments
