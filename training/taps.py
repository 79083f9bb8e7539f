"""python -m training.taps: each network's exact taps and operations, and the figures of Xu 2020 beside them.

Xu 2020 is Y. Xu, C. Xu, X. Chen, W. Zhang, C. Xu and Y. Wang, "Kernel Based Progressive Distillation for Adder Neural
Networks", NeurIPS 2020, whose tables of results give the operations.
"""

from typing import NamedTuple

import torch
import typer

from training import command_line as options
from training import networks

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Example:

  python -m training.taps
"""


class Published(NamedTuple):
    """What Xu 2020 says a network needs: multiplications of the CNN, multiplications and additions of the ANN."""

    cnn_mul: str
    ann_mul: str
    ann_add: str


class Row(NamedTuple):
    """A network's input (C, H, W), parameters, taps of first and last layer together, and taps of those between."""

    name: str
    input_shape: tuple[int, int, int]
    parameters: int
    edge: int
    between: int

    @property
    def exact(self):
        """The CNN's multiplications, the ANN's multiplications and additions; an adder tap is two additions."""
        return Published(self.edge + self.between, self.edge, self.edge + 2 * self.between)


INPUTS = {
    "digits_resnet": (10, (1, 8, 8)),
    "resnet20": (10, (3, 32, 32)),
    "resnet32": (10, (3, 32, 32)),
    "vgg_small": (10, (3, 32, 32)),
    "resnet18": (1000, (3, 224, 224)),
    "resnet50": (1000, (3, 224, 224)),
}
PUBLISHED = {
    "resnet20": Published("41.17M", "0.45M", "81.89M"),
    "resnet32": Published("69.12M", "0.45M", "137.79M"),
    "vgg_small": Published("0.65G", "0.05G", "1.25G"),
    "resnet18": Published("1.8G", "0.1G", "3.5G"),
    "resnet50": Published("3.9G", "0.1G", "7.6G"),
}
HEADINGS = ("network", "input", "parameters", "CNN multiplications", "Xu", "of ANN", "Xu", "ANN additions", "Xu")


@app.command(epilog=EPILOG)
def command():
    """Print, as a Markdown table, what each network needs for one image: exactly, and as published."""
    print("\n".join(table()))


def count(name):
    """The Row of the network `name` at the classes and image size of its data set; nothing is computed or stored."""
    classes, input_shape = INPUTS[name]
    with torch.device("meta"):
        network = networks.build(name, "ann", classes=classes, in_channels=input_shape[0])
        counts = networks.taps(network, input_shape)
    edge = counts["stem"] + counts["classifier"]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Row(name, input_shape, parameters, edge, sum(counts.values()) - edge)


def table():
    """The lines of the table, in Markdown."""
    yield _line(HEADINGS)
    yield _line(["---", "---", *["--:"] * (len(HEADINGS) - 2)])
    for row in map(count, INPUTS):
        published = PUBLISHED.get(row.name, Published("–", "–", "–"))
        figures = [cell for pair in zip(row.exact, published, strict=True) for cell in pair]
        cells = [f"{cell:,}" if isinstance(cell, int) else cell for cell in (row.parameters, *figures)]
        yield _line([row.name, "×".join(map(str, row.input_shape)), *cells])


def main():
    """The entry of python -m training.taps."""
    options.run(app, "python -m training.taps")


def _line(cells):
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
