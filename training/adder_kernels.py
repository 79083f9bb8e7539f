"""Numba kernels of the float32 adder convolution on the CPU: the sums of |x − w| and their two gradients.

Each image is copied into a small padded buffer of its thread, so that every tap exists and nothing as large as a
layer is copied. On it work register tiles of TILE positions × LANES channels (TILE taps × LANES channels for the
weight's gradient), held in vector registers for the whole reduction; what a position is and where its taps lie is in
tables of byte offsets, so that stride, padding, dilation and groups cost nothing inside. Loops run in parallel over
results, never over a reduction whose parts depend on it: results do not depend on the number of threads.

Subtractions are shared among adders and multipliers: |x − w| needs two additions, and Zen 4 has as many multiply-add
units as adders, so every second x − w is the equal x·1 − w. From registers one such core then does 37.5 G absolute
differences/s instead of 29.5, and 38 instead of 18 G products with clip(w − x, −1, 1), which is one instruction
(vrangeps) of AVX-512DQ. Layers of ResNet-20 reach nine tenths of that, and of the 58 G multiply-adds/s that bound the
weight's gradient; benchmarks/training.py prints them beside oneDNN's convolution. With AVX2 that clip is two
instructions, which leave multipliers no time: there w − x is a subtraction everywhere.
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from training.vectors import (
    FEATURES,
    FLOAT,
    FLOAT_BYTES,
    INT32,
    INT64,
    LANES,
    TILE,
    VECTOR,
    broadcast,
    call,
    constant,
    hidden,
    lane_mask,
    load,
    load_at,
    load_lanes,
    load_masked,
    run,
    store,
    store_lanes,
)

CLIPS_AT_ONCE = LANES == 16 and bool(FEATURES.get("avx512dq"))
"""Whether clip(w − x, −1, 1) is one instruction; as two, minimum and maximum, it leaves multipliers no subtraction."""
POSITIONS_AT_LEAST = 64
"""Positions that are worked on together, in images: below it, tiles are part empty and loops short."""
PARTIAL_SUMS = 16
"""Parts of the batch whose weight gradients are summed apart: work for as many threads, and shorter sums."""
PARTIAL_BYTES = 1 << 22
"""What those parts may take in memory, unless one alone takes more."""


class Geometry(NamedTuple):
    """Where an adder convolution's window goes: fields are (height, width), pads (top, left, bottom, right)."""

    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]

    def output_size(self, size, kernel):
        """(H', W') for an input of `size` (H, W) and a kernel of `kernel` (height, width)."""
        return tuple(
            (size[d] + self.pads[d] + self.pads[d + 2] - self.dilation[d] * (kernel[d] - 1) - 1) // self.stride[d] + 1
            for d in (0, 1)
        )


class Table(NamedTuple):
    """Where the work on some images lies: byte offsets, int64. Row 0 is of a full set of images, row 1 of the last one.

    reads, writes: (2, positions) of each position's first tap in the padded buffer and of its result; taps: (all,)
    of each tap from the first. Positions of one phase have the same taps and fill whole tiles, the last position
    repeated. tiles: (2, phases + 1), first_taps: (phases + 1,), where each phase begins; positions: (2,), how many
    there are without the repeated ones.
    """

    reads: np.ndarray
    writes: np.ndarray
    taps: np.ndarray
    tiles: np.ndarray
    first_taps: np.ndarray
    positions: np.ndarray


