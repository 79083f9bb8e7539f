"""python -m training.figures: pictures of runs and networks: accuracy curves, features, and weights; needs matplotlib.

Xu 2020 is Y. Xu, C. Xu, X. Chen, W. Zhang, C. Xu and Y. Wang, "Kernel Based Progressive Distillation for Adder Neural
Networks", NeurIPS 2020, whose figures these are.
"""

import csv
import io
from math import log, pi
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from adderhw.errors import AdderHwError, DataError, ModelError
from adderhw.files import check_writable, write_atomic
from training import checkpoint
from training import command_line as options
from training.data import load_images
from training.loop import EVALUATION_BATCH, LOG, LOG_FIELDS

FORMATS = (".png", ".svg", ".pdf")
PANEL = (4.0, 3.4)
SHOWN_CLASSES = 10
MUTED = "0.45"

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

EPILOG = """
Examples:

  python -m training.figures curves runs/ann runs/pkkd -o curves.png

  python -m training.figures features runs/cnn/best.pt runs/pkkd/best.pt -o features.png

  python -m training.figures weights runs/cnn/best.pt runs/pkkd/best.pt -o weights.png
"""

Output = Annotated[Path, typer.Option("--output", "-o", help=f"The picture to write: {', '.join(FORMATS)}.")]
Checkpoints = Annotated[list[Path], typer.Argument(help="Checkpoints, a panel for each.")]


class Fit(NamedTuple):
    """A distribution fitted to weights: its name, centre and width, and the mean log-likelihood of a weight in nats."""

    name: str
    centre: float
    width: float
    likelihood: float

    def density(self, x):
        """float64, of the shape of x."""
        distance = np.abs(x - self.centre) / self.width
        if self.name == "Laplace":
            return np.exp(-distance) / (2 * self.width)
        return np.exp(-(distance**2) / 2) / (self.width * np.sqrt(2 * pi))


@app.callback(epilog=EPILOG)
def description():
    """Draw what runs and checkpoints of python -m training hold."""


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, a curve for each and for its teacher.")],
    output: Output,
):
    """Validation accuracy over epochs (Xu 2020, figure 2); teachers that learn beside their student are dashed."""
    logs = [read_log(run / LOG) for run in runs]
    axes = _axes(1, output)[0]
    for run, rows in zip(runs, logs, strict=True):
        epochs = [row["epoch"] for row in rows]
        (line,) = axes.plot(epochs, [row["val_top1"] for row in rows], label=run.name, linewidth=1.4)
        if rows[0]["teacher_val_top1"] is not None:
            teacher = [row["teacher_val_top1"] for row in rows]
            label, color = f"{run.name}, teacher", line.get_color()
            axes.plot(epochs, teacher, label=label, color=color, linestyle="--", linewidth=1.0)
        print(f"{run.name}: best validation top-1 {max(row['val_top1'] for row in rows):.2f} %, {len(rows)} epochs")
    axes.set(xlabel="epoch", ylabel="validation top-1 / %")
    axes.legend(frameon=False, fontsize="small")
    _write(axes.figure, output)


@app.command()
def features(
    checkpoints: Checkpoints,
    output: Output,
    split: Annotated[str, typer.Option(help="Images to show: validation or test.")] = "validation",
    limit: Annotated[int, typer.Option(help="Show at most so many images.", min=3)] = 2000,
    root: options.Root = None,
):
    """What the last layer sees, in the two directions of greatest variance (Xu 2020, figure 1); first ten classes."""
    panels = _axes(len(checkpoints), output)
    for path, axes in zip(checkpoints, panels, strict=True):
        network, metadata = checkpoint.load_network(path)
        data = load_images(metadata, path, split, root)[:limit]
        points, shares = principal_components(last_features(network, data))
        labels = data.labels.numpy()
        for label in range(min(SHOWN_CLASSES, data.classes)):
            axes.plot(*points[labels == label].T, ".", markersize=3, color=f"C{label}", label=str(label))
        axes.set(title=_title(path, metadata), xticks=[], yticks=[])
        axes.set(xlabel=f"{shares[0]:.0%} of the variance", ylabel=f"{shares[1]:.0%} of the variance")
        width = network.classifier.in_features
        print(f"{path}: {len(data)} images, {shares.sum():.1%} of the variance of {width} features")
    panels[-1].legend(frameon=False, fontsize="small", markerscale=3, bbox_to_anchor=(1, 1), title="class")
    _write(panels[0].figure, output)


