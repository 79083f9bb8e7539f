"""The roofline of the described accelerator, with a mark for each layer that computes and one for the network."""

from adderhw.report.ratio_chart import shape
from adderhw.report.svg import Frame, Logarithmic, chart, element, line, text

WIDTH, HEIGHT, LEFT, PLOT = 1000, 400, 62, 310
NUMBERS = 3  # layer numbers that a mark's label holds
LETTER = 6.4  # units that a letter of a label takes at most


def roofline_chart(document):
    """Taps a cycle over taps a byte from and to DRAM, both logarithmic, of the document's `memory`.

    The roof is the array's peak, and left of its ridge what DRAM's bits per cycle let through.
    """
    array, network = document["memory"]["accelerator"], document["memory"]["networks"][document["network"]["name"]]
    marks = _marks(document["layers"])
    whole = _point(network, sum(layer["taps"] for layer in document["layers"]))
    peak, ridge = array["peak_taps_per_cycle"], array["ridge_taps_per_dram_byte"]
    xs, ys = zip(*marks, whole, strict=True)
    across = Logarithmic(min(*xs, ridge) / 2, max(*xs, ridge) * 2)
    up = Logarithmic(min(*ys, peak * across.low / ridge) / 1.3, peak * 2)
    frame = Frame(LEFT, 30, WIDTH - LEFT - 20, PLOT, across, up)
    drawn = [*frame.y_axis("taps a cycle"), *frame.x_axis("taps a byte from and to DRAM"), *_roof(frame, peak, ridge)]
    for (x, y), layers in marks.items():
        title = ", ".join(f"{number} {layer['name']}" for number, layer in layers)
        class_ = "c0 dot" if layers[0][1]["kind"] == "adder" else "c1 dot"
        drawn.append(shape("circle", frame.x(x), frame.y(y), 4.5, class_, f"{title}: {y:.4g} taps a cycle"))
    x, y = frame.x(whole[0]), frame.y(whole[1])
    drawn.append(shape("diamond", x, y, 6, "whole", f"whole network: {whole[1]:.4g} taps a cycle"))
    drawn += _labels(frame, marks, (x, y))
    label = f"roofline of {array['title']}: peak {peak} taps a cycle from {ridge:g} taps a byte on"
    return chart(WIDTH, HEIGHT - 12, label, *drawn)


def _point(moved, taps):
    return moved["taps_per_dram_byte"], taps / moved["cycles"]


def _marks(layers):
    """{(taps a byte, taps a cycle): [(number, layer)]} of the layers with taps."""
    found = {}
    for number, layer in enumerate(layers, 1):
        if layer["taps"]:
            found.setdefault(_point(layer["memory"], layer["taps"]), []).append((number, layer))
    return found


def _roof(frame, peak, ridge):
    left, right = frame.across.low, frame.across.high
    corners = [(left, peak * left / ridge), (ridge, peak), (right, peak)]
    yield element("polyline", points=" ".join(f"{frame.x(x):.2f},{frame.y(y):.2f}" for x, y in corners), class_="roof")
    yield line(frame.x(ridge), frame.y(peak), frame.x(ridge), frame.bottom, "ridge")
    yield text(frame.left + frame.width, frame.y(peak) - 8, f"peak: {peak} taps a cycle", "end", "name")
    yield text(frame.x(ridge) - 8, frame.bottom - 8, f"bound by DRAM below {ridge:g}", "end", "name")


def _labels(frame, marks, whole):
    """The network's name and the numbers of the layers, each beside its mark where it covers nothing."""
    centres = [(frame.x(x), frame.y(y)) for x, y in marks] + [whole]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    names = [_numbers(layers) for layers in marks.values()] + ["whole network"]
    for (x, y), words in sorted(zip(centres, names, strict=True), key=lambda item: -len(item[1])):
        width = LETTER * len(words)
        for left, middle in ((x + 9, y), (x - 9 - width, y), (x - width / 2, y - 15), (x - width / 2, y + 15)):
            box = (left, middle - 7, left + width, middle + 7)
            if left + width < WIDTH and all(_apart(box, other) for other in taken):
                taken.append(box)
                yield text(left, middle + 4, words, class_="ink" if (x, y) == whole else None)
                break


def _numbers(layers):
    numbers = ", ".join(str(number) for number, _ in layers[:NUMBERS])
    return f"{numbers} …" if len(layers) > NUMBERS else numbers


def _apart(one, other):
    """Whether two boxes (left, top, right, bottom) do not overlap."""
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