def absolute_differences(x, weight, geometry, *, groups=1, threads=1):
    """Y = −Σ|x − w| (Chen 2020). x: contiguous float32 (N, H, W, C); weight: float32 (O, C / groups, kh, kw).

    Returns float32 (N, H', W', O).
    """
    size = geometry.output_size(x.shape[1:3], weight.shape[2:])
    out = _result((len(x), *size, len(weight)))
    images = _images_together(len(x), size)
    table = _table(_window_offsets, images, len(x) % images, x.shape[1:], out.shape[1:], weight.shape[1:], geometry)
    packed = _pack(_grouped(weight, groups).transpose(0, 3, 4, 2, 1))
    operands = (x, _padded_size(x.shape[1:], geometry.pads), packed, table, images, out)
    run(_sum_images, _sum_images_in_parallel, -(-len(x) // images), threads, operands)
    return out


def input_gradient(grad, x, weight, geometry, *, groups=1, threads=1):
    """∂L/∂x = Σ g·clip(w − x, −1, 1) over every output that reads x (Chen 2020).

    grad: contiguous float32 (N, H', W', O); x and weight: as in absolute_differences. Returns float32 (N, H, W, C).
    """
    out = _result(x.shape)
    images = _images_together(len(x), x.shape[1:3])
    margins = _gradient_margins(geometry, x.shape[1:3], grad.shape[1:3], weight.shape[2:])
    padded = _padded_size(grad.shape[1:], margins)
    phases = _phases(geometry, weight.shape[2:])
    outputs = weight.shape[0] // groups
    table = _table(_phase_offsets, images, len(x) % images, x.shape[1:], padded, outputs, geometry, phases)
    by_tap = _grouped(weight, groups).transpose(0, 3, 4, 1, 2)
    rows, columns = zip(*((a, b) for phase in phases for a, _ in phase.rows for b, _ in phase.columns), strict=True)
    packed = _pack(by_tap[:, rows, columns])
    operands = (grad, padded, x, packed, table, images, out)
    run(_clip_images, _clip_images_in_parallel, -(-len(x) // images), threads, operands)
    return out


def weight_gradient(grad, x, weight, geometry, *, groups=1, threads=1):
    """∂L/∂w = Σ g·(x − w) over every output of the filter (Chen 2020), as the matrix product Σ g·x minus w·Σ g.

    grad: contiguous float32 (N, H', W', O); x and weight: as in absolute_differences. Returns float32 (O, C / groups,
    kh, kw). A part of the batch is summed image by image, then the parts, whose number the shapes decide.
    """
    images = _images_together(len(x), grad.shape[1:3])
    table = _table(_window_offsets, images, len(x) % images, x.shape[1:], grad.shape[1:], weight.shape[1:], geometry)
    by_group = _grouped(weight, groups)
    outputs, taps = by_group.shape[1], by_group[0, 0].size
    blocks = -(-outputs // LANES)
    parts = max(1, min(PARTIAL_SUMS, -(-len(x) // images), PARTIAL_BYTES // (groups * blocks * LANES * taps * 4)))
    products = np.zeros((parts, groups, blocks, -(-taps // TILE) * TILE, LANES), np.float32)
    sums = np.zeros((parts, groups, blocks, LANES), np.float32)
    operands = (grad, x, _padded_size(x.shape[1:], geometry.pads), table, images, outputs, products, sums)
    run(_product_parts, _product_parts_in_parallel, parts * blocks, threads, operands)
    rows = (groups, blocks * LANES)
    total = products.sum(0)[:, :, :taps].transpose(0, 1, 3, 2)
    total = total.reshape(*rows, *weight.shape[2:], weight.shape[1])[:, :outputs]
    grads = sums.sum(0).reshape(rows)[:, :outputs, None, None, None]
    return np.ascontiguousarray(total.transpose(0, 1, 4, 2, 3) - by_group * grads).reshape(weight.shape)


def _result(shape):
    return np.empty(shape, np.float32)


def _images_together(batch, size):
    """How many images are worked on together: one, or as many as have POSITIONS_AT_LEAST positions of `size`."""
    return max(1, min(batch, -(-POSITIONS_AT_LEAST // max(1, size[0] * size[1]))))


def _padded_size(shape, pads):
    """(top, left, height, width) of the buffer that holds images of shape (H, W, C) with `pads` around them."""
    top, left, bottom, right = pads
    return top, left, shape[0] + top + bottom, shape[1] + left + right


def _grouped(weight, groups):
    """(O, C / groups, kh, kw) -> (groups, O / groups, C / groups, kh, kw)."""
    return weight.reshape(groups, -1, *weight.shape[1:])


@lru_cache(maxsize=256)
def _table(offsets_of_phases, images, left_over, *shapes):
    """The Table of sets of `images` images and of those left over, if any.

    offsets_of_phases(count, *shapes) -> [(reads, writes, taps), …]
    """
    rows = [offsets_of_phases(count, *shapes) for count in (images, left_over or images)]
    reads, writes = (
        np.stack([_fill(np.concatenate([_fill(phase[k], TILE) for phase in row]), _filled(rows[0])) for row in rows])
        for k in (0, 1)
    )
    taps = [phase[2] for phase in rows[0]]
    tiles = np.stack([np.cumsum([0, *(-(-len(phase[0]) // TILE) for phase in row)]) for row in rows])
    first_taps = np.cumsum([0, *map(len, taps)])
    positions = np.array([sum(len(phase[0]) for phase in row) for row in rows])
    return Table(reads, writes, _fill(np.concatenate(taps), TILE), tiles, first_taps, positions)


def _filled(phases):
    """Positions of all phases together, each filled up to whole tiles."""
    return sum(-(-len(reads) // TILE) * TILE for reads, _, _ in phases)


def _fill(offsets, multiple):
    """The offsets with the last one repeated until their number is a multiple; none stay none."""
    return np.pad(offsets, (0, -len(offsets) % multiple), mode="edge") if len(offsets) else offsets


def _window_offsets(images, x_shape, out_shape, weight_shape, geometry):
    """Of every output position: where its window starts in the padded buffer, where it lies itself; one phase."""
    channels, *kernel = weight_shape
    _, _, height, width = _padded_size(x_shape, geometry.pads)
    out_h, out_w, outputs = out_shape
    n, i, j = (np.arange(count) for count in (images, out_h, out_w))
    reads = _offsets((n, i * geometry.stride[0], j * geometry.stride[1]), (height, width), channels)
    taps = (np.arange(kernel[d]) * geometry.dilation[d] for d in (0, 1))
    taps = _with_channels(_offsets(((0,), *taps), (height, width), channels), channels)
    return [(reads, _offsets((n, i, j), (out_h, out_w), outputs), taps)]


def _phase_offsets(images, x_shape, padded, outputs, geometry, phases):
    """Of every input, by phase: where its first gradient lies in the padded buffer, where it lies itself."""
    return [_offsets_of_phase(np.arange(images), x_shape, padded, outputs, geometry, phase) for phase in phases]


def _offsets_of_phase(n, x_shape, padded, outputs, geometry, phase):
    height, width, channels = x_shape
    top, left, grad_h, grad_w = padded
    i, j = (
        np.arange((phase.residue[d] - geometry.pads[d]) % geometry.stride[d], x_shape[d], geometry.stride[d])
        for d in (0, 1)
    )
    q, r = ((index + geometry.pads[d]) // geometry.stride[d] for d, index in ((0, i), (1, j)))
    reads = _offsets((n, q + top, r + left), (grad_h, grad_w), outputs)
    steps = ([-m for _, m in axis] for axis in (phase.rows, phase.columns))
    taps = _with_channels(_offsets(((0,), *steps), (grad_h, grad_w), outputs), outputs)
    return reads, _offsets((n, i, j), (height, width), channels), taps


def _offsets(indices, size, channels):
    """int64 byte offsets of the pixels (n, i, j) of images of `size` (height, width) with `channels`, flattened."""
    n, i, j = (np.asarray(index, np.int64) for index in indices)
    rows = n[:, None, None] * size[0] + i[:, None]
    return ((rows * size[1] + j) * (channels * FLOAT_BYTES)).ravel()


def _with_channels(pixels, channels):
    """Byte offsets of all channels of each pixel, flattened."""
    return (pixels[:, None] + np.arange(channels) * FLOAT_BYTES).ravel()


def _gradient_margins(geometry, size, out_size, kernel):
    """(top, left, bottom, right): zero gradients to add so that every tap of every input exists."""
    low, high = [], []
    for d in (0, 1):
        first = (geometry.pads[d] - (kernel[d] - 1) * geometry.dilation[d]) // geometry.stride[d]
        last = (size[d] - 1 + geometry.pads[d]) // geometry.stride[d]
        low.append(max(0, -first))
        high.append(max(0, last - (out_size[d] - 1)))
    return *low, *high


class _Phase(NamedTuple):
    """A residue (row, column) and the taps that its inputs meet: (tap, m) at output (i + pad) // stride − m."""

    residue: tuple[int, int]
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]


@lru_cache(maxsize=256)
def _phases(geometry, kernel):
    return tuple(
        _Phase(residue, *(_phase_taps(geometry, kernel, residue, d) for d in (0, 1)))
        for residue in np.ndindex(*geometry.stride)
    )


def _phase_taps(geometry, kernel, residue, d):
    distances = ((tap, tap * geometry.dilation[d] - residue[d]) for tap in range(kernel[d]))
    return tuple((tap, far // geometry.stride[d]) for tap, far in distances if far % geometry.stride[d] == 0)


def _pack(weight):
    """(groups, …, channels) -> float32 (groups, blocks, product of the rest, LANES), zeros in the channels missing."""
    groups, channels = weight.shape[0], weight.shape[-1]
    filled = np.zeros((*weight.shape[:-1], -(-channels // LANES) * LANES), np.float32)
    filled[..., :channels] = weight
    blocks = filled.reshape(groups, -1, filled.shape[-1] // LANES, LANES)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))


@numba.njit(cache=True, nogil=True)
def _copy_inside(images, group, padded_size, buffer):
    """images (m, H, W, all channels) of one group -> the inside of buffer (m or more, height, width, channels)."""
    top, left = padded_size[0], padded_size[1]
    pixels, all_channels, channels = images.shape[2], images.shape[3], buffer.shape[3]
    spans, span = (1, pixels * channels) if channels == all_channels else (pixels, channels)
    for n in range(images.shape[0]):
        for i in range(images.shape[1]):
            source = images[n, i].ctypes.data + group * channels * FLOAT_BYTES
            target = buffer[n, top + i].ctypes.data + left * channels * FLOAT_BYTES
            for _ in range(spans):
                _copy_bytes(target, source, span * FLOAT_BYTES)
                source += all_channels * FLOAT_BYTES
                target += channels * FLOAT_BYTES


@numba.njit(cache=True, nogil=True)
def _sum_images(first, last, x, padded_size, packed, table, images, out):
    """Groups of images first…last: their outputs, tile by tile."""
    groups, blocks, taps, _ = packed.shape
    outputs = out.shape[3] // groups
    buffer = np.zeros((images, padded_size[2], padded_size[3], x.shape[3] // groups), np.float32)
    for item in range(first, last):
        start = item * images
        row = 1 if start + images > len(x) else 0
        for group in range(groups):
            _copy_inside(x[start : start + images], group, padded_size, buffer)
            for tile in range(table.tiles[row, 1]):
                for block in range(blocks):
                    _sum_tile(
                        buffer.ctypes.data,
                        table.reads[row].ctypes.data + tile * TILE * 8,
                        table.taps.ctypes.data,
                        taps,
                        packed[group, block].ctypes.data,
                        out[start].ctypes.data + (group * outputs + block * LANES) * FLOAT_BYTES,
                        table.writes[row].ctypes.data + tile * TILE * 8,
                        outputs - block * LANES,
                    )


@numba.njit(cache=True, parallel=True, nogil=True)
def _sum_images_in_parallel(parts, count, x, padded_size, packed, table, images, out):
    for part in numba.prange(parts):
        first, last = part * count // parts, (part + 1) * count // parts
        _sum_images(first, last, x, padded_size, packed, table, images, out)


@numba.njit(cache=True, nogil=True)
def _clip_images(first, last, grad, padded_size, x, packed, table, images, out):
    """Groups of images first…last: their inputs' gradients, tile by tile."""
    groups, blocks = packed.shape[:2]
    channels = x.shape[3] // groups
    buffer = np.zeros((images, padded_size[2], padded_size[3], grad.shape[3] // groups), np.float32)
    for item in range(first, last):
        start = item * images
        row = 1 if start + images > len(x) else 0
        for group in range(groups):
            _copy_inside(grad[start : start + images], group, padded_size, buffer)
            for phase in range(len(table.first_taps) - 1):
                tap, taps = table.first_taps[phase], table.first_taps[phase + 1] - table.first_taps[phase]
                for tile in range(table.tiles[row, phase], table.tiles[row, phase + 1]):
                    for block in range(blocks):
                        inside = (group * channels + block * LANES) * FLOAT_BYTES
                        _clip_tile(
                            buffer.ctypes.data,
                            table.reads[row].ctypes.data + tile * TILE * 8,
                            table.taps.ctypes.data + tap * 8,
                            taps,
                            packed[group, block].ctypes.data + tap * LANES * FLOAT_BYTES,
                            x[start].ctypes.data + inside,
                            out[start].ctypes.data + inside,
                            table.writes[row].ctypes.data + tile * TILE * 8,
                            channels - block * LANES,
                        )


@numba.njit(cache=True, parallel=True, nogil=True)
def _clip_images_in_parallel(parts, count, grad, padded_size, x, packed, table, images, out):
    for part in numba.prange(parts):
        first, last = part * count // parts, (part + 1) * count // parts
        _clip_images(first, last, grad, padded_size, x, packed, table, images, out)


@numba.njit(cache=True, nogil=True)
def _product_parts(first, last, grad, x, padded_size, table, images, outputs, products, sums):
    """Tasks first…last, each one part of the batch and one block of output channels: Σ g·x and Σ g."""
    parts, groups, blocks, taps, _ = products.shape
    items = (len(x) + images - 1) // images
    buffer = np.zeros((images, padded_size[2], padded_size[3], x.shape[3] // groups), np.float32)
    for task in range(first, last):
        part, block = task // blocks, task % blocks
        lanes = min(LANES, outputs - block * LANES)
        for item in range(part * items // parts, (part + 1) * items // parts):
            start = item * images
            row = 1 if start + images > len(x) else 0
            for group in range(groups):
                channel = group * outputs + block * LANES
                _copy_inside(x[start : start + images], group, padded_size, buffer)
                gradients = grad[start].ctypes.data + channel * FLOAT_BYTES
                _add_rows(
                    gradients,
                    table.writes[row].ctypes.data,
                    table.positions[row],
                    sums[part, group, block].ctypes.data,
                    lanes,
                )
                for tap in range(0, taps, TILE):
                    _product_tile(
                        buffer.ctypes.data,
                        table.reads[row].ctypes.data,
                        table.positions[row],
                        gradients,
                        table.writes[row].ctypes.data,
                        table.taps.ctypes.data + tap * 8,
                        products[part, group, block, tap].ctypes.data,
                        lanes,
                    )


@numba.njit(cache=True, parallel=True, nogil=True)
def _product_parts_in_parallel(parts, count, grad, x, padded_size, table, images, outputs, products, sums):
    for part in numba.prange(parts):
        first, last = part * count // parts, (part + 1) * count // parts
        _product_parts(first, last, grad, x, padded_size, table, images, outputs, products, sums)


@intrinsic
def _copy_bytes(typingctx, target, source, count):
    """count bytes from the address `source` to the address `target`; a loop over indices checks each for its sign."""

    def codegen(context, builder, signature, args):
        target, source, count = args
        bytes_of = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(
            builder, builder.inttoptr(target, bytes_of), builder.inttoptr(source, bytes_of), count, itemsize=1
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


@intrinsic
def _sum_tile(typingctx, x, reads, taps, count, weights, out, writes, lanes):
    """out[writes[p]] = −Σ_k |x[reads[p] + taps[k]] − weights[k]| for TILE positions p and the first `lanes` lanes.

    Arguments are addresses and counts; the tables hold byte offsets.
    """

    def codegen(context, builder, signature, args):
        x, reads, taps, count, weights, out, writes, lanes = args
        starts = [builder.add(x, load(builder, reads, INT64, p)) for p in range(TILE)]
        one = _hidden_one(builder)
        sums = [cgutils.alloca_once_value(builder, constant(0.0)) for _ in starts]
        with cgutils.for_range(builder, count, intp=INT64) as loop:
            tap = load_at(builder, taps, INT64, loop.index)
            weight = load_at(builder, weights, VECTOR, loop.index)
            for p, (start, total) in enumerate(zip(starts, sums, strict=True)):
                element = broadcast(builder, load(builder, builder.add(start, tap), FLOAT))
                difference = call(builder, "llvm.fabs", _difference(builder, weight, element, one, p))
                builder.store(builder.fadd(builder.load(total), difference), total)
        for p, total in enumerate(sums):
            place = builder.add(out, load(builder, writes, INT64, p))
            store_lanes(builder, builder.fneg(builder.load(total)), place, lanes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen


@intrinsic
def _clip_tile(typingctx, grad, reads, taps, count, weights, x, out, writes, lanes):
    """out[writes[p]] = Σ_k grad[reads[p] + taps[k]] · clip(weights[k] − x[writes[p]], −1, 1), as in _sum_tile."""

    def codegen(context, builder, signature, args):
        grad, reads, taps, count, weights, x, out, writes, lanes = args
        starts = [builder.add(grad, load(builder, reads, INT64, p)) for p in range(TILE)]
        places = [load(builder, writes, INT64, p) for p in range(TILE)]
        inputs = [load_lanes(builder, builder.add(x, place), lanes) for place in places]
        one = _hidden_one(builder) if CLIPS_AT_ONCE else None
        sums = [cgutils.alloca_once_value(builder, constant(0.0)) for _ in places]
        with cgutils.for_range(builder, count, intp=INT64) as loop:
            tap = load_at(builder, taps, INT64, loop.index)
            weight = load_at(builder, weights, VECTOR, loop.index)
            for p, (start, element, total) in enumerate(zip(starts, inputs, sums, strict=True)):
                clipped = _clip_to_one(builder, _difference(builder, weight, element, one, p))
                gradient = broadcast(builder, load(builder, builder.add(start, tap), FLOAT))
                builder.store(call(builder, "llvm.fmuladd", gradient, clipped, builder.load(total)), total)
        for place, total in zip(places, sums, strict=True):
            store_lanes(builder, builder.load(total), builder.add(out, place), lanes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9), codegen


@intrinsic
def _product_tile(typingctx, x, reads, count, grad, writes, taps, out, lanes):
    """out[t] += Σ_p x[reads[p] + taps[t]] · grad[writes[p]] for TILE taps t over `count` positions, as in _sum_tile."""

    def codegen(context, builder, signature, args):
        x, reads, count, grad, writes, taps, out, lanes = args
        starts = [builder.add(x, load(builder, taps, INT64, t)) for t in range(TILE)]
        sums = [cgutils.alloca_once_value(builder, constant(0.0)) for _ in starts]
        mask = lane_mask(builder, lanes)
        with cgutils.for_range(builder, count, intp=INT64) as loop:
            read = load_at(builder, reads, INT64, loop.index)
            write = load_at(builder, writes, INT64, loop.index)
            gradient = load_masked(builder, builder.add(grad, write), mask)
            for start, total in zip(starts, sums, strict=True):
                element = broadcast(builder, load(builder, builder.add(start, read), FLOAT))
                builder.store(call(builder, "llvm.fmuladd", element, gradient, builder.load(total)), total)
        for t, total in enumerate(sums):
            place = builder.add(out, INT64(t * LANES * FLOAT_BYTES))
            added = builder.fadd(load(builder, place, VECTOR), builder.load(total))
            store(builder, added, place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen


@intrinsic
def _add_rows(typingctx, grad, writes, count, out, lanes):
    """out += Σ_p grad[writes[p]] over `count` positions, as in _sum_tile."""

    def codegen(context, builder, signature, args):
        grad, writes, count, out, lanes = args
        total = cgutils.alloca_once_value(builder, constant(0.0))
        mask = lane_mask(builder, lanes)
        with cgutils.for_range(builder, count, intp=INT64) as loop:
            row = load_masked(builder, builder.add(grad, load_at(builder, writes, INT64, loop.index)), mask)
            builder.store(builder.fadd(builder.load(total), row), total)
        store(builder, builder.fadd(load(builder, out, VECTOR), builder.load(total)), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


def _difference(builder, minuend, subtrahend, one, p):
    """minuend − subtrahend, in every second position as minuend·1 − subtrahend, which is equal, where `one` is one.

    The multiply-add gets a copy of the minuend to overwrite, so that a subtrahend in memory stays its operand.
    """
    if one is None or p % 2 == 0:
        return builder.fsub(minuend, subtrahend)
    return call(builder, "llvm.fma", hidden(builder, minuend), one, builder.fneg(subtrahend))


def _hidden_one(builder):
    """Ones that LLVM does not know to be ones, lest it turn x·1 − w into a subtraction; None without vector FMA."""
    return hidden(builder, constant(1.0)) if FEATURES.get("fma") else None


def _clip_to_one(builder, value):
    """HardTanh: one instruction of AVX-512DQ (the smaller magnitude with the value's sign), else compare and select."""
    if CLIPS_AT_ONCE:
        return _range_to_one(builder, value)
    for limit, operator in ((1.0, "<"), (-1.0, ">")):
        bound = constant(limit)
        value = builder.select(builder.fcmp_ordered(operator, value, bound), value, bound)
    return value


def _range_to_one(builder, value):
    smaller_magnitude_sign_of_first = INT32(0b0010)
    all_lanes, current_rounding = ir.IntType(16)(0xFFFF), INT32(4)
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, INT32, VECTOR, ir.IntType(16), INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.range.ps.512")
    operands = (value, constant(1.0), smaller_magnitude_sign_of_first, value, all_lanes, current_rounding)
    return builder.call(function, operands)
