"""Prints the gist of a report document on a terminal, or plainly into a pipe."""

from adderhw.report.comparison import rival_text
from adderhw.report.figures import count_text, energy_text, multiplications, percent_text, ratio_text

MAIN_RIVALS = ("cnn", "bnn")


def print_summary(document, console):
    """Accuracy, tallies, energies beside the rivals', ratios, bands over all tables and the check, on a rich Console.

    Names are printed as they are (no markup); the Console decides on colour and drops it in a pipe.
    """
    for line in _headlines(document):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_energy_table(document))
    for ratio in document["ratios"].values():
        text = f"CNN / ANN {ratio_text(ratio['cnn_over_ann'])}: {ratio['basis']}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    _print_rivals(document["comparison"], console)
    console.print(_check_line(document["check"]), markup=False, highlight=False, soft_wrap=True)


def _headlines(document):
    data, accuracy, totals = document["data"], document["accuracy"], document["totals"]
    yield f"{document['model']['path']} on {data['name']} {data['split']}, {data['count']:,} images"
    yield _accuracy_line(accuracy)
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

    networks = [("ANN", document["totals"])]
    networks += [(rival["title"], rival) for name, rival in document["baselines"].items() if name in MAIN_RIVALS]
    table = Table("energy an image, arithmetic only", box=None, pad_edge=False, title=None)
    for label, _ in networks:
        table.add_column(label, justify="right")
    for source in document["sources"]:
        energies = [_energy_or_none(totals["energy_pj"][source["table"]]) for _, totals in networks]
        table.add_row(Text(f"{source['title']}, {source['node_nm']} nm"), *energies)
    return table


def _print_rivals(comparison, console):
    """Every rival's energy over this network's as a band over the tables, and in words where this network loses."""
    lines = [f"times this network's energy, arithmetic only, over {', '.join(comparison['tables'])}:"]
    names = {name: rival_text(ratio) for name, ratio in comparison["ratios"].items()}
    widest = max(map(len, names.values()))
    lines += [f"  {names[name]:{widest}}  {band_text(ratio['band'])}" for name, ratio in comparison["ratios"].items()]
    for line in lines + (comparison["losses"] or ["No rival takes as little energy as this network."]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


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
    return f"check: {values}, {check['mismatches']:,} mismatches"
