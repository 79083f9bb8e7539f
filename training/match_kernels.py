"""Numba kernels of the matches of twins' responses on the CPU, float32: value and gradients from one pass over memory.

A layer's responses are megabytes, and a match is a dozen elementwise steps and a few thin matrix products on them. Here
a block of places that fits the first-level cache goes through all of them before the next one is read. Products work
on tiles of TILE rows × LANES columns in vector registers, on scratch whose rows are filled up to whole vectors. The
work is cut into the same parts for any number of threads, and each part's sums are its own: results are the same.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from training.vectors import FLOAT, FLOAT_BYTES, INT32, INT64, LANES, TILE, VECTOR, broadcast, call, load, run, store

WIDEST = 128
"""Channels beyond which matrices leave the cache, so that a library's products are the faster ones."""
LARGEST_EXPONENT = 80.0
"""Up to it, either way, the exponential stays a normal float32."""
PARTS = 16
"""Parts of the places whose sums are kept apart: work for as many threads."""
BLOCK_BYTES = 1 << 13
"""Bytes of each of four blocks of scratch: together they and the maps they meet stay near the core."""
_LOG2_E = np.float32(1.4426950408889634)
_LN_2_HIGH = np.float32(355 / 512)
_LN_2_LOW = np.float32(np.log(2) - 355 / 512)
_INVERSE_FACTORIALS = tuple(np.float32(1 / f) for f in (5040, 720, 120, 24, 6, 2))
_SUMS = {"reassoc", "contract"}


class Side(NamedTuple):
    """One network's responses and what becomes of them.

    rows: contiguous float32 (places, C). k: the kernel's factor. maps: float32 (2, width, width), what rows of answers
    are multiplied by, negative for the CNN, and what rows of gradients are; width is C filled up to whole vectors.
    of_rows: (places, C), or (0, C) where no gradient is asked for; of_maps: (PARTS, width, width); of_k: float64
    (PARTS,). learns: whether k and maps do.
    """

    rows: np.ndarray
    k: np.float32
    maps: np.ndarray
    of_rows: np.ndarray
    of_maps: np.ndarray
    of_k: np.ndarray
    learns: bool


class Form(NamedTuple):
    """What is compared: kernels or responses, mapped or not; limit: the bound of exponents; scale: of all gradients."""

    kernel: bool
    mapped: bool
    limit: np.float32
    scale: np.float32


def mean_squared_difference(ann, cnn, ks, maps, limit, *, cnn_learns, threads):
    """mean (ρ_a(g) − ρ_c(h))², g = exp(clip(k_a·ann)) and h = exp(clip(k_c·cnn)), clipped at ±limit, and its gradients.

    ann, cnn: contiguous float32 (places, C), of at most WIDEST channels; ks: two numbers, or None for the responses
    themselves; maps: two float32 (C, C), or None; limit: at most LARGEST_EXPONENT. Returns the value, the gradient of
    ann, and pairs, ANN and CNN, of gradients of ks and of maps; without cnn_learns nothing is in the CNN's.
    """
    form = Form(ks is not None, maps is not None, np.float32(limit), np.float32(2 / ann.size))
    ks, maps = ks if form.kernel else (0, 0), maps if form.mapped else (None, None)
    sides = (
        _side(ann, ks[0], maps[0], 1, np.empty_like(ann), True),
        _side(cnn, ks[1], maps[1], -1, cnn[:0], cnn_learns),
    )
    totals = np.zeros(PARTS)
    run(_match_parts, _match_parts_in_parallel, PARTS, threads, (*sides, form, totals))
    channels = slice(ann.shape[1])
    of_ks, of_maps = zip(*((s.of_k.sum(), s.of_maps.sum(0)[channels, channels]) for s in sides), strict=True)
    signs = (form.scale, -form.scale)
    return (
        totals.sum() / ann.size,
        sides[0].of_rows,
        [sign * each for sign, each in zip(signs, of_ks, strict=True)],
        [sign * each for sign, each in zip(signs, of_maps, strict=True)],
    )


