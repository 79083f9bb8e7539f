"""python -m training.table: train several methods over several seeds at one budget, and write mean ± deviation."""

import csv
import io
import json
import statistics
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adderhw.errors import AdderHwError
from adderhw.files import write_atomic
from training import command_line as options
from training.loop import train
from training.recipe import METHODS, Recipe

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Example:

  python -m training.table --methods cnn,ann,pkkd --seeds 3 --threads 1 --output runs/table
"""


@app.command(epilog=EPILOG)
@options.recipe_options("method", "seed", "teacher")
def command(
    settings: dict,
    *,
    output: options.Output,
    methods: Annotated[str, typer.Option(help="Methods to compare, separated by commas.")] = ",".join(METHODS),
    seeds: Annotated[int, typer.Option(help="How many seeds, counted from 0.", min=1)] = 3,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
):
    """Train every method with every seed, and print and write (table.json, table.csv) test accuracies.

    Each run lies in its own folder METHOD-SEED; run again, the command goes on where it was interrupted.
    """
    recipes = [Recipe(method=method, seed=seed, **settings) for method in _names(methods) for seed in range(seeds)]
    with options.computing(device, threads) as place:
        results = [_result(recipe, output / f"{recipe.method}-{recipe.seed}", root, place) for recipe in recipes]
    if not place.is_first:
        return
    rows = summarise(results)
    write_atomic(output / "table.json", json.dumps({"schema": 1, "rows": rows, "runs": results}, indent=2) + "\n")
    write_atomic(output / "table.csv", _csv(rows))
    _print(rows, "{model} on {data}, {epochs} epochs".format(**settings) + f", {seeds} seed(s): test top-1 in %")


def summarise(results):
    """One row per method: runs, mean and sample standard deviation (None for one run) of the test top-1, in percent."""
    rows = []
    for method in dict.fromkeys(result["recipe"]["method"] for result in results):
        top1 = [result["metrics"]["test_top1"] for result in results if result["recipe"]["method"] == method]
        deviation = statistics.stdev(top1) if len(top1) > 1 else None
        rows.append({"method": method, "runs": len(top1), "mean": statistics.fmean(top1), "deviation": deviation})
    return rows


def main():
    """The entry of python -m training.table."""
    options.run(app, "python -m training.table")


def _names(text):
    names = [name.strip() for name in text.split(",")]
    if len(set(names)) < len(names):
        raise AdderHwError(f"methods: found {text!r}, expected each method once")
    return names


def _result(recipe, folder, root, place):
    title = f"{recipe.method} seed {recipe.seed}"
    with options.epoch_progress(title, recipe.epochs, place) as progress:
        metrics = train(recipe, folder, root=root, place=place, progress=progress)
    if place.is_first:
        print(f"{title}: test top-1 {metrics['test_top1']:.2f} %", file=sys.stderr)
    return {"recipe": recipe.as_dict(), "metrics": metrics}


def _print(rows, title):
    print(title)
    table = Table("method", "runs", "mean", "deviation")
    for row in rows:
        deviation = "" if row["deviation"] is None else f"± {row['deviation']:.2f}"
        table.add_row(row["method"], str(row["runs"]), f"{row['mean']:.2f}", deviation)
    Console().print(table)


def _csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    main()
