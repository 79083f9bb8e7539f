"""python -m training.taps: each network's exact taps and operations, and the figures of Xu 2020 beside them.

Xu 2020 is Y. Xu, C. Xu, X. Chen, W. Zhang, C. Xu and Y. Wang, "Kernel Based Progressive Distillation for Adder Neural
Networks", NeurIPS 2020, whose tables of results give the operations. With --paper: its columns, for the CNN, the BNN
and the ANN, each figure's difference and whether it is explained.
"""

from decimal import Decimal
from typing import Annotated, NamedTuple

import torch
import typer

from training import command_line as options
from training import networks

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Examples:

  python -m training.taps

  python -m training.taps --paper          #Mul, #Add and XNOR of CNN, BNN and ANN, with the difference from Xu 2020
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


PAPER_HEADINGS = ("network", "kind", "#Mul", "Xu", "difference", "#Add", "Xu", "difference", "XNOR", "remark")
EARLY_STRIDE = "resnet50, stride in the first 1×1"
HUNDRED_CLASSES = "0.45M is with 100 classes (448,768)"
FROM_ROUNDED = "#Add follows from the rounded figures, 2·{} − {}"
LATE_STRIDE = "the 3×3 has the stride here; the rows below move it"
REMARKS = {
    ("resnet20", "cnn"): "unexplained",
    ("resnet20", "ann"): f"{HUNDRED_CLASSES}; {FROM_ROUNDED.format('41.17M', '0.45M')}",
    ("resnet32", "ann"): f"{HUNDRED_CLASSES}; {FROM_ROUNDED.format('69.12M', '0.45M')}",
    ("vgg_small", "cnn"): "unexplained",
    ("vgg_small", "ann"): "unexplained",
    ("resnet50", "cnn"): LATE_STRIDE,
    ("resnet50", "ann"): LATE_STRIDE,
}


@app.command(epilog=EPILOG)
def command(
    paper: Annotated[
        bool, typer.Option("--paper", help="The columns of Xu 2020 for CNN, BNN and ANN, with the differences.")
    ] = False,
):
    """Print, as a Markdown table, what each network needs for one image: exactly, and as published."""
    print("\n".join(paper_table() if paper else table()))


def count(name, early_stride=False):
    """The Row of the network `name` at the classes and image size of its data set; nothing is computed or stored.

    early_stride: a block that halves the image does so in its first layer, as He 2016, where the network has it later.
    """
    classes, input_shape = INPUTS[name]
    with torch.device("meta"):
        network = networks.build(name, "ann", classes=classes, in_channels=input_shape[0])
        counts = networks.taps(network, input_shape)
    if early_stride:
        counts |= {f"{block}.conv1": counts[f"{block}.conv1"] // 4 for block in late_strides(network)}
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


def late_strides(network):
    """Names of the blocks whose second layer has the stride of 2: with it, the first has a quarter of its taps."""
    return [name for name in network.block_names() if max(network.get_submodule(f"{name}.conv2").stride) == 2]


def paper_table():
    """The lines of the table of Xu 2020's columns, in Markdown; every figure that is off has a remark."""
    yield _line(PAPER_HEADINGS)
    yield _line(["---", "---", *["--:"] * (len(PAPER_HEADINGS) - 3), "---"])
    rows = [(name, count(name), PUBLISHED[name]) for name in PUBLISHED]
    rows.append((EARLY_STRIDE, count("resnet50", early_stride=True), PUBLISHED["resnet50"]))
    for name, row, published in rows:
        cnn = (row.exact.cnn_mul, published.cnn_mul)
        yield _paper_line(name, "CNN", cnn, cnn)
        yield _paper_line(name, "BNN", (row.edge, None), (row.edge, None), row.between)
        yield _paper_line(name, "ANN", (row.exact.ann_mul, published.ann_mul), (row.exact.ann_add, published.ann_add))


def difference(exact, published):
    """'−0.87 %' of an integer from a published '41.17M' or '3.9G'; 'rounding' where it rounds to the published."""
    stated, unit = Decimal(published[:-1]), {"M": 10**6, "G": 10**9}[published[-1]]
    if abs(Decimal(exact) / unit - stated) <= Decimal(1).scaleb(stated.as_tuple().exponent) / 2:
        return "rounding"
    return f"{100 * (exact / (stated * unit) - 1):+.2f} %".replace("-", "−")


def _paper_line(name, kind, mul, add, xnor=0):
    told = [difference(exact, published) if published else "–" for exact, published in (mul, add)]
    cells = [(f"{exact:,}", published or "–", text) for (exact, published), text in zip((mul, add), told, strict=True)]
    remark = "" if set(told) <= {"rounding", "–"} else REMARKS[name, kind.lower()]
    return _line([name, kind, *cells[0], *cells[1], f"{xnor:,}", remark])


def main():
    """The entry of python -m training.taps."""
    options.run(app, "python -m training.taps")


def _line(cells):
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
