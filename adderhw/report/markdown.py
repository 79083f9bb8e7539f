"""Writes a report document as Markdown: tables that read as text and that GitHub and pandoc draw."""

import re

from adderhw.files import write_atomic
from adderhw.report.comparison import rival_text
from adderhw.report.figures import (
    check_words,
    count_text,
    energy_span,
    energy_text,
    multiplications,
    percent_text,
    ratio_span,
)

_SPECIAL = re.compile(r"([\\|`*_<>\[\]#])")


def write_markdown(document, path):
    """The document at `path`; raises AdderHwError when not writable."""
    write_atomic(path, render_markdown(document))


def render_markdown(document):
    """The gist, every rival, every layer, sources and the command, as Markdown text ending in a line break."""
    parts = [*_head(document), *_rivals(document), *_causes(document), *_memory(document), *_layers(document)]
    return "\n\n".join([*parts, *_notes(document)]) + "\n"


def markdown_table(columns, rows):
    """A table; columns: (heading, whether its cells are numbers); cells are escaped."""
    lines = [[heading for heading, _ in columns], ["--:" if number else "---" for _, number in columns], *rows]
    lines[0], lines[2:] = map(escaped, lines[0]), [map(escaped, row) for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escaped(text):
    """The text with every sign that Markdown reads escaped, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def _head(document):
    data, accuracy, totals = document["data"], document["accuracy"], document["totals"]
    yield f"# {escaped(document['model']['path'])}"
    ran = " ".join(filter(None, (data["name"], data["split"])))
    if document["tally_only"]:
        title = document["network"]["title"]
        reason = escaped(document["tally_only"])
        yield f"{title}: tally only, nothing was simulated: {reason}. All figures are an image's."
    else:
        yield f"{escaped(ran)}, {data['count']:,} images. All figures are an image's."
    band = document["comparison"]["energy_pj"][document["network"]["name"]]
    rows = [
        ("top-1 accuracy", "no labels" if accuracy is None else percent_text(accuracy["top1"])),
        ("arithmetic energy over all tables", energy_span(band["low"]["value"], band["high"]["value"])),
        *_cnn(document["comparison"]["ratios"]),
        ("additions, as papers count", count_text(totals["paper"]["add"])),
        ("multiplications, as papers count", count_text(totals["paper"]["mul"])),
        ("multiplications, in hardware", count_text(multiplications(totals["events"]))),
        ("independent check", _check(document["check"])),
    ]
    yield markdown_table([("figure", False), ("value", True)], rows)
    if document["network"]["assumptions"]:
        yield escaped(document["network"]["assumptions"])


def _cnn(ratios):
    """The row of the CNN's ratio, none where the network is that CNN itself."""
    return [("a CNN takes, arithmetic only", ratio_span(ratios["cnn"]["band"]))] if "cnn" in ratios else []


def _check(check):
    if check is None:
        return "not run"
    differ = f"{check['mismatches']:,} of {check['values']:,} values differ from {check['backend']}"
    return "; ".join([differ, *(escaped(words.strip()) for words in check_words(check))])


def _rivals(document):
    comparison, memory = document["comparison"], document["memory"]
    yield "## Beside other arithmetic on the same topology"
    columns = [("rival", False), ("× energy, arithmetic only", True)]
    if memory:
        columns.append((f"× energy with memory, {memory['accelerator']['title']}", True))
    yield markdown_table(columns, [_rival(name, document) for name in comparison["ratios"]])
    losses = comparison["losses"] + (memory["losses"] if memory else [])
    yield "\n".join(f"- {escaped(loss)}" for loss in losses) or "No rival takes as little energy as this network."


def _rival(name, document):
    ratio, memory = document["comparison"]["ratios"][name], document["memory"]
    cells = [rival_text(ratio), ratio_span(ratio["band"])]
    if memory:
        cells.append(ratio_span(memory["ratios"][name]["band"]) if name in memory["ratios"] else "–")
    return cells


def _causes(document):
    tables = [source["table"] for source in document["sources"]]
    by_cause = document["totals"]["energy_by_cause"]
    rows = [(cause, *(energy_text(by_cause[table][cause]) for table in tables)) for cause in by_cause[tables[0]]]
    rows.append(("all", *(energy_text(document["totals"]["energy_pj"][table]) for table in tables)))
    yield "## Arithmetic energy by cause"
    yield markdown_table([("cause", False), *((table, True) for table in tables)], rows)


def _memory(document):
    memory = document["memory"]
    if memory is None:
        return
    own = memory["networks"][document["network"]["name"]]
    energy = own["energy_pj"]
    yield f"## On {escaped(memory['accelerator']['title'])}"
    rows = [
        ("cycles", count_text(own["cycles"])),
        ("array in use", "–" if own["utilisation"] is None else percent_text(own["utilisation"])),
        ("bytes from and to DRAM", count_text(own["bits"]["dram"] // 8)),
        ("registers", energy_text(energy["registers"])),
        ("buffers", energy_text(energy["buffer"])),
        ("DRAM", energy_span(energy["dram_low"], energy["dram_high"])),
    ]
    yield markdown_table([("figure", False), ("value", True)], rows)
    yield escaped(memory["assumptions"])


def _layers(document):
    table, noise = document["sources"][0]["table"], document["sqnr"] is not None
    columns = [("#", True), ("layer", False), ("op", False), ("output", False), ("bits", True), ("taps", True)]
    columns += [("accumulator bits", True), (f"energy, {table}", True)] + [("SQNR dB", True)] * noise
    yield "## Layers"
    yield markdown_table(
        columns, [_layer(number, layer, table, noise) for number, layer in enumerate(document["layers"], 1)]
    )


def _layer(number, layer, table, noise):
    bits, taps, seen = layer["bits"], layer["taps"], layer["accumulator"]
    return [
        number,
        layer["name"],
        layer["op"],
        " × ".join(map(str, layer["output_shape"])),
        f"{bits['input']} × {bits['weight']}" if taps else "",
        count_text(taps) if taps else "",
        f"{seen['observed_bits']} of {bits['accumulator']}" if seen else "",
        energy_text(layer["energy_pj"][table]),
        *(["" if layer["sqnr_db"] is None else f"{layer['sqnr_db']:.1f}"] * noise),
    ]


def _notes(document):
    yield "## Sources"
    yield "\n".join(
        f"- {escaped(source['title'])} ({source['node_nm']} nm, supply voltage {escaped(source['voltage'])}): "
        f"{escaped(source['source'])}"
        for source in document["sources"]
    )
    yield f"Model {escaped(document['model']['path'])}, sha256 {document['model']['sha256']}."
    if document["command"]:
        fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", document["command"])), default=0))
        yield f"{fence}\n{document['command']}\n{fence}"
