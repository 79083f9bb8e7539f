"""The rules of the dataflows as plain loops that touch each value: the oracle of adderhw.cost.traffic."""

from collections import Counter


def run(layer, mapping):
    """(Counter of accesses, cycles): every tile of every group in order, buffers that keep the tile before."""
    counts, cycles, held = Counter(), 0, {}
    for group in range(layer.groups):
        for channels, rows in tiles(layer, mapping):
            load(counts, held, "weights", (group, channels), weights_of(layer, channels))
            load(counts, held, "activations", (group, rows), pixels_of(layer, rows))
            done, spent = DATAFLOWS[mapping.dataflow](layer, mapping, channels, rows, counts)
            assert done == Counter((m, p, q) for m in channels for p in rows for q in range(layer.output[1])
                                   for _ in range(layer.reduction))  # fmt: skip
            cycles += spent
            for _ in channels:
                for _ in rows:
                    for _ in range(layer.output[1]):
                        counts["buffer", "partial_sums", "read"] += 1
                        counts["dram", "activations", "write"] += 1
    return counts, cycles


def tiles(layer, mapping):
    """(output channels, output rows) of each tile in the order they run."""
    channels = [tuple(c) for c in cut(range(layer.outputs), mapping.block)]
    rows = [tuple(r) for r in cut(range(layer.output[0]), mapping.strip)]
    if mapping.weights_outer:
        return [(c, r) for c in channels for r in rows]
    return [(c, r) for r in rows for c in channels]


def cut(values, size):
    return [values[start : start + size] for start in range(0, len(values), size)]


def load(counts, held, operand, tile, values):
    """Fills a buffer from DRAM unless it holds this very tile."""
    if held.get(operand) == tile:
        return
    held[operand] = tile
    for _ in values:
        counts["dram", operand, "read"] += 1
        counts["buffer", operand, "write"] += 1


def kernel(layer):
    return [(c, r, s) for c in range(layer.channels) for r in range(layer.kernel[0]) for s in range(layer.kernel[1])]


def weights_of(layer, channels):
    return {(m, *tap) for m in channels for tap in kernel(layer)}


def pixel_of(layer, p, q, tap):
    """(channel, row, column) that a tap reads at output (p, q), or None on padding."""
    c, r, s = tap
    h = p * layer.stride[0] + r * layer.dilation[0] - layer.pad[0]
    w = q * layer.stride[1] + s * layer.dilation[1] - layer.pad[1]
    return (c, h, w) if 0 <= h < layer.image[0] and 0 <= w < layer.image[1] else None


def pixels_of(layer, rows):
    found = {pixel_of(layer, p, q, tap) for p in rows for q in range(layer.output[1]) for tap in kernel(layer)}
    return found - {None}


def tap(counts, done, m, p, q):
    """One tap in a processing element."""
    done[m, p, q] += 1
    counts["registers", "activations", "read"] += 1
    counts["registers", "weights", "read"] += 1
    counts["registers", "partial_sums", "read"] += 1
    counts["registers", "partial_sums", "write"] += 1


def weight_stationary(layer, mapping, channels, rows, counts):
    done, cycles, started = Counter(), 0, set()
    for wide in cut(channels, mapping.columns):
        for deep in cut(kernel(layer), mapping.rows):
            for _ in deep:
                for _ in wide:
                    counts["buffer", "weights", "read"] += 1
                    counts["registers", "weights", "write"] += 1
                cycles += 1
            for p in rows:
                for q in range(layer.output[1]):
                    cycles += 1
                    for t in deep:
                        counts["buffer", "activations", "read"] += pixel_of(layer, p, q, t) is not None
                        for m in wide:
                            counts["registers", "activations", "write"] += 1
                            tap(counts, done, m, p, q)
                    for m in wide:
                        store_sum(counts, started, (m, p, q))
    return done, cycles


def store_sum(counts, started, output):
    """Adds to a sum in the buffer, which is read first where it was begun."""
    counts["buffer", "partial_sums", "read"] += output in started
    counts["buffer", "partial_sums", "write"] += 1
    started.add(output)


def output_stationary(layer, mapping, channels, rows, counts):
    done, cycles = Counter(), 0
    positions = [(p, q) for p in rows for q in range(layer.output[1])]
    for deep in cut(positions, mapping.rows):
        for wide in cut(channels, mapping.columns):
            for t in kernel(layer):
                cycles += 1
                counts["buffer", "weights", "read"] += len(wide)
                for p, q in deep:
                    counts["buffer", "activations", "read"] += pixel_of(layer, p, q, t) is not None
                    for m in wide:
                        counts["registers", "activations", "write"] += 1
                        counts["registers", "weights", "write"] += 1
                        tap(counts, done, m, p, q)
            counts["buffer", "partial_sums", "write"] += len(deep) * len(wide)
    return done, cycles


def row_stationary(layer, mapping, channels, rows, counts):
    done, cycles, started = Counter(), 0, set()
    units = [(c, r) for c in range(layer.channels) for r in range(layer.kernel[0])]
    columns = {w for _, _, w in pixels_of(layer, range(layer.output[0]))} or columns_of(layer)
    for deep in cut(units, mapping.rows):
        for wide in cut(rows, mapping.columns):
            for filters in cut(channels, mapping.filters):
                image_rows = set()
                for c, r in deep:
                    for p in wide:
                        h = p * layer.stride[0] + r * layer.dilation[0] - layer.pad[0]
                        if 0 <= h < layer.image[0]:
                            image_rows.add((c, h))
                            counts["registers", "activations", "write"] += len(columns)
                counts["buffer", "activations", "read"] += len(image_rows) * len(columns)
                for m in filters:
                    counts["buffer", "weights", "read"] += len(deep) * layer.kernel[1]
                    counts["registers", "weights", "write"] += len(deep) * layer.kernel[1] * len(wide)
                    for q in range(layer.output[1]):
                        cycles += layer.kernel[1]
                        for p in wide:
                            for _ in deep:
                                for _ in range(layer.kernel[1]):
                                    tap(counts, done, m, p, q)
                            store_sum(counts, started, (m, p, q))
    return done, cycles


def columns_of(layer):
    """The image columns that taps read, where no tap reads a row."""
    found = {q * layer.stride[1] + s * layer.dilation[1] - layer.pad[1]
             for q in range(layer.output[1]) for s in range(layer.kernel[1])}  # fmt: skip
    return {w for w in found if 0 <= w < layer.image[1]}


DATAFLOWS = {
    "weight_stationary": weight_stationary,
    "output_stationary": output_stationary,
    "row_stationary": row_stationary,
}
