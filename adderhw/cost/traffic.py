"""Accesses and cycles of a layer on an array, exact for the rules of each dataflow in docs/energy.md.

All counts are values, not bits. tests/cost/loop_nest.py runs the same rules as loops and counts each access.
"""

from collections import Counter
from typing import NamedTuple

LEVELS = ("registers", "buffer", "dram")


class Layer(NamedTuple):
    """One group of a convolution: M outputs of C channels, kernel R × S, image H × W, outputs P × Q.

    stride, pad (top, left) and dilation are (vertical, horizontal). groups: how often the layer runs.
    """

    outputs: int
    channels: int
    kernel: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def reduction(self):
        """Taps of an output, K = C·R·S."""
        return self.channels * self.kernel[0] * self.kernel[1]

    @property
    def taps(self):
        """Taps of all groups, those on padding included."""
        return self.groups * self.outputs * self.reduction * self.output[0] * self.output[1]

    def pixel(self, axis, position, tap):
        """The image row (axis 0) or column (axis 1) that a tap reads, or None on padding."""
        pixel = position * self.stride[axis] + tap * self.dilation[axis] - self.pad[axis]
        return pixel if 0 <= pixel < self.image[axis] else None


class Mapping(NamedTuple):
    """How a layer runs: the dataflow, the array, filters a row of it holds (row stationary), and the tiles.

    block: output channels of a tile. strip: output rows of a tile. weights_outer: blocks are the outer loop.
    """

    dataflow: str
    rows: int
    columns: int
    filters: int
    block: int
    strip: int
    weights_outer: bool


class Traffic(NamedTuple):
    """accesses: Counter of (level, operand, 'read' or 'write'), in values. cycles: of the array alone."""

    accesses: Counter
    cycles: int


def traffic(layer, mapping):
    """The Traffic of all groups of a Layer under a Mapping."""
    tiles = Counter()
    cycles = 0
    for rows in strips(layer, mapping):
        for block in blocks(layer, mapping):
            cycles += _TILES[mapping.dataflow](layer, mapping, rows, block, tiles)
    tiles.update(_dram(layer, mapping))
    tiles.update(_taps(layer))
    return Traffic(Counter({access: layer.groups * count for access, count in tiles.items()}), layer.groups * cycles)


def strips(layer, mapping):
    """The ranges of output rows of the tiles, in order."""
    height = layer.output[0]
    return [range(row, min(row + mapping.strip, height)) for row in range(0, height, mapping.strip)]


def blocks(layer, mapping):
    """How many output channels each block of the tiles has, in order."""
    return [min(mapping.block, layer.outputs - first) for first in range(0, layer.outputs, mapping.block)]


def dram_reads(layer, mapping):
    """(activations, weights) that one group reads from DRAM: a tile reloads only what the tile before did not have."""
    cut, count = strips(layer, mapping), len(blocks(layer, mapping))
    activations = layer.channels * sum(_touched(layer, 0, rows) for rows in cut) * _touched_columns(layer)
    weights = layer.outputs * layer.reduction
    if mapping.weights_outer:
        return activations * (count if len(cut) > 1 else 1), weights
    return activations, weights * (len(cut) if count > 1 else 1)


def _dram(layer, mapping):
    """Loads into the buffers and the outputs; each finished sum is read once, requantised, and written to DRAM."""
    activations, weights = dram_reads(layer, mapping)
    outputs = layer.outputs * layer.output[0] * layer.output[1]
    return {
        ("dram", "activations", "read"): activations,
        ("buffer", "activations", "write"): activations,
        ("dram", "weights", "read"): weights,
        ("buffer", "weights", "write"): weights,
        ("buffer", "partial_sums", "read"): outputs,
        ("dram", "activations", "write"): outputs,
    }


def _taps(layer):
    """A tap reads its activation, its weight and its sum from registers and writes the sum."""
    taps = layer.taps // layer.groups
    return {
        ("registers", "activations", "read"): taps,
        ("registers", "weights", "read"): taps,
        ("registers", "partial_sums", "read"): taps,
        ("registers", "partial_sums", "write"): taps,
    }


