"""Adder and integer convolutions: weights packed once for a kernel path, then exact sums and a fused epilogue."""

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from adderhw.errors import AdderHwError
from adderhw.kernels import compiled
from adderhw.kernels.geometry import Geometry
from adderhw.kernels.paths import choose_path
from adderhw.kernels.program import Program, make_step
from adderhw.kernels.requantise import (
    MIN_RUN,
    NO_REQUANT,
    Accumulator,
    check_requant,
    output,
    pack_tables,
    refused,
    requant_fits_int32,
    unsigned,
)

ADDER_KINDS = {"vnni": compiled.Sad512, "avx512": compiled.Sad512, "avx2": compiled.Sad256}
WIDE_ADDER_KINDS = {"vnni": compiled.Max512}
INTEGER_KINDS = {"vnni": compiled.Multiply512, "avx512": compiled.Multiply512, "avx2": compiled.Multiply256}
BYTE_KINDS = {"vnni": compiled.Dot512}  # where every w − w_zero_point is an int8
EXACT = Accumulator()
BLOCK_BYTES = 16 * 1024  # of sums finished together: half of a first-level data cache
MIN_BLOCK, MAX_BLOCK = 48, 512  # positions: fewer would stream the weights too often
UNIT_POSITIONS = 64  # small images are taken together until a unit has this many positions
UNIT_BYTES = 128 * 1024  # padded input of one unit, to stay in the second-level cache
SERIAL_TAPS = 400_000  # about 2 µs of work: below it sharing costs more than it gains
FLIPS = {"uint8": 0, "int8": 0x80, "uint16": 0, "int16": 0x8000}
NO_LIMIT = (-(2**63), 2**63 - 1)
NO_STATS = np.zeros(0, np.int64)
NO_CONSTANTS = np.zeros(0, np.int32)
EMPTY_STATS = {
    0: NO_STATS,
    2: np.array([NO_LIMIT[0], 0], np.int64),
    3: np.array([*NO_LIMIT, 0], np.int64),
}


@dataclass(frozen=True, eq=False)
class PackedConv:
    """Weights laid out for one tile kind, with what the compiled loop must know about them.

    shape: (O, C / groups, kh, kw). bound: exact largest |sum| of each output channel, Python integers (O,).
    signed: of the sums. flip: the sign bit of a signed x, which xor turns into order-preserving unsigned; else 0.
    weight_sums: Σ w of each channel as laid out, int64 (O,). by_rows: see _by_rows. zero_point: of x, where `bound`
    rests on it, else None.
    """

    kind: type
    geometry: Geometry
    shape: tuple[int, int, int, int]
    x_dtype: np.dtype
    w: np.ndarray
    bound: tuple[int, ...]
    signed: bool
    flip: int
    weight_sums: np.ndarray
    by_rows: bool = False
    zero_point: int | None = None


class PackedAdderConv(PackedConv):
    """Weights for adder_conv; made by pack_adder_conv."""


class PackedIntegerConv(PackedConv):
    """Weights for integer_conv; made by pack_integer_conv."""


class Prepared(NamedTuple):
    """One call's set-up: what depends on shapes, zero point, threads, Requant and accumulator, not on values."""

    units: int
    constants: tuple  # arrays of compiled.convolve_step between x and out


def _unit_elements(kind):
    """Elements of the padded input in one unit of the reduction: 8 bytes, 2 int16 or 1 int32."""
    return kind.unit.width // (8 * np.dtype(kind.scratch).itemsize)


def _by_rows(w, geometry, kind):
    """Whether each row of a window is read as one run of elements, not pixel by pixel.

    Where units hold more elements than a pixel's channels fill: fewer units, and no channels to pad while copying.
    The last unit of a row reads beyond the window, where products with zero weights vanish (absolute differences
    would not).
    """
    uneven = w.shape[1] % _unit_elements(kind) > 0
    return kind.signed and uneven and geometry.groups == 1 == geometry.dilations[1]