def _side(rows, k, matrix, sign, of_rows, learns):
    channels = rows.shape[1]
    width = _whole_vectors(channels)
    maps = np.zeros((2, width, width), np.float32)
    if matrix is not None:
        maps[0, :channels, :channels], maps[1, :channels, :channels] = sign * matrix.T, matrix
    return Side(
        rows, np.float32(k), maps, of_rows, np.zeros((PARTS, width, width), np.float32), np.zeros(PARTS), learns
    )


def squared_mmd(a, b, *, threads):
    """The squared maximum mean discrepancy of two samples' channels, averaged over the batch, and its gradient of a.

    a, b: contiguous float32 (N, places, C) and (N, places, C') of at most WIDEST channels; the kernel is (x·y)² on maps
    divided by their norms. Returns (value, gradient).
    """
    of_a, totals = np.empty_like(a), np.zeros(len(a))
    widths = _whole_vectors(a.shape[2]), _whole_vectors(b.shape[2])
    run(_mmd_images, _mmd_images_in_parallel, len(a), threads, (a, b, widths, of_a, totals))
    return totals.mean(), of_a


def _whole_vectors(channels):
    return -(-channels // LANES) * LANES


@numba.njit(cache=True, nogil=True)
def _match_parts(first, last, ann, cnn, form, totals):
    """Parts first…last of the places: their share of each sum, and ann's gradients."""
    count, width = len(ann.rows), ann.maps.shape[2]
    together = max(TILE, BLOCK_BYTES // (width * FLOAT_BYTES) // TILE * TILE)
    scratch = np.zeros((4, together, width), np.float32)
    answers_ann, answers_cnn, difference, pulled = scratch[0], scratch[1], scratch[2], scratch[3]
    for part in range(first, last):
        end = (part + 1) * count // len(totals)
        for start in range(part * count // len(totals), end, together):
            places = min(together, end - start)
            filled = (places + TILE - 1) // TILE * TILE
            _answer(ann, start, places, filled, form, answers_ann)
            _answer(cnn, start, places, filled, form, answers_cnn)
            if form.mapped:
                difference[:filled] = 0
                _add_rows_times(answers_ann, ann.maps[0], difference, filled)
                _add_rows_times(answers_cnn, cnn.maps[0], difference, filled)
            else:
                _subtract(answers_ann[:filled].ravel(), answers_cnn[:filled].ravel(), difference[:filled].ravel())
            totals[part] += _sum_of_products(difference[:filled].ravel(), difference[:filled].ravel())
            _pull(ann, part, start, places, filled, form, difference, answers_ann, pulled)
            if cnn.learns:
                _pull(cnn, part, start, places, filled, form, difference, answers_cnn, pulled)


@numba.njit(cache=True, parallel=True, nogil=True)
def _match_parts_in_parallel(workers, count, ann, cnn, form, totals):
    for worker in numba.prange(workers):
        first, last = worker * count // workers, (worker + 1) * count // workers
        _match_parts(first, last, ann, cnn, form, totals)


@numba.njit(cache=True, nogil=True)
def _answer(side, start, places, filled, form, answers):
    """The first `filled` rows of `answers`: the kernel of the responses of `places` places from `start`, then zeros."""
    answers[places:filled] = 0
    spans, span, width = _spans(places, side.rows.shape[1], answers.shape[1])
    sources, targets = side.rows.ravel(), answers.ravel()
    for index in range(spans):
        begin = start * side.rows.shape[1] + index * span
        source, target = sources[begin : begin + span], targets[index * width : index * width + span]
        if form.kernel:
            _exponentials(source, side.k, form.limit, target)
        else:
            target[:] = source


@numba.njit(cache=True, nogil=True)
def _pull(side, part, start, places, filled, form, difference, answers, pulled):
    """Adds the sums of difference · d answer / d what the side learns, and writes scale times those of its rows."""
    if form.mapped:
        _add_columns_times(difference, answers, side.of_maps[part], filled)
        pulled[:filled] = 0
        _add_rows_times(difference, side.maps[1], pulled, filled)
    else:
        pulled[:filled] = difference[:filled]
    spans, span, width = _spans(places, side.rows.shape[1], answers.shape[1])
    sources, targets = side.rows.ravel(), side.of_rows.ravel()
    for index in range(spans):
        begin = start * side.rows.shape[1] + index * span
        source, inside = sources[begin : begin + span], slice(index * width, index * width + span)
        gradient, answer = pulled.ravel()[inside], answers.ravel()[inside]
        if form.kernel:
            _through_exponentials(gradient, source, side.k, form.limit, answer)
            side.of_k[part] += _sum_of_products(gradient, source)
        if len(targets) > 0:
            _scale(gradient, form.scale * side.k if form.kernel else form.scale, targets[begin : begin + span])


@numba.njit(cache=True, nogil=True)
def _spans(places, channels, width):
    """(spans, elements of each, elements of scratch from one to the next); one span where rows of scratch are full."""
    return (1, places * channels, places * width) if channels == width else (places, channels, width)


@numba.njit(cache=True, nogil=True)
def _mmd_images(first, last, a, b, widths, of_a, totals):
    """Images first…last: squared discrepancies, and their gradients divided by the number of images."""
    places, channels, others = a.shape[1], a.shape[2], b.shape[2]
    filled = (places + TILE - 1) // TILE * TILE
    x, y = np.zeros((filled, widths[0]), np.float32), np.zeros((filled, widths[1]), np.float32)
    norms, unused = np.empty(widths[0], np.float32), np.empty(widths[1], np.float32)
    pulled, along = np.empty_like(x), np.empty(widths[0], np.float32)
    within, across = np.empty((widths[0], widths[0]), np.float32), np.empty((widths[1], widths[0]), np.float32)
    of_others = np.empty((widths[1], widths[1]), np.float32)
    for image in range(first, last):
        _normalise(a[image], x, norms)
        _normalise(b[image], y, unused)
        within[:], across[:], of_others[:], pulled[:], along[:] = 0, 0, 0, 0, 0
        _add_columns_times(x, x, within, filled)
        _add_columns_times(y, x, across, filled)
        _add_columns_times(y, y, of_others, filled)
        totals[image] = (
            _sum_of_products(within.ravel(), within.ravel()) / channels**2
            + _sum_of_products(of_others.ravel(), of_others.ravel()) / others**2
            - 2 * _sum_of_products(across.ravel(), across.ravel()) / (channels * others)
        )
        _scale(within.ravel(), np.float32(4 / (len(a) * channels**2)), within.ravel())
        _scale(across.ravel(), np.float32(-4 / (len(a) * channels * others)), across.ravel())
        _add_rows_times(x, within, pulled, filled)
        _add_rows_times(y, across, pulled, filled)
        for place in range(places):
            _add_products(x[place], pulled[place], along)
        for place in range(places):
            _off_the_sphere(pulled[place], x[place], along, norms, of_a[image, place])


@numba.njit(cache=True, parallel=True, nogil=True)
def _mmd_images_in_parallel(workers, count, a, b, widths, of_a, totals):
    for worker in numba.prange(workers):
        first, last = worker * count // workers, (worker + 1) * count // workers
        _mmd_images(first, last, a, b, widths, of_a, totals)


@numba.njit(cache=True, nogil=True)
def _normalise(maps, normalised, norms):
    """maps (places, C) divided by the norms of its columns, at least 1e-12; norms has them, 1e-12 in the rest."""
    norms[:] = 0
    for place in range(len(maps)):
        _add_products(maps[place], maps[place], norms)
    for channel in range(len(norms)):
        norms[channel] = max(np.sqrt(norms[channel]), np.float32(1e-12))
    for place in range(len(maps)):
        _divide(maps[place], norms, normalised[place])


# Loops over whole slices, which LLVM turns into vectors; each takes the length of its first operand.


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _exponentials(values, k, limit, out):
    """out = exp(clip(k·values, −limit, limit)): 2^n·exp(r) with |r| ≤ ln 2 / 2, exp(r) by its series."""
    for i in range(len(values)):
        exponent = values[i] * k
        exponent = limit if exponent > limit else exponent
        exponent = -limit if exponent < -limit else exponent
        n = np.rint(exponent * _LOG2_E)
        r = exponent - n * _LN_2_HIGH - n * _LN_2_LOW
        series = _INVERSE_FACTORIALS[0]
        for factor in _INVERSE_FACTORIALS[1:]:
            series = series * r + factor
        out[i] = (series * r * r + r + np.float32(1)) * _power_of_two(np.int32(n))


@numba.njit(cache=True, nogil=True)
def _through_exponentials(gradients, values, k, limit, exponentials):
    """gradients *= exponentials; 0 where k·values is clipped."""
    for i in range(len(gradients)):
        exponent = values[i] * k
        gradient = gradients[i] * exponentials[i]
        gradients[i] = np.float32(0) if (exponent >= limit) | (exponent <= -limit) else gradient


@numba.njit(cache=True, nogil=True, fastmath=_SUMS)
def _sum_of_products(a, b):
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(cache=True, nogil=True)
def _subtract(a, b, out):
    for i in range(len(a)):
        out[i] = a[i] - b[i]


@numba.njit(cache=True, nogil=True)
def _scale(values, factor, out):
    for i in range(len(values)):
        out[i] = values[i] * factor


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add_products(a, b, out):
    for i in range(len(a)):
        out[i] += a[i] * b[i]


@numba.njit(cache=True, nogil=True)
def _divide(values, divisors, out):
    for i in range(len(values)):
        out[i] = values[i] / divisors[i]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _off_the_sphere(pulled, x, along, norms, out):
    """out = (pulled − x·along) / norms, of the first len(out) columns: what a normalised map lets through."""
    for i in range(len(out)):
        out[i] = (pulled[i] - x[i] * along[i]) / norms[i]


@numba.njit(cache=True, nogil=True)
def _add_rows_times(a, b, out, rows):
    """out[:rows] += a[:rows] @ b; whole vectors of columns, `rows` whole tiles."""
    for block in range(0, b.shape[1], LANES):
        for row in range(0, rows, TILE):
            _add_product_tile(
                a[row].ctypes.data,
                a.shape[1] * FLOAT_BYTES,
                FLOAT_BYTES,
                len(b),
                b.ctypes.data + block * FLOAT_BYTES,
                b.shape[1] * FLOAT_BYTES,
                out[row].ctypes.data + block * FLOAT_BYTES,
                out.shape[1] * FLOAT_BYTES,
            )


@numba.njit(cache=True, nogil=True)
def _add_columns_times(a, b, out, rows):
    """out += a[:rows].T @ b[:rows]; whole vectors of columns of both."""
    for column in range(0, a.shape[1], TILE):
        for block in range(0, b.shape[1], LANES):
            _add_product_tile(
                a.ctypes.data + column * FLOAT_BYTES,
                a.strides[1],
                a.strides[0],
                rows,
                b.ctypes.data + block * FLOAT_BYTES,
                b.shape[1] * FLOAT_BYTES,
                out[column].ctypes.data + block * FLOAT_BYTES,
                out.shape[1] * FLOAT_BYTES,
            )


@intrinsic
def _add_product_tile(typingctx, a, to_row, to_step, steps, b, to_next, out, to_next_out):
    """out[t] += Σ_k a[t, k]·b[k] for TILE rows t, each LANES columns, k below `steps`.

    a, b, out: addresses; the others but `steps` are the bytes from a's row to the next, from a's step to the next, and
    from one row of b and of out to the next.
    """

    def codegen(context, builder, signature, args):
        a, to_row, to_step, steps, b, to_next, out, to_next_out = args
        rows = [builder.add(a, builder.mul(INT64(t), to_row)) for t in range(TILE)]
        places = [builder.add(out, builder.mul(INT64(t), to_next_out)) for t in range(TILE)]
        sums = [cgutils.alloca_once_value(builder, load(builder, place, VECTOR)) for place in places]
        with cgutils.for_range(builder, steps, intp=INT64) as loop:
            vector = load(builder, builder.add(b, builder.mul(loop.index, to_next)), VECTOR)
            step = builder.mul(loop.index, to_step)
            for row, total in zip(rows, sums, strict=True):
                element = broadcast(builder, load(builder, builder.add(row, step), FLOAT))
                builder.store(call(builder, "llvm.fmuladd", element, vector, builder.load(total)), total)
        for place, total in zip(places, sums, strict=True):
            store(builder, builder.load(total), place)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), codegen


@intrinsic
def _power_of_two(typingctx, exponent):
    """2^exponent as a float32, of an int32 from −126 to 127: its bits."""

    def codegen(context, builder, signature, args):
        biased = builder.add(args[0], INT32(127))
        return builder.bitcast(builder.shl(biased, INT32(23)), FLOAT)

    return types.float32(types.int32), codegen