def _weight_stationary(layer, mapping, rows, block, tiles):
    """The K × block weights lie in the array, `rows` of K by `columns` of channels at a time; positions stream by."""
    positions, reduction = len(rows) * layer.output[1], layer.reduction
    deep, wide = _folds(reduction, mapping.rows), _folds(block, mapping.columns)
    tiles["buffer", "weights", "read"] += reduction * block
    tiles["registers", "weights", "write"] += reduction * block
    tiles["buffer", "activations", "read"] += _inside(layer, rows) * wide
    tiles["registers", "activations", "write"] += positions * reduction * block
    tiles["buffer", "partial_sums", "write"] += positions * block * deep
    tiles["buffer", "partial_sums", "read"] += positions * block * (deep - 1)
    return wide * (reduction + deep * positions)


def _output_stationary(layer, mapping, rows, block, tiles):
    """`rows` positions by `columns` channels of sums lie in the array until their K taps are done."""
    positions, reduction = len(rows) * layer.output[1], layer.reduction
    deep, wide = _folds(positions, mapping.rows), _folds(block, mapping.columns)
    tiles["buffer", "weights", "read"] += reduction * block * deep
    tiles["registers", "weights", "write"] += positions * reduction * block
    tiles["buffer", "activations", "read"] += _inside(layer, rows) * wide
    tiles["registers", "activations", "write"] += positions * reduction * block
    tiles["buffer", "partial_sums", "write"] += positions * block
    return deep * wide * reduction


def _row_stationary(layer, mapping, rows, block, tiles):
    """Filter rows (channel, r) run down the array, output rows across it; `filters` channels share the image rows."""
    units, (kernel_h, kernel_w) = layer.channels * layer.kernel[0], layer.kernel
    deep, wide = _folds(units, mapping.rows), _folds(len(rows), mapping.columns)
    shared, width = _folds(block, mapping.filters), layer.output[1]
    columns = _touched_columns(layer)
    inside = sum(layer.pixel(0, row, r) is not None for row in rows for r in range(kernel_h))
    delivered = sum(
        _unit_rows(layer, range(first, min(first + mapping.rows, units)), rows[left : left + mapping.columns])
        for first in range(0, units, mapping.rows)
        for left in range(0, len(rows), mapping.columns)
    )
    tiles["buffer", "activations", "read"] += delivered * columns * shared
    tiles["registers", "activations", "write"] += layer.channels * inside * columns * shared
    tiles["buffer", "weights", "read"] += layer.reduction * block * wide
    tiles["registers", "weights", "write"] += layer.reduction * block * len(rows)
    tiles["buffer", "partial_sums", "write"] += len(rows) * width * block * deep
    tiles["buffer", "partial_sums", "read"] += len(rows) * width * block * (deep - 1)
    return deep * wide * block * width * kernel_w


_TILES = {
    "weight_stationary": _weight_stationary,
    "output_stationary": _output_stationary,
    "row_stationary": _row_stationary,
}


def _unit_rows(layer, units, rows):
    """How many image rows, of all channels, the filter rows `units` read for the output rows `rows`."""
    needed = {}
    for unit in units:
        channel, r = divmod(unit, layer.kernel[0])
        needed.setdefault(channel, set()).update(layer.pixel(0, row, r) for row in rows)
    return sum(len(pixels - {None}) for pixels in needed.values())


def _inside(layer, rows):
    """Taps of one output channel at the output rows `rows` that read a pixel, not padding."""
    across = sum(layer.pixel(1, q, s) is not None for q in range(layer.output[1]) for s in range(layer.kernel[1]))
    down = sum(layer.pixel(0, row, r) is not None for row in rows for r in range(layer.kernel[0]))
    return layer.channels * down * across


def _touched(layer, axis, positions):
    """How many image rows (axis 0) or columns (axis 1) the taps at `positions` read."""
    return len({layer.pixel(axis, p, tap) for p in positions for tap in range(layer.kernel[axis])} - {None})


def _touched_columns(layer):
    return _touched(layer, 1, range(layer.output[1]))


def _folds(size, width):
    return -(-size // width)
