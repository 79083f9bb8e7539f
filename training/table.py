"""python -m training.table: train several methods over several seeds at one budget, and write mean ± deviation."""

import csv
import dataclasses
import io
import json
import statistics
import sys
from dataclasses import dataclass
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table

from adderhw.errors import AdderHwError
from adderhw.files import write_atomic
from training import command_line as options
from training.distil import FEATURES
from training.loop import BEST, train
from training.recipe import METHODS, Recipe

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Examples:

  python -m training.table --methods cnn,ann,pkkd --seeds 3 --threads 1 --output runs/table

  python -m training.table --ablations --seeds 5 --threads 1 --output runs/ablations

  python -m training.table --methods pkkd,pkkd:beta=10,pkkd:exponent_limit=10 --output runs/choices
"""

FIXED = "fixed"
# Xu 2020, table 1: kernel or not, ρ or not, fixed or progressive teacher. Whether its rows with neither compare
# layers directly or not at all is not said, so both are here: five ways to compare, two kinds of teacher.
ABLATIONS = tuple(
    f"{way}{teacher}"
    for teacher in (f":teacher={FIXED}", "")
    for way in ("kd", *(f"pkkd:features={features}" for features in FEATURES))
)


@dataclass(frozen=True)
class Variant:
    """A row of the table: a method, and values of Recipe's fields that it alone has; as text METHOD:FIELD=VALUE…

    The value `fixed` of `teacher` stands for the CNN trained with the same settings and seed in the same table.
    """

    text: str
    method: str
    changes: dict

    @property
    def is_taught_by_fixed(self):
        """Whether its teacher is to be trained first."""
        return self.changes.get("teacher") == FIXED

    def recipe(self, settings, seed, output):
        """The Recipe of one seed, in a table written to the folder `output`."""
        changes = dict(self.changes)
        if self.is_taught_by_fixed:
            changes["teacher"] = str(_folder(output, "cnn", seed) / BEST)
        return Recipe(**{**settings, "method": self.method, "seed": seed, **changes})


@app.command(epilog=EPILOG)
@options.recipe_options("method", "seed", "teacher")
def command(
    settings: dict,
    *,
    output: options.Output,
    methods: Annotated[
        str, typer.Option(help="Methods to compare, separated by commas; a row's own options follow as :FIELD=VALUE.")
    ] = ",".join(METHODS),
    ablations: Annotated[bool, typer.Option(help="Compare PKKD's ablations instead of methods.")] = False,
    seeds: Annotated[int, typer.Option(help="How many seeds, counted from 0.", min=1)] = 3,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
):
    """Train every method with every seed, and print and write (table.json, table.csv) test accuracies.

    Each run lies in its own folder METHOD-SEED; run again, the command goes on where it was interrupted.
    """
    variants = parse_variants(ABLATIONS if ablations else methods.split(","))
    jobs = [(each, seed, each.recipe(settings, seed, output)) for each in variants for seed in range(seeds)]
    with options.computing(device, threads) as place:
        results = []
        for variant, seed, recipe in jobs:
            if variant.is_taught_by_fixed:
                _run("cnn", Recipe(**settings, method="cnn", seed=seed), output, root, place)
            results.append(_run(variant.text, recipe, output, root, place))
    if not place.is_first:
        return
    rows = summarise(results)
    write_atomic(output / "table.json", json.dumps({"schema": 1, "rows": rows, "runs": results}, indent=2) + "\n")
    write_atomic(output / "table.csv", _csv(rows))
    _print(rows, "{model} on {data}, {epochs} epochs".format(**settings) + f", {seeds} seed(s): test top-1 in %")


def parse_variants(texts):
    """The Variants that texts METHOD[:FIELD=VALUE…] name; raises AdderHwError for an unknown field, or a row twice."""
    texts = [text.strip() for text in texts]
    if len(set(texts)) < len(texts):
        raise AdderHwError(f"methods: found {','.join(texts)!r}, expected each method once")
    return [_variant(text) for text in texts]


def summarise(results):
    """One row per method: runs, mean and sample standard deviation (None for one run) of the test top-1, in percent."""
    rows = []
    for method in dict.fromkeys(result["method"] for result in results):
        top1 = [result["metrics"]["test_top1"] for result in results if result["method"] == method]
        deviation = statistics.stdev(top1) if len(top1) > 1 else None
        rows.append({"method": method, "runs": len(top1), "mean": statistics.fmean(top1), "deviation": deviation})
    return rows


def main():
    """The entry of python -m training.table."""
    options.run(app, "python -m training.table", **options.GOES_ON)


def _variant(text):
    method, *changes = text.split(":")
    types = {field.name: field.type for field in dataclasses.fields(Recipe) if field.name not in ("method", "seed")}
    parsed = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in types:
            raise AdderHwError(f"methods, {text}: found field {name!r}, expected one of {', '.join(types)}")
        parsed[name] = _value(text, name, value, types[name])
    return Variant(text, method, parsed)


def _value(text, name, value, annotation):
    number = next((kind for kind in (int, float) if kind in (annotation, *get_args(annotation))), None)
    try:
        return number(value) if number else value
    except ValueError as error:
        raise AdderHwError(f"methods, {text}: found {name} {value!r}, expected {number.__name__}") from error


def _folder(output, text, seed):
    return output / f"{text.replace(':', '-')}-{seed}"


def _run(text, recipe, output, root, place):
    """Train one recipe in its folder, or go on with it; what table.json keeps of it."""
    title = f"{text} seed {recipe.seed}"
    with options.epoch_progress(title, recipe.epochs, place) as progress:
        metrics = train(recipe, _folder(output, text, recipe.seed), root=root, place=place, progress=progress)
    if place.is_first:
        print(f"{title}: test top-1 {metrics['test_top1']:.2f} %", file=sys.stderr)
    return {"method": text, "recipe": recipe.as_dict(), "metrics": metrics}


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
