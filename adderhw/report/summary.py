"""Prints the gist of a report document on a terminal, or plainly into a pipe."""

from adderhw.cost.baselines import ANN
from adderhw.report.area_section import area_lines
from adderhw.report.comparison import rival_text
from adderhw.report.figures import check_words, count_text, energy_text, multiplications, percent_text, ratio_text

ARITHMETIC_ONLY = (
    "arithmetic only: no memory, registers, wires, clock or control; the document says what each rival assumes"
)
MAIN_RIVALS = ("ann", "cnn", "bnn")


def print_summary(document, console):
    """Accuracy, tallies, energies beside the rivals', ratios, bands over all tables and the check, on a rich Console.

    Names are printed as they are (no markup); the Console decides on colour and drops it in a pipe.
    """
    for line in _headlines(document):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_energy_table(document))
    for ratio in document["ratios"].values() if document["comparison"]["rewritten"] else ():
        text = f"CNN / ANN {ratio_text(ratio['cnn_over_ann'])}: {ratio['basis']}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    _print_rivals(document, console)
    console.print(_check_line(document["check"]), markup=False, highlight=False, soft_wrap=True)


def _headlines(document):
    data, accuracy, totals = document["data"], document["accuracy"], document["totals"]
    if document["tally_only"]:
        yield f"{document['model']['path']} as {document['network']['title']}"
        yield f"tally only, nothing was simulated: {document['tally_only']}"
    else:
        ran = " ".join(filter(None, (data["name"], data["split"])))
        yield f"{document['model']['path']} on {ran}, {data['count']:,} images"
        yield _accuracy_line(accuracy)
    if document["network"]["assumptions"]:
        yield document["network"]["assumptions"]
    paper = totals["paper"]
    counts = ", ".join(f"{name} {count_text(paper[name])}" for name in ("mul", "add", "xnor"))
    yield f"operations an image, as papers count: {counts}"
    events = ", ".join(f"{name} {count_text(count)}" for name, count in totals["events"].items())
    yield f"operations an image, in hardware (kind:bits): {events}"
    yield f"multiplications an image, in hardware: {count_text(multiplications(totals['events']))}"


def _accuracy_line(accuracy):
    if accuracy is None:
        return "top-1 accuracy: none, the data has no labels"
    top5 = "" if accuracy["top5"] is None else f", top-5 {percent_text(accuracy['top5'])}"
    return f"top-1 accuracy: {percent_text(accuracy['top1'])} ({accuracy['correct']:,} of {accuracy['count']:,}){top5}"


def _energy_table(document):
    from rich.table import Table
    from rich.text import Text

    networks = [(document["network"]["title"], document["totals"])]
    networks += [(rival["title"], rival) for name, rival in document["baselines"].items() if name in MAIN_RIVALS]
    table = Table("energy an image, arithmetic only", box=None, pad_edge=False, title=None)
    for label, _ in networks:
        table.add_column(label, justify="right")
    for source in document["sources"]:
        energies = [_energy_or_none(totals["energy_pj"][source["table"]]) for _, totals in networks]
        table.add_row(Text(f"{source['title']}, {source['node_nm']} nm"), *energies)
    return table


def _print_rivals(document, console):
    """Every rival's energy over this network's as a band over the tables, and in words where this network loses."""
    comparison, memory = document["comparison"], document["memory"]
    scope = f"arithmetic only, over {', '.join(comparison['tables'])}"
    lines = [*(_ratio_lines(comparison, scope) if comparison["rewritten"] else comparison["losses"]), ARITHMETIC_ONLY]
    if memory:
        lines += [
            _array_line(memory, document["network"]["name"]),
            *_ratio_lines(memory, "arithmetic and memory, over the same tables and both ends of DRAM"),
        ]
        lines += [f"no figure for {names}: {reason}" for reason, names in unfit_by_reason(document).items()]
        lines += [f"memory: {memory['table']['title']}, {memory['table']['node_nm']} nm. {memory['assumptions']}"]
    lines += area_lines(document)
    if document["network"]["name"] == ANN.name:
        lines += _bands(document)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _bands(document):
    """The CNN's energy over this adder network's over all tables, each with its assumptions in one line."""
    bits, memory = document["baselines"]["cnn"]["bits"], document["memory"]
    if bits is None:
        return
    own, cnn = document["totals"]["accumulator_bits"], document["baselines"]["cnn"]["accumulator_bits"]
    assumed = (
        f"programmable weights, operands of {span_text(bits['input'])} × {span_text(bits['weight'])} bit in both adder "
        f"and CNN layers, accumulators ANN {span_text(own)}, CNN {span_text(cnn)} bit, all other layers the same"
    )
    band = band_text(document["comparison"]["ratios"]["cnn"]["band"])
    yield f"CNN / ANN over all tables, arithmetic only: {band}; {assumed}; no memory, wires, clock or control"
    if memory and "cnn" in memory["ratios"]:
        array, table = memory["accelerator"], memory["table"]
        band = band_text(memory["ratios"]["cnn"]["band"])
        yield (
            f"CNN / ANN over all tables, with memory: {band}; {assumed}; {array['title']}, {table['title']}, "
            f"{table['node_nm']} nm, layer by layer through DRAM; no wires, clock or control"
        )


def span_text(ends):
    """'8' of [8, 8], '12–18' of [12, 18]."""
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"


def unfit_by_reason(document):
    """{why: the titles of the rivals that have no figure on the accelerator}."""
    reasons = {}
    for name, reason in document["memory"]["unfit"].items():
        reasons.setdefault(reason, []).append(document["baselines"][name]["title"])
    return {reason: "; ".join(titles) for reason, titles in reasons.items()}


def _ratio_lines(section, scope):
    """A heading, a line for each rival, and the losses of a `comparison` or `memory`."""
    names = {name: rival_text(ratio) for name, ratio in section["ratios"].items()}
    widest = max(map(len, names.values()), default=0)
    yield f"times this network's energy, {scope}:"
    for name, ratio in section["ratios"].items():
        yield f"  {names[name]:{widest}}  {band_text(ratio['band'])}"
    yield from section["losses"] or ["No rival takes as little energy as this network."]


def _array_line(memory, network):
    """The accelerator, and what this network does on it, in one line."""
    array, own = memory["accelerator"], memory["networks"][network]
    ends = [energy_text(_memory_energy(own["energy_pj"], end)) for end in ("low", "high")]
    dram = f"{count_text(own['bits']['dram'] // 8)} bytes from and to DRAM"
    return (
        f"on {array['title']}: {count_text(own['cycles'])} cycles, {percent_text(own['utilisation'])} of the array in "
        f"use, {dram}, memory {' to '.join(ends)}"
    )


def _memory_energy(energy, end):
    return energy["registers"] + energy["buffer"] + energy[f"dram_{end}"]


def band_text(band):
    """'2.32 (horowitz45) to 3.92 (aladdin40)' of a ratio's band, or 'no price'."""
    if band is None:
        return "no price"
    return " to ".join(f"{band[end]['value']:.2f} ({band[end]['table']})" for end in ("low", "high"))


def _energy_or_none(picojoule):
    return "no price" if picojoule is None else energy_text(picojoule)


def _check_line(check):
    if check is None:
        return "check: not run"
    values = f"{check['values']:,} values of {check['images']:,} images against {check['backend']}"
    return "\n".join([f"check: {values}, {check['mismatches']:,} mismatches", *check_words(check)])
