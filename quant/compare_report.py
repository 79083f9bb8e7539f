"""Shows a Comparison: as a table, as JSON, as CSV, and as a plot of value ranges against grids."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from adderhw.errors import AdderHwError
from adderhw.files import write_atomic
from adderhw.report.csv_cells import cells

SCHEMA = 1
FORMATS = (".png", ".svg", ".pdf")
COLUMNS = ("name", "tensor", "node", "op", "format", "scale", "zero_point", "representable_low", "representable_high")
MEASURES = ("sqnr_db", "grid_sqnr_db", "largest_error_lsb", "clipped_low", "clipped_high", "low", "high")
# A value at the end of the grid is drawn at 1; beyond twice that the axis is logarithmic, so that outliers stay on it.
LINEAR = 2.0
TICKS = (-1e4, -1e3, -100, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 100, 1e3, 1e4)
# (from, to, line width, label): shares of the values between two of compare.QUANTILES.
BANDS = ((0.0001, 0.9999, 1.2, "middle 99.98 %"), (0.01, 0.99, 3.0, "middle 98 %"), (0.25, 0.75, 6.0, "middle 50 %"))
BLUE, RED = "tab:blue", "tab:red"


def document(comparison):
    """The Comparison as a dict for JSON (docs/quantisation.md has its fields)."""
    first = comparison.first_divergence
    return {
        "schema": SCHEMA,
        "float_model": asdict(comparison.float_model),
        "integer_model": asdict(comparison.integer_model),
        "data": {"name": comparison.data, "split": comparison.split, "count": comparison.images},
        "top1": top1_section(comparison),
        "diverges_below_db": comparison.diverges_below,
        "first_divergence": None if first is None else first.name,
        "tensors": [tensor_section(tensor) for tensor in comparison.tensors],
    }


def top1_section(comparison):
    """Shares of the images on which the models agree and each is right, and their difference; None without logits."""
    if comparison.top1 is None:
        return None
    counts = {
        "agreement": comparison.top1.agreeing,
        "float": comparison.top1.float_correct,
        "integer": comparison.top1.integer_correct,
    }
    difference, error = comparison.top1_difference or (None, None)
    shares = {key: None if count is None else count / comparison.images for key, count in counts.items()}
    return shares | {"difference": difference, "difference_error": error}


def tensor_section(tensor):
    """A TensorComparison as a dict of finite numbers; the grid's fields are None for a sum."""
    low, high = tensor.representable or (None, None)
    return {
        "name": tensor.name,
        "tensor": tensor.tensor,
        "node": tensor.node,
        "op": tensor.op,
        "format": tensor.format.name,
        "scale": tensor.format.scale if tensor.on_grid else None,
        "zero_point": tensor.format.zero_point if tensor.on_grid else None,
        "representable_low": low,
        "representable_high": high,
        "signal_power": tensor.signal_power,
        "noise_power": tensor.noise_power,
        "grid_noise_power": tensor.grid_noise_power,
        "sqnr_db": finite(tensor.sqnr),
        "grid_sqnr_db": finite(tensor.grid_sqnr),
        "largest_error_lsb": tensor.largest_error,
        "clipped_low": tensor.clipped_low,
        "clipped_high": tensor.clipped_high,
        "low": tensor.low,
        "high": tensor.high,
        "quantiles": {str(share): value for share, value in tensor.quantiles.items()},
    }


def finite(ratio):
    """The ratio, None where it is infinite."""
    return None if ratio == float("inf") else ratio


