"""Energy layer by layer as stacked columns in the order that layers run; with an accelerator, memory on top."""

from adderhw.report.figures import energy_scale, energy_text
from adderhw.report.svg import Frame, Linear, chart, rectangle, rounded_top

WIDTH, HEIGHT, LEFT = 1000, 250, 62
PLOT = 170
MEMORY_LEVELS = ("registers", "buffer", "dram_low")


def arithmetic_chart(layers, causes, table):
    """One column a layer under the table of that name, coloured by cause."""
    columns = [[(f"c{causes.index(layer['cause'])}", layer["cause"], layer["energy_pj"][table])] for layer in layers]
    return _columns(layers, columns, "arithmetic")


def memory_chart(layers, causes, table):
    """One column a layer: arithmetic by cause, then registers, buffers and DRAM, at both ends of DRAM's price."""
    return _columns(layers, [_with_memory(layer, causes, table) for layer in layers], "arithmetic and memory")


def memory_parts(energy):
    """[(CSS class, name, pJ)] of a memory's energy_pj: the levels, and what DRAM's high end adds to its low one."""
    return [
        ("m0", "registers", energy["registers"]),
        ("m1", "buffers", energy["buffer"]),
        ("m2", "DRAM, low end", energy["dram_low"]),
        ("m3", "DRAM, up to the high end", energy["dram_high"] - energy["dram_low"]),
    ]


def _with_memory(layer, causes, table):
    own = [(f"c{causes.index(layer['cause'])}", f"arithmetic, {layer['cause']}", layer["energy_pj"][table])]
    return own + memory_parts(layer["memory"]["energy_pj"]) if layer["memory"] else own


def _columns(layers, columns, what):
    highest = max((sum(energy for *_, energy in parts) for parts in columns), default=0)
    size, unit = energy_scale(highest)
    across, up = Linear(0.5, len(layers) + 0.5), rounded_top(highest / size)
    frame = Frame(LEFT, 30, WIDTH - LEFT - 8, PLOT, across, up)
    step = frame.width / max(len(layers), 1)
    drawn = []
    for number, (layer, parts) in enumerate(zip(layers, columns, strict=True), 1):
        base = 0.0
        for class_, name, energy in parts:
            lower, upper = frame.y(base / size), frame.y((base + energy) / size)
            title = f"{number} {layer['name']}: {name} {energy_text(energy)}"
            if lower - upper > 0.05:
                drawn.append(rectangle(frame.x(number) - 0.4 * step, upper, 0.8 * step, lower - upper, class_, title))
            base += energy
    ticks = [tick for tick in range(1, len(layers) + 1) if tick == 1 or tick % _every(len(layers)) == 0]
    axes = [*frame.y_axis(f"{unit} an image"), *_numbers(frame, ticks)]
    return chart(WIDTH, HEIGHT, f"{what}, energy of each layer, at most {energy_text(highest)}", *axes, *drawn)


def _every(count):
    """Every how many layers a number stands below its column."""
    return 2 if count <= 40 else 5 if count <= 100 else 10


def _numbers(frame, ticks):
    return [item for item in frame.x_axis("layer, numbered as in the table", ticks) if 'class="grid"' not in item]
