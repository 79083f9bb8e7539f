"""Several runs beside each other: a row a figure, a column a run, and how each differs from the first."""

from math import sqrt
from pathlib import Path
from typing import NamedTuple

from adderhw.errors import AdderHwError
from adderhw.report.figures import count_text, energy_text, multiplications, percent_text


class Row(NamedTuple):
    """One figure of all runs: its label, its unit, the raw values (None: the run has none), and how each reads."""

    label: str
    unit: str
    values: tuple
    texts: tuple[str, ...]


class SideBySide(NamedTuple):
    """names: one a run. rows: of networks. layers: energies by layer under `table`. notes: what not to compare."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    layers: tuple[Row, ...]
    table: str
    notes: tuple[str, ...]


def side_by_side(documents, paths):
    """The SideBySide of two or more documents read from `paths`; AdderHwError where no energy table is in all."""
    tables = [table for table in documents[0]["totals"]["energy_pj"] if all(_prices(each, table) for each in documents)]
    if not tables:
        found = "; ".join(
            f"{path}: {', '.join(each['totals']['energy_pj'])}" for path, each in zip(paths, documents, strict=True)
        )
        raise AdderHwError(f"compare: found {found}, expected one energy table in all")
    rows = [*_what(documents), *_accuracy(documents), *_arithmetic(documents, tables), *_memory(documents)]
    return SideBySide(
        _names(documents, paths), tuple(rows), _layers(documents, tables[0]), tables[0], _notes(documents)
    )


def _prices(document, table):
    return table in document["totals"]["energy_pj"]


def _names(documents, paths):
    """The models' file names; those of the JSON files where two models are called alike; whole paths where both are."""
    for names in (
        [Path(document["model"]["path"]).stem for document in documents],
        [Path(path).stem for path in paths],
    ):
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(map(str, paths))


def _row(label, values, text=count_text, unit="", relative=True):
    """A Row whose texts say by how many percent each value differs from the first run's."""
    first, texts = values[0], []
    for value in values:
        if value is None:
            texts.append("–")
        elif value == first or not relative or not first:
            texts.append(text(value))
        else:
            texts.append(f"{text(value)} ({100 * (value / first - 1):+.1f} %)")
    return Row(label, unit, tuple(values), tuple(texts))


def _words(label, values):
    return Row(label, "", tuple(values), tuple("–" if value is None else str(value) for value in values))


def _what(documents):
    yield _words("model", [document["model"]["path"] for document in documents])
    yield _words("data", [" ".join(filter(None, (each["data"]["name"], each["data"]["split"]))) for each in documents])
    yield _row("images", [document["data"]["count"] for document in documents], relative=False)
    yield _words("bits of adder layers, x × w", [_bits(document) for document in documents])
    yield _words("accumulators of adder layers", [_ends(each["totals"]["accumulator_bits"]) for each in documents])


def _bits(document):
    adders = [layer["bits"] for layer in document["layers"] if layer["kind"] == "adder"]
    if not adders:
        return None
    return " × ".join(
        _ends([min(bits[name] for bits in adders), max(bits[name] for bits in adders)]) for name in ("input", "weight")
    )


def _ends(pair):
    return None if pair is None else "–".join(map(str, dict.fromkeys(pair)))


def _accuracy(documents):
    found = [document["accuracy"] for document in documents]
    values = [None if each is None else each["top1"] for each in found]
    texts = ["–" if each is None else _with_error(each) for each in found]
    yield Row("top-1 ± one standard error", "share", tuple(values), tuple(texts))


def _with_error(accuracy):
    share, count = accuracy["top1"], accuracy["count"]
    return f"{percent_text(share)} ± {100 * sqrt(share * (1 - share) / count):.2f}"


def _arithmetic(documents, tables):
    totals = [document["totals"] for document in documents]
    yield _row("additions, as papers count", [each["paper"]["add"] for each in totals])
    yield _row("multiplications, as papers count", [each["paper"]["mul"] for each in totals])
    yield _row("multiplications, in hardware", [multiplications(each["events"]) for each in totals])
    for table in tables:
        yield _row(f"arithmetic energy, {table}", [each["energy_pj"][table] for each in totals], energy_text, "pJ")
    for table in tables:
        ratios = [document["ratios"][table]["cnn_over_ann"] for document in documents]
        yield _row(f"CNN / ANN, {table}", ratios, lambda ratio: f"{ratio:.2f} ×", relative=False)


def _memory(documents):
    if not any(document["memory"] for document in documents):
        return
    moved = [
        document["memory"] and document["memory"]["networks"][document["network"]["name"]] for document in documents
    ]
    yield _words("accelerator", [each["memory"] and each["memory"]["accelerator"]["name"] for each in documents])
    yield _row("cycles", [each and each["cycles"] for each in moved])
    yield _row("array in use", [each and each["utilisation"] for each in moved], percent_text, relative=False)
    yield _row("bytes from and to DRAM", [each and each["bits"]["dram"] // 8 for each in moved])
    for end in ("low", "high"):
        energies = [each and _whole(each["energy_pj"], end) for each in moved]
        yield _row(f"memory energy, DRAM {end}", energies, energy_text, "pJ")


def _whole(energy, end):
    return energy["registers"] + energy["buffer"] + energy[f"dram_{end}"]


def _layers(documents, table):
    """A Row for each layer that any run has, by name, in the order of the first run that has it."""
    energies = [{layer["name"]: layer["energy_pj"][table] for layer in document["layers"]} for document in documents]
    names = dict.fromkeys(name for each in energies for name in each)
    return tuple(_row(name, [each.get(name) for each in energies], energy_text, "pJ") for name in names)


def _notes(documents):
    """What the runs do not share and figures of which therefore do not compare."""
    notes = []
    for what, values in (
        (
            "data sets: their accuracies do not compare",
            [(each["data"]["name"], each["data"]["split"]) for each in documents],
        ),
        (
            "accelerators: their memory figures do not compare",
            [each["memory"]["accelerator"] for each in documents if each["memory"]],
        ),
    ):
        if any(value != values[0] for value in values):
            notes.append(f"The runs are on different {what}.")
    return tuple(notes)