@app.command()
def weights(
    checkpoints: Checkpoints,
    output: Output,
    layer: Annotated[str | None, typer.Option(help="An intermediate layer; the first of the largest if none.")] = None,
):
    """A histogram of one layer's weights with the Laplace and the Gauss distribution that are likeliest."""
    panels = _axes(len(checkpoints), output)
    for path, axes in zip(checkpoints, panels, strict=True):
        network, metadata = checkpoint.load_network(path)
        name, values = layer_weights(network, layer, path)
        fits = (fit_laplace(values), fit_gauss(values))
        _draw_histogram(axes, values, fits)
        axes.set(title=f"{_title(path, metadata)}\n{name}", xlabel="weight", ylabel="density")
        described = ", ".join(f"{fit.name} {fit.likelihood:.3f}" for fit in fits)
        print(f"{path}: {name}, {values.size:,} weights, mean log-likelihood in nats: {described}")
    panels[0].legend(frameon=False, fontsize="small")
    _write(panels[0].figure, output)


def read_log(path):
    """The rows of an epochs.csv, dictionaries of numbers, None where a cell is empty; raises DataError."""
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        numbers = [{name: float(row[name]) if row[name] else None for name in LOG_FIELDS} for row in rows]
    except OSError as error:
        raise DataError(f"{path}: found no log ({error.strerror}), expected what python -m training writes") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: found other columns ({error}), expected {', '.join(LOG_FIELDS)}") from error
    if not numbers:
        raise DataError(f"{path}: found no epoch, expected one or more")
    return numbers


@torch.no_grad()
def last_features(network, data):
    """float64 (N, K): what the network's classifier is given for each of N images."""
    kept = []
    handle = network.classifier.register_forward_hook(lambda layer, inputs, output: kept.append(inputs[0]))
    for batch in data.batches_in_order(EVALUATION_BATCH):
        network(batch.images)
    handle.remove()
    return torch.cat(kept).double().numpy()


def principal_components(points):
    """(float64 (N, 2), (2,)): coordinates along the two directions of greatest variance, and their shares of it.

    points: (N, K), N and K at least 2. Each direction points to where its largest entry is positive;
    points that are all the same have shares of 0.
    """
    centred = points - points.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    leading = directions[:2] * np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))[:2]
    return centred @ leading.T, (sizes**2)[:2] / max((sizes**2).sum(), np.finfo(float).tiny)


def layer_weights(network, name, path):
    """(name, float64 (N,)) of an intermediate layer's weights; of the first of the largest where name is None."""
    layers = network.intermediate_layers()
    if name is None:
        name = max(layers, key=lambda each: layers[each].weight.numel())
    if name not in layers:
        raise ModelError(f"{path}: found no layer {name!r}, expected one of {', '.join(layers)}")
    return name, layers[name].weight.detach().double().flatten().numpy()


def fit_laplace(values):
    """The likeliest Laplace distribution: the median, and the mean distance from it."""
    centre = np.median(values)
    width = np.abs(values - centre).mean()
    return Fit("Laplace", centre, width, -log(2 * width) - 1)


def fit_gauss(values):
    """The likeliest normal distribution: the mean, and the root mean square distance from it."""
    width = values.std()
    return Fit("Gauss", values.mean(), width, -log(width * (2 * pi) ** 0.5) - 0.5)


def _draw_histogram(axes, values, fits):
    edge = np.quantile(np.abs(values), 0.999)
    axes.hist(values, bins=80, range=(-edge, edge), density=True, color="0.8")
    x = np.linspace(-edge, edge, 400)
    for fit, style in zip(fits, ("-", "--"), strict=True):
        axes.plot(x, fit.density(x), style, linewidth=1.2, label=fit.name)


def _title(path, metadata):
    method = metadata["training"].get("method", metadata["network"]["kind"])
    return f"{metadata['network']['name']}, {method}"


def _axes(count, output):
    """A figure's `count` panels in a row, without frames at the top and right; checks first that it can be written."""
    if output.suffix not in FORMATS:
        raise AdderHwError(f"{output}: found suffix {output.suffix!r}, expected one of {', '.join(FORMATS)}")
    check_writable(output)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AdderHwError("figures: found no matplotlib, expected it: pip install adderhw[figures]") from error
    figure = Figure(figsize=(PANEL[0] * count, PANEL[1]), layout="constrained", dpi=150)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED)
    return panels


def _write(figure, output):
    buffer = io.BytesIO()
    figure.savefig(buffer, format=output.suffix[1:])
    write_atomic(output, buffer.getvalue())
    print(output)


def main():
    """The entry of python -m training.figures."""
    options.run(app, "python -m training.figures")


if __name__ == "__main__":
    main()