def write_json(comparison, path):
    """The document as indented UTF-8 JSON; raises AdderHwError when `path` cannot be written."""
    write_atomic(path, json.dumps(document(comparison), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(comparison, path):
    """A header and a row a tensor, RFC 4180, empty where there is no value; raises AdderHwError when not writable."""
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *MEASURES), extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(cells(tensor_section(tensor)) for tensor in comparison.tensors)
    write_atomic(path, text.getvalue())


def table(comparison):
    """A rich Table with a row a tensor."""
    found = Table()
    for column in ("tensor", "op", "format", "SQNR dB", "grid dB", "error LSB", "clipped low %", "clipped high %"):
        found.add_column(column, justify="left" if column in ("tensor", "op", "format") else "right", overflow="fold")
    for tensor in comparison.tensors:
        found.add_row(
            tensor.name,
            tensor.op,
            tensor.format.name,
            decibels_text(tensor.sqnr),
            decibels_text(tensor.grid_sqnr) if tensor.on_grid else "",
            f"{tensor.largest_error:.2f}",
            *("" if share is None else f"{100 * share:.3f}" for share in (tensor.clipped_low, tensor.clipped_high)),
        )
    return found


def decibels_text(sqnr):
    """A ratio in dB as text."""
    if sqnr is None:
        return "no signal"
    return "exact" if sqnr == float("inf") else f"{sqnr:.1f}"


def headlines(comparison):
    """The lines below the table: the first tensor that diverges, both models' top-1, and the difference of the two."""
    first, bound = comparison.first_divergence, f"{comparison.diverges_below:g} dB"
    yield (
        f"first tensor below {bound}: none"
        if first is None
        else f"first tensor below {bound}: {first.name} ({first.op}), {first.sqnr:.1f} dB"
    )
    shares = top1_section(comparison)
    if shares is not None:
        named = {"float": shares["float"], "integer": shares["integer"], "same class": shares["agreement"]}
        text = ", ".join(f"{name} {100 * share:.2f} %" for name, share in named.items() if share is not None)
        yield f"top-1 on {comparison.images} images of {comparison.data}: {text}"
    if comparison.top1_difference is not None:
        difference, error = comparison.top1_difference
        yield f"integer less float: {100 * difference:+.2f} points, standard error {100 * error:.2f}"


def check_plot(path):
    """Raises AdderHwError unless the suffix is one of FORMATS and matplotlib is there; call it before long work."""
    if Path(path).suffix not in FORMATS:
        raise AdderHwError(f"{path}: found suffix {Path(path).suffix!r}, expected one of {', '.join(FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401 - 0.3 s of import that only a plot needs
    except ImportError as error:
        raise AdderHwError("plot: found no matplotlib, expected it: pip install adderhw[figures]") from error


def write_plot(comparison, path):
    """Draws `figure` to a .png, .svg or .pdf file; raises AdderHwError for another suffix or without matplotlib."""
    check_plot(path)
    data = io.BytesIO()
    figure(comparison).savefig(data, format=Path(path).suffix[1:])
    write_atomic(path, data.getvalue())


def figure(comparison):
    """A matplotlib Figure: on the left each grid and the float values it holds, on the right each tensor's SQNR.

    Values are in units of the grid's larger end, so that the longer side of every grid ends at 1 or -1.
    """
    from matplotlib import ticker
    from matplotlib.figure import Figure

    tensors = [tensor for tensor in comparison.tensors if tensor.on_grid]
    drawn = Figure(figsize=(11, 1.6 + 0.24 * len(tensors)), layout="constrained", dpi=110)
    ranges, ratios = drawn.subplots(1, 2, sharey=True, width_ratios=(5, 2))
    for at, tensor in enumerate(tensors):
        draw_range(ranges, at, tensor)
    ranges.set_xscale("symlog", linthresh=LINEAR, linscale=2)
    ranges.xaxis.set_major_locator(ticker.FixedLocator(TICKS))
    ranges.xaxis.set_major_formatter("{x:g}")
    ranges.set_xlabel(f"float values / larger end of the grid (logarithmic beyond {LINEAR:g})")
    ranges.set_yticks(range(len(tensors)), [f"{t.name}  {t.format.name}" for t in tensors], fontsize=8)
    ranges.set_ylim(len(tensors) - 0.4, -0.6)
    drawn.legend(*legend_of(ranges), loc="outside upper center", ncols=6, frameon=False)
    draw_ratios(ratios, tensors, comparison.diverges_below)
    for axes in (ranges, ratios):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
    return drawn


def draw_range(axes, at, tensor):
    """A row: the grid as a grey bar, bands of quantiles as lines, the extremes as ticks, red where they are clipped."""
    low, high = tensor.representable
    reach = max(-low, high)
    axes.barh(at, (high - low) / reach, left=low / reach, height=0.8, color="0.85", label="representable")
    for first, last, width, label in BANDS:
        ends = [tensor.quantiles[share] / reach for share in (first, last)]
        axes.plot(ends, [at, at], color=BLUE, linewidth=width, solid_capstyle="butt", label=label)
    for extreme, share in ((tensor.low, tensor.clipped_low), (tensor.high, tensor.clipped_high)):
        label, color = ("extreme, clipped", RED) if share else ("extreme", BLUE)
        axes.plot(extreme / reach, at, "|", color=color, markersize=9, label=label)


def legend_of(axes):
    """(handles, labels), each label once."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(handles.values()), list(handles)


def draw_ratios(axes, tensors, threshold):
    """Dots: the SQNR of each tensor that has one, red below the threshold (dashed). Circles: that of its grid alone."""
    for at, tensor in enumerate(tensors):
        sqnr, alone = finite(tensor.sqnr), finite(tensor.grid_sqnr)
        if alone is not None:
            axes.plot(alone, at, "o", markersize=4, color=BLUE, fillstyle="none")
        if sqnr is not None:
            axes.plot(sqnr, at, "o", markersize=4, color=RED if sqnr < threshold else BLUE)
    axes.axvline(threshold, color=RED, linestyle="--", linewidth=1)
    axes.set_xlabel("SQNR, dB\n(circles: the grid alone)")