def _rows_of_windows(w):
    """w (O, C, kh, kw) → (O, kw · C, kh, 1): a row of the window as the channels of one pixel."""
    outputs, channels, kernel_h, kernel_w = w.shape
    return w.transpose(0, 3, 1, 2).reshape(outputs, kernel_w * channels, kernel_h, 1)


def _tile_channels(kind):
    return kind.lanes * kind.vectors


def check_weights(w, geometry):
    """Raises AdderHwError unless w is (O, C / groups, kh, kw) of 8 or 16 bits and fits the geometry."""
    geometry.check()
    if w.ndim != 4 or w.dtype.name not in FLIPS or w.size == 0:
        raise AdderHwError(
            f"weights: found {w.dtype} of shape {w.shape}, expected (O, C/groups, kh, kw) of {', '.join(FLIPS)}"
        )
    if w.shape[0] % geometry.groups:
        raise AdderHwError(f"weights: found {w.shape[0]} output channels, expected a multiple of {geometry.groups}")


def _lay_out(w, groups, kind):
    """w (O, C/groups, kh, kw) → bytes [group][channel tile][tap][vector][lane][element of the unit]."""
    outputs, channels, kernel_h, kernel_w = w.shape
    elements, tile = _unit_elements(kind), _tile_channels(kind)
    tiles, units = -(-outputs // groups // tile), -(-channels // elements)
    padded = np.zeros((groups, tiles * tile, kernel_h, kernel_w, units * elements), kind.scratch)
    padded[:, : outputs // groups, :, :, :channels] = w.reshape(groups, -1, *w.shape[1:]).transpose(0, 1, 3, 4, 2)
    taps = padded.reshape(groups, tiles, tile, kernel_h * kernel_w * units, elements)
    if kind.unit.width == 64:  # neighbouring channels sit in neighbouring vectors: _store_sums interleaves them
        taps = taps.reshape(groups, tiles, kind.vectors // 2, kind.lanes, 2, -1, elements).swapaxes(3, 4)
        taps = taps.reshape(groups, tiles, tile, -1, elements)
    return np.ascontiguousarray(taps.swapaxes(2, 3)).reshape(-1).view(np.uint8)


def pack_adder_conv(w, geometry, path=None, x_range=None):
    """Packs adder weights (O, C/groups, kh, kw), uint8/int8/uint16/int16, for inputs of the same dtype.

    x_range: (lowest, highest) input value, default the dtype's; the exact bound Σ max(w − lo, hi − w) rests on it
    and decides whether int32 sums suffice. Raises AdderHwError for bad weights, geometry or path.
    """
    w, path = np.asarray(w), choose_path(path)
    check_weights(w, geometry)
    info = np.iinfo(w.dtype)
    low, high = x_range or (info.min, info.max)
    wide = w.astype(np.int64)
    bound = tuple(np.maximum(wide - low, high - wide).reshape(len(w), -1).sum(1).tolist())
    exact32 = max(bound) < 2**31
    kind = compiled.Distance32 if exact32 else compiled.Distance64
    if exact32 and w.dtype.itemsize == 1:
        kind = _adder_kind(path, len(w) // geometry.groups, kind)
    wide += FLIPS[w.dtype.name]
    laid_out = _lay_out(wide, geometry.groups, kind)
    return PackedAdderConv(
        kind, geometry, w.shape, w.dtype, laid_out, bound, False, FLIPS[w.dtype.name], _weight_sums(wide)
    )


def _adder_kind(path, outputs, portable):
    """The tile for `outputs` channels of a group: the wide one where several share the sums of the windows.

    On Zen 4 the wide tile gains 1 % in whole layers of 32 channels and 3 to 6 % in those of 64 and more.
    """
    narrow = ADDER_KINDS.get(path, portable)
    wide = WIDE_ADDER_KINDS.get(path, narrow)
    few = outputs <= _tile_channels(wide)
    idle_more = -outputs % _tile_channels(wide) > -outputs % _tile_channels(narrow)
    return narrow if few or idle_more else wide


def _weight_sums(w):
    return w.reshape(len(w), -1).sum(1)


def pack_integer_conv(w, w_zero_point, geometry, path=None, x_dtype=np.uint8, x_range=None, x_zero_point=None):
    """Packs ConvInteger weights (O, C/groups, kh, kw) of 8 or 16 bits; w_zero_point: an integer or one per channel.

    x_range: (lowest, highest) input value, default that of x_dtype; x_zero_point: that of the calls, if it is known.
    The bound Σ |w − zw|·(highest − lowest), or with the zero point the exact one, decides whether int32 sums suffice.
    Raises AdderHwError for bad weights, dtype, geometry or path.
    """
    w, path, x_dtype = np.asarray(w), choose_path(path), np.dtype(x_dtype)
    check_weights(w, geometry)
    if x_dtype.name not in FLIPS:
        raise AdderHwError(f"integer convolution: found input {x_dtype}, expected one of {', '.join(FLIPS)}")
    low, high = x_range or (np.iinfo(x_dtype).min, np.iinfo(x_dtype).max)
    zero_points = np.asarray(w_zero_point, np.int64).reshape(-1, 1, 1, 1)
    wide = w.astype(np.int64) - zero_points
    bound = _product_bound(wide.reshape(len(w), -1), low, high, x_zero_point)
    exact32 = max(bound) < 2**31
    kind = compiled.Product32 if exact32 else compiled.Product64
    if exact32 and w.dtype.itemsize == x_dtype.itemsize == 1:
        kinds = BYTE_KINDS if wide.min() >= -128 and wide.max() <= 127 else INTEGER_KINDS
        kind = kinds.get(path, INTEGER_KINDS.get(path, kind))
    by_rows = _by_rows(w, geometry, kind)
    laid_out = _lay_out(_rows_of_windows(wide) if by_rows else wide, geometry.groups, kind)
    return PackedIntegerConv(
        kind, geometry, w.shape, x_dtype, laid_out, bound, True, FLIPS[x_dtype.name], _weight_sums(wide),
        by_rows=by_rows, zero_point=x_zero_point,
    )  # fmt: skip


def _product_bound(w, low, high, zero_point):
    """Largest |Σ a·w| of each channel, Python integers: a = x − zero_point, x in low … high, or 0 in padding.

    w: int64 (O, K), less its zero point. zero_point: None where it may be any value in low … high.
    """
    if zero_point is None:
        return tuple((np.abs(w).sum(1) * (high - low)).tolist())
    least, most = w * min(low - zero_point, 0), w * max(high - zero_point, 0)
    return tuple(np.maximum(np.maximum(least, most).sum(1), -np.minimum(least, most).sum(1)).tolist())


def _constants(packed, zero_point):
    """int32 (groups · tile channels,): what each channel's accumulator starts with (see compiled.Tile)."""
    if not packed.kind.constant:
        return NO_CONSTANTS
    per_weight = zero_point + packed.flip if packed.signed else 1
    groups, tile = packed.geometry.groups, _tile_channels(packed.kind)
    outputs = packed.shape[0] // groups
    constants = np.zeros((groups, -(-outputs // tile) * tile), np.int64)
    constants[:, :outputs] = -per_weight * packed.weight_sums.reshape(groups, outputs)
    return constants.reshape(-1).astype(np.int32)


def _taps(packed, row):
    """Element offset of each unit of a window from the window's origin, int64; row: elements per input row."""
    channels, kernel_h, kernel_w = packed.shape[1:]
    if packed.by_rows:
        channels, kernel_w = kernel_w * channels, 1
    elements = _unit_elements(packed.kind)
    padded = -(-channels // elements) * elements
    (dh, dw), pixel = packed.geometry.dilations, packed.geometry.groups * padded
    a, b, c = np.ogrid[:kernel_h, :kernel_w, 0:padded:elements]
    return (a * dh * row + b * dw * pixel + c).astype(np.int64).reshape(-1)


def _positions(geometry, images, rows, columns, image, row, pixel):
    """Element offset of each window origin of a unit, int64."""
    i, j, k = np.ogrid[:images, :rows, :columns]
    return (i * image + j * geometry.strides[0] * row + k * geometry.strides[1] * pixel).astype(np.int64).reshape(-1)


def _unit_size(shape, out_hw, row_bytes, stride_h, threads):
    """(images, output rows) of one unit of work."""
    batch, (out_h, out_w) = shape[0], out_hw
    images = max(1, min(-(-UNIT_POSITIONS // (out_h * out_w)), -(-batch // threads)))
    if images > 1:
        return images, out_h
    rows = max(1, min(out_h, UNIT_BYTES // (row_bytes * stride_h)))
    return 1, min(rows, -(-out_h // threads)) if batch < 4 * threads else rows


def _runs(packed, requant):
    """(run, run_step, run_tables, table repeats): how a block's sums split into requantisation loops."""
    outputs, groups, tile = (
        packed.shape[0] // packed.geometry.groups,
        packed.geometry.groups,
        _tile_channels(packed.kind),
    )
    padded = -(-outputs // tile) * tile
    if padded != outputs:
        return outputs, padded, groups, 1
    repeats = -(-MIN_RUN // packed.shape[0])
    return packed.shape[0] * repeats, packed.shape[0] * repeats, 1, repeats


def _limits(packed, accumulator):
    """(low, high, limited) of an accumulator, as the compiled loop wants them."""
    if not 0 <= accumulator.bits <= 63:
        raise AdderHwError(f"accumulator: found {accumulator.bits} bits, expected 0 (exact) to 63")
    if packed.signed and accumulator.saturate and accumulator.bits:
        raise AdderHwError("accumulator: found a saturating signed sum, expected wrapping (its order would matter)")
    if accumulator.bits == 0:
        return *NO_LIMIT, 0
    low = -(1 << accumulator.bits - 1) if packed.signed else 0
    high = low + (1 << accumulator.bits) - 1
    return low, high, int(max(packed.bound) > high)


def _tables(packed, requant, accumulator, out_dtype, repeats):
    """Requantisation tables for sums within the packed bound (or the accumulator's range); checks `requant`."""
    if requant is None:
        if np.dtype(out_dtype) not in (np.int32, np.int64):
            raise AdderHwError(f"sums without requantisation: found out_dtype {out_dtype}, expected int32 or int64")
        if np.dtype(out_dtype) == np.int32 and max(packed.bound) >= 2**31 and not 0 < accumulator.bits < 32:
            raise AdderHwError(f"sums of up to {max(packed.bound)}: found out_dtype int32, expected int64")
        return NO_REQUANT
    check_requant(requant, packed.shape[0], packed.bound, out_dtype)
    return pack_tables(requant, requant_fits_int32(packed.bound, requant), repeats)


def _check_shape(shape, packed, zero_point):
    channels = packed.shape[1] * packed.geometry.groups
    if len(shape) != 4 or shape[3] != channels:
        raise AdderHwError(f"convolution: found input {shape}, expected {packed.x_dtype} (N, H, W, {channels})")
    if packed.zero_point not in (None, zero_point):
        raise AdderHwError(f"convolution: found zero point {zero_point}, expected {packed.zero_point} as packed for")
    if not 0 <= zero_point + packed.flip < 1 << 8 * packed.x_dtype.itemsize:
        raise AdderHwError(f"convolution: found zero point {zero_point}, expected a value of {packed.x_dtype}")


def _prepare(packed, shape, zero_point, accumulator, requant, out_dtype, track, threads):
    """Settles everything about a call but the values; see Prepared."""
    _check_shape(shape, packed, zero_point)
    kind, geometry = packed.kind, packed.geometry
    outputs, group_channels, kernel_h, kernel_w = packed.shape
    batch, height, width, channels = shape
    out_h, out_w = geometry.output_hw(height, width, kernel_h, kernel_w)
    elements, flip = _unit_elements(kind), packed.flip
    padded_channels = group_channels if packed.by_rows else -(-group_channels // elements) * elements
    overhang = -(kernel_w * group_channels) % elements if packed.by_rows else 0
    shift, fill = zero_point + flip, 0  # the zero point is subtracted when x is copied, or else padding holds it
    if kind.constant or not packed.signed:
        shift, fill = fill, shift
    same_type = kind.scratch == np.uint8 == packed.x_dtype
    copy = not same_type or any(geometry.pads) or padded_channels != group_channels or overhang > 0
    padded_width = (out_w - 1) * geometry.strides[1] + geometry.dilations[1] * (kernel_w - 1) + 1
    pixel = geometry.groups * padded_channels
    row = (padded_width if copy else width) * pixel
    window_rows = geometry.dilations[0] * (kernel_h - 1) + 1
    small = batch * out_h * out_w * outputs * group_channels * kernel_h * kernel_w < SERIAL_TAPS
    threads = 1 if small else threads
    row_bytes = row * np.dtype(kind.scratch).itemsize
    images, rows = _unit_size(shape, (out_h, out_w), row_bytes, geometry.strides[0], threads)
    image = ((rows - 1) * geometry.strides[0] + window_rows) * row if copy else height * row
    tile = _tile_channels(kind)
    tiles = -(-outputs // geometry.groups // tile)
    sums_bytes = np.dtype(kind.sums).itemsize * geometry.groups * tiles * tile
    most = min(max(BLOCK_BYTES // sums_bytes, MIN_BLOCK), MAX_BLOCK)
    count = images * rows * out_w
    block = -(-count // -(-count // most))
    block = -(-block // kind.positions) * kind.positions
    run, run_step, run_tables, repeats = _runs(packed, requant)
    low, high, limited = _limits(packed, accumulator)
    tables = _tables(packed, requant, accumulator, out_dtype, repeats)
    whole = tiles * tile * geometry.groups == outputs
    plain = tables.mode == 0 and not track and max(packed.bound) <= high
    direct = plain and whole and out_dtype == kind.sums
    fused = whole and tables.mode == 1 and not tables.corrected and not limited
    taps = _taps(packed, row)
    layout = compiled.Layout(
        batch=batch, height=height, width=width, channels=channels, groups=geometry.groups,
        padded_channels=padded_channels, window_rows=window_rows, stride_h=geometry.strides[0],
        pad_top=geometry.pads[0], pad_left=geometry.pads[1], padded_width=padded_width, out_h=out_h, out_w=out_w,
        outputs=outputs // geometry.groups, tiles=tiles, tile_positions=kind.positions, tile_channels=tile,
        taps=len(taps), weight_step=len(taps) * kind.vectors * kind.lanes * kind.unit.width // 8, copy=int(copy),
        flip=flip, shift=shift, fill=fill, unit_images=images, unit_rows=rows, units_per_band=-(-out_h // rows),
        block=block, limit_low=low, limit_high=high, limited=limited, saturate=int(accumulator.saturate),
        track=int(track), mode=tables.mode, direct=int(direct), corrected=tables.corrected,
        fused=int(fused), qmin=tables.qmin, qmax=tables.qmax, run=run, run_step=run_step, run_tables=run_tables,
        kernel_h=kernel_h, kernel_w=kernel_w, stride_w=geometry.strides[1], dilation_h=geometry.dilations[0],
        dilation_w=geometry.dilations[1], row_pixels=row // pixel, overhang=overhang,
    )  # fmt: skip
    units = -(-batch // images) * layout.units_per_band
    positions = _positions(geometry, images, rows, out_w, image, row, pixel)
    constants = (
        packed.w, taps, positions, positions // pixel, _constants(packed, zero_point), tables.table32, tables.table64,
        np.array(layout, np.int64),
    )  # fmt: skip
    return Prepared(units, constants)


def output_shape(packed, x_shape):
    """(N, H', W', O) of a convolution of NHWC inputs of x_shape."""
    return (x_shape[0], *packed.geometry.output_hw(*x_shape[1:3], *packed.shape[2:]), packed.shape[0])


def conv_step(packed, x, zero_point, out, *, accumulator=EXACT, requant=None, stats=None, threads=1):
    """The Step that does adder_conv or integer_conv, whichever `packed` is for, from x to out (both as there).

    stats: int64 (threads, 2 or 3), a row of statistics for each thread. Raises AdderHwError as adder_conv does.
    """
    stats = NO_STATS if stats is None else stats
    if x.ndim != 4 or x.dtype != packed.x_dtype or not x.flags.c_contiguous:
        raise refused("convolution", x, f"(N, H, W, {packed.shape[1] * packed.geometry.groups})", packed.x_dtype)
    prepared = _prepare(packed, x.shape, int(zero_point), accumulator, requant, out.dtype, stats.size > 0, threads)
    output(out, output_shape(packed, x.shape), out.dtype)
    if stats.size and (stats.shape != (threads, 3 if packed.signed else 2) or stats.dtype != np.int64):
        expected = f"int64 {(threads, 3 if packed.signed else 2)}"
        raise AdderHwError(f"stats: found {stats.dtype} {stats.shape}, expected {expected}")
    x, out = unsigned(x), unsigned(out)
    code = compiled.convolve_step(packed.kind, x.dtype.type, out.dtype.type)
    return make_step(code, prepared.units, x.reshape(-1), *prepared.constants, out.reshape(-1), stats)


def _call(x, packed, zero_point, accumulator, requant, out_dtype, stats, out, threads):
    """The outputs of one convolution, run by a program of one step."""
    threads = threads or numba.get_num_threads()
    rows = None
    if stats is not None:
        if stats.shape != (3 if packed.signed else 2,):
            raise AdderHwError(f"stats: found shape {stats.shape}, expected {(3 if packed.signed else 2,)}")
        rows = np.tile(EMPTY_STATS[stats.size], (threads, 1))
    if out is None and x.ndim == 4:
        out = np.empty(output_shape(packed, x.shape), out_dtype)
    step = conv_step(
        packed, x, zero_point, out, accumulator=accumulator, requant=requant, stats=rows, threads=threads
    )  # fmt: skip
    Program([step], threads).run()
    if stats is not None:
        fold_stats(stats, rows)
    return out


def fold_stats(stats, rows):
    """Folds rows of [largest, outside] or [largest, smallest, outside] into stats, in place."""
    stats[0] = max(stats[0], rows[:, 0].max())
    stats[-1] += rows[:, -1].sum()
    if stats.size == 3:
        stats[1] = min(stats[1], rows[:, 1].min())


def adder_conv(
    x, packed, zero_point, *, accumulator=EXACT, requant=None, out_dtype=np.int32, stats=None, out=None, threads=None
):
    """S = Σ |x − w| over the taps (Chen 2020, without its minus sign), then optionally requantised.

    x: (N, H, W, C) of the packed dtype; padding reads zero_point and counts. Returns (N, H', W', O): the sums as
    int32 or int64, or with `requant` clip(round_shift(S·M + C, n)) as out_dtype. accumulator: what a register of
    that many bits would hold instead of S. stats: int64 (2,), updated to [largest exact S, exact sums above
    2^bits − 1]. threads: how many share the work, default numba.get_num_threads() (asking costs 2.6 µs).
    Raises AdderHwError for a wrong shape, dtype, accumulator or Requant.
    """
    return _call(x, packed, int(zero_point), accumulator, requant, out_dtype, stats, out, threads)


def integer_conv(
    x, packed, x_zero_point, *, accumulator=EXACT, requant=None, out_dtype=np.int32, stats=None, out=None, threads=None
):
    """Σ (x − x_zero_point)(w − w_zero_point), ONNX ConvInteger: padding contributes 0; then optionally requantised.

    Shapes and `requant` as adder_conv. accumulator: wraps two's complement, never saturates. stats: int64 (3,),
    updated to [largest exact sum, smallest exact sum, exact sums outside the accumulator's range].
    Raises AdderHwError for a wrong shape, dtype, accumulator or Requant.
    """
    return _call(x, packed, int(x_zero_point), accumulator, requant, out_dtype, stats, out, threads)
