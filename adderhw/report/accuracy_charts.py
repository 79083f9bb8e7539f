"""Accuracy against energy over several runs, and each layer's noise against a float reference."""

from math import sqrt

from adderhw.report.figures import energy_scale, energy_text, percent_text
from adderhw.report.ratio_chart import shape
from adderhw.report.svg import Frame, Linear, Logarithmic, chart, line, text

WIDTH, LEFT, PLOT = 1000, 62, 240
TEN_DECIBELS = 10.0  # the noise carries a tenth of the signal's power


def accuracy_chart(points, table):
    """Top-1 over energy an image: points are {label, top1, count, energy_pj, own}; bars are one standard error."""
    size, unit = energy_scale(max(point["energy_pj"][table] for point in points))
    energies = [point["energy_pj"][table] / size for point in points]
    errors = [100 * sqrt(point["top1"] * (1 - point["top1"]) / point["count"]) for point in points]
    ends = [100 * point["top1"] + sign * error for point, error in zip(points, errors, strict=True) for sign in (-1, 1)]
    pad = 0.15 * (max(ends) - min(ends)) or 1.0
    up = Linear(min(ends) - pad, max(ends) + pad)
    wide = max(energies) / min(energies) > 8
    across = Logarithmic(min(energies) / 1.3, max(energies) * 1.3) if wide else Linear(0, 1.15 * max(energies))
    frame = Frame(LEFT, 30, WIDTH - LEFT - 20, PLOT, across, up)
    drawn = [*frame.y_axis("top-1, %"), *frame.x_axis(f"{unit} an image, arithmetic only, {table}")]
    placed = []
    for point, energy, error in zip(points, energies, errors, strict=True):
        x, y = frame.x(energy), frame.y(100 * point["top1"])
        drawn.append(line(x, frame.y(100 * point["top1"] - error), x, frame.y(100 * point["top1"] + error), "error"))
        title = f"{point['label']}: {percent_text(point['top1'])} of {point['count']:,}, {energy_text(energy * size)}"
        drawn.append(shape("diamond" if point["own"] else "circle", x, y, 5.5, "c1" if point["own"] else "c0", title))
        drawn.append(_label(x, y, point["label"], placed))
    return chart(WIDTH, frame.bottom + 46, "top-1 accuracy against energy an image", *drawn)


def _label(x, y, words, placed):
    """A label right of its mark, left of it near the right edge, lower where another stands."""
    end = x > 0.75 * WIDTH
    at = y + 4
    while any(abs(at - other) < 14 and abs(x - there) < 220 for there, other in placed):
        at += 14
    placed.append((x, at))
    return text(x - 10 if end else x + 10, at, words, "end" if end else "start", "ink")


def sqnr_chart(layers):
    """A mark for each layer with a ratio, in dB, over its number; the dashed line is 10 dB."""
    found = [(number, layer) for number, layer in enumerate(layers, 1) if layer["sqnr_db"] is not None]
    ratios = [layer["sqnr_db"] for _, layer in found]
    up = Linear(min(0.0, *ratios), max(*ratios, 2 * TEN_DECIBELS) * 1.08)
    frame = Frame(LEFT, 30, WIDTH - LEFT - 8, PLOT - 50, Linear(0.5, len(layers) + 0.5), up)
    drawn = [*frame.y_axis("SQNR, dB"), *frame.x_axis("layer, numbered as in the table", _ticks(frame, len(layers)))]
    drawn.append(line(frame.left, frame.y(TEN_DECIBELS), frame.left + frame.width, frame.y(TEN_DECIBELS), "one"))
    for number, layer in found:
        class_ = {"adder": "c0", "mac": "c1"}.get(layer["kind"], "c2")
        ratio = layer["sqnr_db"]
        title = f"{number} {layer['name']}: {ratio:.1f} dB"
        drawn.append(line(frame.x(number), frame.y(frame.up.low), frame.x(number), frame.y(ratio), "stem"))
        drawn.append(shape("circle", frame.x(number), frame.y(ratio), 3.5, class_, title))
    return chart(WIDTH, frame.bottom + 46, f"signal to noise of each layer, {min(ratios):.1f} dB at least", *drawn)


def _ticks(frame, count):
    return [int(tick) for tick in frame.across.ticks(12) if 1 <= tick <= count]
