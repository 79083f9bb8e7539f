"""Prints the gist of a report document on a terminal, or plainly into a pipe."""

from adderhw.report.figures import count_text, energy_text, multiplications, percent_text, ratio_text


def print_summary(document, console):
    """Accuracy, tallies, energies beside the rivals', ratios and the check result, on a rich Console.

    Names are printed as they are (no markup); the Console decides on colour and drops it in a pipe.
    """
    for line in _headlines(document):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_energy_table(document))
    for ratio in document["ratios"].values():
        text = f"CNN / ANN {ratio_text(ratio['cnn_over_ann'])}: {ratio['basis']}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
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
    networks += [(rival["title"], rival) for rival in document["baselines"].values()]
    table = Table("energy an image, arithmetic only", box=None, pad_edge=False, title=None)
    for label, _ in networks:
        table.add_column(label, justify="right")
    for source in document["sources"]:
        energies = [energy_text(totals["energy_pj"][source["table"]]) for _, totals in networks]
        table.add_row(Text(f"{source['title']}, {source['node_nm']} nm"), *energies)
    return table


def _check_line(check):
    if check is None:
        return "check: not run"
    values = f"{check['values']:,} values of {check['images']:,} images against {check['backend']}"
    return f"check: {values}, {check['mismatches']:,} mismatches"
