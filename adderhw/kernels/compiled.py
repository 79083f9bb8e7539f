"""Every jitted loop of the package: one file, because Numba's disk cache does not see edits across files.

A convolution is a list of *units* (an image, a few small images or a band of rows). A unit copies the input it
reads into a padded scratch, then fills blocks of exact sums with register tiles, and finishes each block
(statistics, accumulator, requantisation) while its sums are in the first-level cache. A register tile is one
intrinsic that emits LLVM vector code: P output positions by Q vectors of output channels stay in registers while
the reduction runs over a table of offsets. Each lane belongs to one output channel, so nothing is summed across
lanes. Which instruction a tile uses is chosen by the *type* of the `kind` argument, at compile time.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _sad(instruction):
    """sum + |x − w| of 8 bytes in each 64-bit lane, by vpsadbw."""

    def accumulate(builder, kind, total, x, w):
        vector, lanes = ir.VectorType(I8, 8 * kind.lanes), ir.VectorType(I64, kind.lanes)
        psad = builder.module.declare_intrinsic(instruction, (), ir.FunctionType(lanes, [vector, vector]))
        return builder.add(total, builder.call(psad, [builder.bitcast(x, vector), builder.bitcast(w, vector)]))

    return accumulate


def _dot(builder, total, x, w):
    """total + Σ x·w of 4 bytes in each 32-bit lane, x unsigned, w signed, by vpdpbusd."""
    bytes_, lanes = ir.VectorType(I8, 64), ir.VectorType(I32, 16)
    kinds = ir.FunctionType(lanes, [lanes, bytes_, bytes_])
    instruction = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kinds)
    return builder.call(instruction, [total, builder.bitcast(x, bytes_), builder.bitcast(w, bytes_)])


def _twice_the_larger(builder, kind, total, x, w):
    """total + 2·Σ max(x, w) of 4 bytes in each 32-bit lane, by vpmaxub and vpdpbusd."""
    bytes_ = ir.VectorType(I8, 64)
    x, w = builder.bitcast(x, bytes_), builder.bitcast(w, bytes_)
    larger = builder.select(builder.icmp_unsigned(">", x, w), x, w)
    return _dot(builder, total, larger, ir.Constant(bytes_, [2] * 64))


def _multiply_bytes(builder, kind, total, x, w):
    """total + Σ x·w of 4 bytes in each 32-bit lane."""
    return _dot(builder, total, x, w)


def _multiply_pairs(instruction):
    """total + products of two int16 pairs in each 32-bit lane, by vpmaddwd."""

    def accumulate(builder, kind, total, x, w):
        vector, lanes = ir.VectorType(I16, 2 * kind.lanes), ir.VectorType(I32, kind.lanes)
        madd = builder.module.declare_intrinsic(instruction, (), ir.FunctionType(lanes, [vector, vector]))
        return builder.add(total, builder.call(madd, [builder.bitcast(x, vector), builder.bitcast(w, vector)]))

    return accumulate


def _widened(builder, kind, value):
    lanes = ir.VectorType(kind.lane, kind.lanes)
    return value if value.type == lanes else builder.sext(value, lanes)


def _absolute_difference(builder, kind, total, x, w):
    """total + |x − w| of one int32 per lane, in any CPU's own vector instructions.

    Operands have at most 16 bits, so their difference never overflows; told so, an Arm compiler takes saba or sabal.
    """
    difference = builder.sub(_widened(builder, kind, x), _widened(builder, kind, w), flags=["nsw"])
    no_overflow = ir.Constant(ir.IntType(1), 1)
    kinds = ir.FunctionType(difference.type, [difference.type, no_overflow.type])
    name = f"llvm.abs.v{kind.lanes}i{kind.lane.width}"
    absolute = builder.module.declare_intrinsic(name, (), kinds)
    return builder.add(total, builder.call(absolute, [difference, no_overflow]))


def _product(builder, kind, total, x, w):
    """total + x·w of one int32 per lane, in any CPU's own vector instructions."""
    return builder.add(total, builder.mul(_widened(builder, kind, x), _widened(builder, kind, w)))


class Tile(NamedTuple):
    """How one register tile computes; each subclass is a type of its own, which the compiler sees.

    accumulate: LLVM code of one step of the reduction. unit: what one step reads of x, as an integer of that width;
    lane, lanes: of an accumulator; positions, vectors: of the tile; signed: whether sums can be negative.
    constant: accumulators start at a constant per channel; less_window: less the sum of the window's inputs.
    scratch, sums: dtypes of the padded input and of stored sums.
    """

    tag: int = 0
    signed = constant = less_window = False
    scratch, sums = np.int32, np.int32


class Sad256(Tile):
    """vpsadbw on 32 bytes. 6 × 2 fills the 16 registers (12 accumulators, 2 weights, 1 input, 1 difference).

    Measured on Zen 3, 3×3 layers of 16 to 256 channels: 6 × 2 97–146, 4 × 2 95–143, 2 × 4 95–143, 3 × 4 (which
    spills) 39–48 G differences/s.
    """

    accumulate = staticmethod(_sad("llvm.x86.avx2.psad.bw"))
    scratch = np.uint8
    unit, lane, lanes, positions, vectors = I64, I64, 4, 6, 2


class Sad512(Tile):
    """vpsadbw on 64 bytes; 16 accumulators of 32 registers.

    Tiles alone, measured on Zen 4, layers of 16 to 256 channels: 8 × 2 187–193, 10 × 2 172–192, 12 × 2 (which
    spills) 114–127 G differences/s.
    """

    accumulate = staticmethod(_sad("llvm.x86.avx512.psad.bw.512"))
    scratch = np.uint8
    unit, lane, lanes, positions, vectors = I64, I64, 8, 8, 2


class Max512(Tile):
    """Σ |x − w| = 2·Σ max(x, w) − Σ x − Σ w, by vpmaxub and vpdpbusd on 64 bytes.

    Tiles alone, measured on Zen 4, layers of 16 to 256 channels: 8 × 2 217–227 G differences/s, where vpsadbw does
    187–193; the sums Σ x of all windows cost 1 to 3 %.
    """

    constant = less_window = True
    accumulate = staticmethod(_twice_the_larger)
    scratch = np.uint8
    unit, lane, lanes, positions, vectors = I32, I32, 16, 8, 2


class Dot512(Tile):
    """vpdpbusd on 64 bytes: unsigned x, signed w; the zero point of x times Σ w is the constant."""

    signed = constant = True
    accumulate = staticmethod(_multiply_bytes)
    scratch = np.uint8
    unit, lane, lanes, positions, vectors = I32, I32, 16, 8, 1


class Multiply256(Tile):
    """vpmaddwd on 16 int16; products and sums are exact in int32 where the caller's bound says so.

    Whole layers on Zen 3, median of paired runs: 6 × 2 takes 0.95 to 0.97 times as long as 4 × 2 (3 to 64 channels,
    7×7; 16 and 64 channels, 3×3), and 1.03 times in ResNet-20's first layer.
    """

    signed = True
    accumulate = staticmethod(_multiply_pairs("llvm.x86.avx2.pmadd.wd"))
    scratch = np.int16
    unit, lane, lanes, positions, vectors = I32, I32, 8, 6, 2


class Multiply512(Tile):
    """vpmaddwd on 32 int16."""

    signed = True
    accumulate = staticmethod(_multiply_pairs("llvm.x86.avx512.pmaddw.d.512"))
    scratch = np.int16
    unit, lane, lanes, positions, vectors = I32, I32, 16, 8, 1


class Distance32(Tile):
    """|x − w| of int32 values in int32 sums, no instruction named: any CPU."""

    accumulate = staticmethod(_absolute_difference)
    unit, lane, lanes, positions, vectors = I32, I32, 8, 4, 2


class Distance64(Tile):
    """|x − w| of int32 values in int64 sums, no instruction named: any CPU."""

    accumulate = staticmethod(_absolute_difference)
    sums = np.int64
    unit, lane, lanes, positions, vectors = I32, I64, 8, 4, 1


class Product32(Tile):
    """x·w of int32 values in int32 sums, no instruction named: any CPU."""

    signed = True
    accumulate = staticmethod(_product)
    unit, lane, lanes, positions, vectors = I32, I32, 8, 4, 2


class Product64(Tile):
    """x·w of int32 values in int64 sums, no instruction named: any CPU."""

    signed = True
    accumulate = staticmethod(_product)
    sums = np.int64
    unit, lane, lanes, positions, vectors = I32, I64, 8, 4, 1


class Layout(NamedTuple):
    """What a compiled convolution must know besides its arrays; all int64, sizes in elements of the padded input."""

    batch: int
    height: int
    width: int
    channels: int
    groups: int
    padded_channels: int  # of one group, a multiple of the tile's unit
    window_rows: int  # input rows under one output row: dilation · (kernel − 1) + 1
    stride_h: int
    pad_top: int
    pad_left: int
    padded_width: int
    out_h: int
    out_w: int
    outputs: int  # of one group
    tiles: int  # channel tiles of one group
    tile_positions: int
    tile_channels: int
    taps: int  # units of the reduction
    weight_step: int  # bytes of one tile's packed weights
    copy: int  # 1: the input must be copied (padding, channel padding, sign or zero point)
    flip: int  # xor of each input element, 0x80 makes int8 order-preserving uint8
    shift: int  # subtracted from each input element
    fill: int  # what padding holds after flip and shift
    unit_images: int
    unit_rows: int
    units_per_band: int  # units that share one group of images
    block: int  # positions whose sums are finished together
    limit_low: int  # accumulator range; limited = 0: exact
    limit_high: int
    limited: int
    saturate: int
    track: int  # 1: fill the statistics
    mode: int  # requantisation: 0 none, 1 int32, 2 int64
    direct: int  # 1: full tiles store their sums in the output itself
    fused: int  # 1: tiles requantise their sums in registers and store them in the output
    corrected: int  # 1: the rounding mode depends on the value (half_even, half_away)
    qmin: int
    qmax: int
    run: int  # consecutive sums finished with one pass over the requantisation table
    run_step: int  # sums from one run to the next
    run_tables: int  # runs after which the table repeats
    kernel_h: int
    kernel_w: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    row_pixels: int  # from one row of the padded input to the next
    overhang: int  # elements that the last unit of a window's last row reads beyond it


LANES = 16  # int32 of one requantisation step: two registers of AVX2, one of AVX-512
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1
MIN_INT32, MAX_INT32 = -(2**31), 2**31 - 1


def pointer_to(context, builder, array_type, array, offset, element):
    """Pointer of LLVM type `element`* to the `offset`-th element of a Numba array."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), element.as_pointer())


def _paired(builder, kind, row):
    """The accumulators of one position as stored: vpsadbw lanes hold int64 < 2^32 that pair up into int32."""
    if kind.unit != I64:
        return row
    shift, lanes = ir.Constant(row[0].type, [32] * kind.lanes), ir.VectorType(I32, 2 * kind.lanes)
    pairs = zip(row[::2], row[1::2], strict=True)
    return [builder.bitcast(builder.or_(even, builder.shl(odd, shift)), lanes) for even, odd in pairs]


def _splat(builder, value, lanes):
    """A vector of `lanes` times `value`."""
    first = builder.insert_element(ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined), value, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(first.type, ir.Undefined), zeros)


def _vector_at(builder, data, offset, lanes):
    """Address of the vector of `lanes` elements at data[offset]."""
    at = builder.gep(data, [offset])
    return builder.bitcast(at, ir.VectorType(at.type.pointee, lanes).as_pointer())


def _starting_sums(builder, kind, constants, window_sums, at):
    """[position][vector] of what the accumulators start with; at: index of each position's window."""
    lanes = ir.VectorType(kind.lane, kind.lanes)
    first = [ir.Constant(lanes, [0] * kind.lanes)] * kind.vectors
    if kind.constant:
        ends = [builder.gep(constants, [I64(q * kind.lanes)]) for q in range(kind.vectors)]
        first = [builder.load(builder.bitcast(end, lanes.as_pointer()), align=4) for end in ends]
    if not kind.less_window:
        return [first] * kind.positions
    sums = [_splat(builder, builder.load(builder.gep(window_sums, [i])), kind.lanes) for i in at]
    return [[builder.sub(value, window) for value in first] for window in sums]


def _emit_tile(builder, kind, start, rows, taps, count, w):
    """The tile's loop: sums[p][q] starts with start[p][q] and takes in `count` taps of rows[p] and weight vector q."""
    lanes, vector = ir.VectorType(kind.lane, kind.lanes), ir.VectorType(kind.unit, kind.lanes)
    tile = [(p, q) for p in range(kind.positions) for q in range(kind.vectors)]
    entry, loop, done = builder.block, builder.append_basic_block("taps"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    t = builder.phi(I64)
    sums = {at: builder.phi(lanes) for at in tile}
    offset = builder.load(builder.gep(taps, [t]))
    w_at = builder.bitcast(builder.gep(w, [builder.mul(t, I64(kind.vectors))]), vector.as_pointer())
    weights = [builder.load(builder.gep(w_at, [I64(q)]), align=4) for q in range(kind.vectors)]
    new = {}
    for p, row in enumerate(rows):
        at = builder.bitcast(builder.gep(row, [offset]), kind.unit.as_pointer())
        x = _splat(builder, builder.load(at, align=1), kind.lanes)
        for q in range(kind.vectors):
            new[p, q] = kind.accumulate(builder, kind, sums[p, q], x, weights[q])
    following = builder.add(t, I64(1))
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    for phi, first, value in [(t, I64(0), following)] + [(sums[p, q], start[p][q], new[p, q]) for p, q in tile]:
        phi.add_incoming(first, entry)
        phi.add_incoming(value, loop)
    builder.position_at_end(done)
    return [_paired(builder, kind, [new[p, q] for q in range(kind.vectors)]) for p in range(kind.positions)]


def _store_sums(builder, rows, sums, stride):
    """Stores the sums of position p from sums[p·stride] on."""
    for p, row in enumerate(rows):
        at = builder.mul(stride, I64(p))
        for q, value in enumerate(row):
            offset = builder.add(at, I64(q * value.type.count))
            builder.store(value, _vector_at(builder, sums, offset, value.type.count), align=4)


def _finish_rows(builder, kind, rows, table, columns, column, low, high, out, ends, peaks):
    """Requantises the sums in registers, stores position p from out[ends[p]] on, and keeps the extremes in `peaks`."""
    lanes = rows[0][0].type.count
    low, high = _splat(builder, low, lanes), _splat(builder, high, lanes)
    for q in range(len(rows[0])):
        at = builder.add(column, I64(q * lanes))
        tables = [builder.add(at, builder.mul(columns, I64(row))) for row in range(3)]
        m, c, n = (builder.load(_vector_at(builder, table, offset, lanes), align=4) for offset in tables)
        for row, end in zip(rows, ends, strict=True):
            value = builder.ashr(builder.add(builder.mul(row[q], m), c), n)
            value = _larger(builder, low, _smaller(builder, high, value))
            if out.type.pointee.width < 32:
                value = builder.trunc(value, ir.VectorType(out.type.pointee, lanes))
            elif out.type.pointee.width > 32:
                value = builder.sext(value, ir.VectorType(out.type.pointee, lanes))
            builder.store(value, _vector_at(builder, out, builder.add(end, I64(q * lanes)), lanes), align=1)
    values = [value for row in rows for value in row]
    for pick, offset in ((_larger, 0), (_smaller, LANES))[: 1 + kind.signed]:
        at = _vector_at(builder, peaks, I64(offset), lanes)
        peak = builder.load(at, align=4)
        for value in values:
            peak = pick(builder, peak, value)
        builder.store(peak, at, align=4)


def _larger(builder, a, b):
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _smaller(builder, a, b):
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@intrinsic
def _tile(
    typing_context, kind, source, base, positions, first, last, taps, count, w, w_at, constants, constants_at,
    window_sums, windows_at, sums, sums_at, stride, fused, table, column, low, high, out, out_at, channels, peaks,
):  # fmt: skip
    """One register tile of sums: int32 or int64 at sums[sums_at + p·stride + channel], or `fused` requantised ones.

    Position p reads source[base + positions[min(first + p, last)] + taps[t]]; w is bytes, at w_at; constants,
    window_sums: see Tile; sums is an address, of int64 where the lanes are wider than the units of x. A fused tile
    stores position p at out[out_at + min(first + p, last)·channels + channel] and the extremes of its sums in peaks.
    """
    i64, i32 = types.int64, types.int32
    signature = types.void(
        kind, source, i64, positions, i64, i64, taps, i64, w, i64, constants, i64, window_sums, i64, i64, i64, i64,
        i64, table, i64, i32, i32, out, i64, i64, peaks,
    )  # fmt: skip

    def generate(context, builder, signature, values):
        kinds = signature.args
        kind = kinds[0].instance_class
        (
            _, source, base, positions, first, last, taps, count, w, w_at, constants, constants_at, window_sums,
            windows_at, sums, sums_at, stride, fused, table, column, low, high, out, out_at, channels, peaks,
        ) = values  # fmt: skip
        x = pointer_to(context, builder, kinds[1], source, base, _element(context, kinds[1]))
        starts = pointer_to(context, builder, kinds[3], positions, I64(0), I64)
        weights = pointer_to(context, builder, kinds[8], w, w_at, ir.VectorType(kind.unit, kind.lanes))
        constants = pointer_to(context, builder, kinds[10], constants, constants_at, I32)
        window_sums = pointer_to(context, builder, kinds[12], window_sums, windows_at, I32)
        at = [_smaller(builder, builder.add(first, I64(p)), last) for p in range(kind.positions)]
        rows = [builder.gep(x, [builder.load(builder.gep(starts, [i]))]) for i in at]
        start = _starting_sums(builder, kind, constants, window_sums, at)
        taps = pointer_to(context, builder, kinds[6], taps, I64(0), I64)
        rows = _emit_tile(builder, kind, start, rows, taps, count, weights)
        wide = I64 if kind.lane == I64 != kind.unit else I32
        sums = builder.gep(builder.inttoptr(sums, wide.as_pointer()), [sums_at])
        if wide == I64:
            _store_sums(builder, rows, sums, stride)
            return context.get_dummy_value()
        with builder.if_else(builder.icmp_signed("!=", fused, I64(0))) as (requantised, plain):
            with plain:
                _store_sums(builder, rows, sums, stride)
            with requantised:
                table, columns = _table_of(context, builder, kinds[18], table)
                out = pointer_to(context, builder, kinds[22], out, out_at, _element(context, kinds[22]))
                peaks = pointer_to(context, builder, kinds[25], peaks, I64(0), I32)
                ends = [builder.mul(i, channels) for i in at]
                _finish_rows(builder, kind, rows, table, columns, column, low, high, out, ends, peaks)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def address_of(typing_context, array):
    """The address of an array's first element, int64."""
    signature = types.int64(array)

    def generate(context, builder, signature, values):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, I64)

    return signature, generate


def _element(context, array_type):
    """LLVM type of an array's element."""
    return context.get_value_type(array_type.dtype)


@intrinsic
def _multiply_add(typing_context, s, m, c):
    """s·m + c in int32; Numba alone would widen to int64 and halve the lanes."""
    signature = types.int32(types.int32, types.int32, types.int32)

    def generate(context, builder, signature, values):
        return builder.add(builder.mul(values[0], values[1]), values[2])

    return signature, generate


@intrinsic
def _shift_right(typing_context, t, n):
    """t >> n in int32, arithmetic."""
    signature = types.int32(types.int32, types.int32)

    def generate(context, builder, signature, values):
        return builder.ashr(values[0], values[1])

    return signature, generate


def _lanes_of(builder, data, offset, element):
    """LANES elements at data[offset], as a vector of LLVM type `element`."""
    vector = ir.VectorType(element, LANES)
    return builder.load(builder.bitcast(builder.gep(data, [offset]), vector.as_pointer()), align=1)


def _to_int32(builder, value, signed):
    lanes = ir.VectorType(I32, LANES)
    width = value.type.element.width
    if width == 32:
        return value
    if width > 32:
        return builder.trunc(value, lanes)
    return builder.sext(value, lanes) if signed else builder.zext(value, lanes)


def _clipped(builder, value, low, high):
    lanes = ir.VectorType(I32, LANES)
    zeros = ir.Constant(lanes, [0] * LANES)
    for limit, sign in ((low, "<"), (high, ">")):
        first = builder.insert_element(ir.Constant(lanes, ir.Undefined), limit, ir.Constant(I32, 0))
        limits = builder.shuffle_vector(first, ir.Constant(lanes, ir.Undefined), zeros)
        value = builder.select(builder.icmp_signed(sign, value, limits), limits, value)
    return value


def _requantised(builder, value, table, columns, at, low, high):
    """clip((value·m + c) >> n) of LANES int32, the table's rows m, c, n (of `columns` each) read from `at` on."""
    rows = [builder.add(at, builder.mul(columns, ir.Constant(I64, row))) for row in range(3)]
    m, c, n = (_lanes_of(builder, table, row, I32) for row in rows)
    return _clipped(builder, builder.ashr(builder.add(builder.mul(value, m), c), n), low, high)


def _store_lanes(builder, value, data, offset, element):
    """Stores LANES int32 at data[offset] as elements of LLVM type `element`."""
    lanes = ir.VectorType(element, LANES)
    if element.width < 32:
        value = builder.trunc(value, lanes)
    elif element.width > 32:
        value = builder.sext(value, lanes)
    builder.store(value, builder.bitcast(builder.gep(data, [offset]), lanes.as_pointer()), align=1)


def _lane_steps(builder, size):
    """Loop over the first element of each whole step of LANES in `size` elements."""
    last = builder.sub(size, ir.Constant(I64, LANES - 1))
    return cgutils.for_range_slice(builder, ir.Constant(I64, 0), last, ir.Constant(I64, LANES))


def _table_of(context, builder, array_type, array):
    """(data, columns) of a requantisation table."""
    table = cgutils.create_struct_proxy(array_type)(context, builder, array)
    return table.data, cgutils.unpack_tuple(builder, table.shape, 2)[1]


@intrinsic
def _requantise_lanes(typing_context, s, s_at, size, table, at, low, high, out, out_at):
    """clip((s·m + c) >> n) in int32 on the first ⌊size / LANES⌋ · LANES elements: three times LLVM's own loop.

    Takes whole arrays and offsets, because each slice costs an atomic reference count.
    """
    signature = types.void(
        s, types.int64, types.int64, table, types.int64, types.int32, types.int32, out, types.int64
    )  # fmt: skip

    def generate(context, builder, signature, values):
        kinds = signature.args
        s, s_at, size, table, at, low, high, out, out_at = values
        source, target = _element(context, kinds[0]), _element(context, kinds[7])
        s = pointer_to(context, builder, kinds[0], s, s_at, source)
        out = pointer_to(context, builder, kinds[7], out, out_at, target)
        table, columns = _table_of(context, builder, kinds[3], table)
        with _lane_steps(builder, size) as (i, _):
            value = _to_int32(builder, _lanes_of(builder, s, i, source), kinds[0].dtype.signed)
            value = _requantised(builder, value, table, columns, builder.add(at, i), low, high)
            _store_lanes(builder, value, out, i, target)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _residual_lanes(typing_context, a, b, first, size, table_b, low_b, high_b, table, low, high, out):
    """_requantise_lanes of a + _requantise_lanes of b, in registers; table_b None: b is added as it is."""
    signature = types.void(
        a, b, types.int64, types.int64, table_b, types.int32, types.int32, table, types.int32, types.int32, out
    )  # fmt: skip

    def generate(context, builder, signature, values):
        kinds = signature.args
        a, b, first, size, table_b, low_b, high_b, table, low, high, out = values
        elements = [_element(context, kinds[i]) for i in (0, 1, 10)]
        a, b, out = (
            pointer_to(context, builder, kinds[i], values[i], first, element)
            for i, element in zip((0, 1, 10), elements, strict=True)
        )
        requantised = kinds[4] != types.none
        if requantised:
            table_b, columns_b = _table_of(context, builder, kinds[4], table_b)
        table, columns = _table_of(context, builder, kinds[7], table)
        with _lane_steps(builder, size) as (i, _):
            value = _to_int32(builder, _lanes_of(builder, b, i, elements[1]), kinds[1].dtype.signed)
            if requantised:
                value = _requantised(builder, value, table_b, columns_b, i, low_b, high_b)
            addend = _to_int32(builder, _lanes_of(builder, a, i, elements[0]), kinds[0].dtype.signed)
            value = _requantised(builder, builder.add(addend, value), table, columns, i, low, high)
            _store_lanes(builder, value, out, i, elements[2])
        return context.get_dummy_value()

    return signature, generate


@njit
def _track(s, low, high, statistics):
    """Folds the exact sums s into statistics: [max, min, how many lie outside low…high]."""
    largest, smallest = s[0], s[0]
    for i in range(s.size):
        largest, smallest = max(largest, s[i]), min(smallest, s[i])
    statistics[0], statistics[1] = max(statistics[0], largest), min(statistics[1], smallest)
    if largest > high or smallest < low:
        outside = 0
        for i in range(s.size):
            outside += np.int64(s[i] > high) | np.int64(s[i] < low)
        statistics[2] += outside


@njit
def _limit(s, low, high, saturate):
    """What an accumulator of range low…high would hold instead of s, in place."""
    mask = high - low
    for i in range(s.size):
        value = np.int64(s[i])
        s[i] = min(value, high) if saturate else ((value - low) & mask) + low


@njit
def _requantise32(s, table, at, corrected, qmin, qmax, out):
    """clip(round_shift(s·m + c, n)) in int32; table rows: m, c, n, added half, even mask, away mask."""
    m, c, n = table[0][at:], table[1][at:], table[2][at:]
    low, high = np.int32(qmin), np.int32(qmax)
    if corrected:
        half, even, away = table[3][at:], table[4][at:], table[5][at:]
        for i in range(out.size):
            t = _multiply_add(np.int32(s[i]), m[i], c[i])
            t = np.int32(t + half[i] + (even[i] & _shift_right(t, n[i])) + (away[i] & (t >> 31)))
            out[i] = min(max(_shift_right(t, n[i]), low), high)
    else:
        for i in range(out.size):
            t = _multiply_add(np.int32(s[i]), m[i], c[i])
            out[i] = min(max(_shift_right(t, n[i]), low), high)


@njit
def _requantise64(s, table, at, corrected, qmin, qmax, out):
    """clip(round_shift(s·m + c, n)) in int64; table rows: m, c, n, added half, even mask, away mask."""
    m, c, n = table[0][at:], table[1][at:], table[2][at:]
    if corrected:
        half, even, away = table[3][at:], table[4][at:], table[5][at:]
        for i in range(out.size):
            t = np.int64(s[i]) * m[i] + c[i]
            t += half[i] + (even[i] & (t >> n[i])) + (away[i] & (t >> 63))
            out[i] = min(max(t >> n[i], qmin), qmax)
    else:
        for i in range(out.size):
            t = np.int64(s[i]) * m[i] + c[i]
            out[i] = min(max(t >> n[i], qmin), qmax)


PIECE = 64  # bytes written at once


def _in_pieces(builder, size, write):
    """Calls write(i, type of what is written there) so that bytes 0 … size − 1 are written, some of them twice.

    Instead of memcpy and memset, whose calls cost more than the rows of an image take: half a microsecond a layer.
    """
    vector = ir.VectorType(I8, PIECE)
    with cgutils.for_range_slice(builder, I64(0), builder.sub(size, I64(PIECE - 1)), I64(PIECE)) as (i, _):
        write(i, vector)
    with builder.if_else(builder.icmp_signed(">=", size, I64(PIECE))) as (long, short):
        with long:
            write(builder.sub(size, I64(PIECE)), vector)
        with short:
            words = builder.and_(size, I64(-8))
            with cgutils.for_range_slice(builder, I64(0), words, I64(8)) as (i, _):
                write(i, I64)
            with cgutils.for_range_slice(builder, words, size, I64(1)) as (i, _):
                write(i, I8)


@intrinsic
def _copy(typing_context, source, at, target, to, count):
    """target[to + i] = source[at + i] for i < count, of one integer type or another; no slice, no reference count."""
    signature = types.void(source, types.int64, target, types.int64, types.int64)

    def generate(context, builder, signature, values):
        kinds = signature.args
        source, at, target, to, count = values
        elements = _element(context, kinds[0]), _element(context, kinds[2])
        read = pointer_to(context, builder, kinds[0], source, at, elements[0])
        write = pointer_to(context, builder, kinds[2], target, to, elements[1])
        if elements[0] == elements[1]:
            read, write = (builder.bitcast(end, I8.as_pointer()) for end in (read, write))

            def move(i, vector):
                source, target = (builder.bitcast(builder.gep(end, [i]), vector.as_pointer()) for end in (read, write))
                builder.store(builder.load(source, align=1), target, align=1)

            _in_pieces(builder, builder.mul(count, I64(elements[0].width // 8)), move)
        else:
            with cgutils.for_range(builder, count) as loop:
                value = builder.load(builder.gep(read, [loop.index]))
                value = context.cast(builder, value, kinds[0].dtype, kinds[2].dtype)
                builder.store(value, builder.gep(write, [loop.index]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _set(typing_context, target, to, count, value):
    """target[to + i] = value for i < count; no slice, no reference count."""
    signature = types.void(target, types.int64, types.int64, types.int64)

    def generate(context, builder, signature, values):
        kind = signature.args[0]
        target, to, count, value = values
        write = pointer_to(context, builder, kind, target, to, _element(context, kind))
        value = context.cast(builder, value, types.int64, kind.dtype)
        if value.type == I8:
            splat = _splat(builder, value, PIECE)
            word = builder.extract_element(builder.bitcast(splat, ir.VectorType(I64, PIECE // 8)), I32(0))
            values = {splat.type: splat, I64: word, I8: value}

            def fill(i, kind):
                target = builder.bitcast(builder.gep(write, [i]), kind.as_pointer())
                builder.store(values[kind], target, align=1)

            _in_pieces(builder, count, fill)
        else:
            with cgutils.for_range(builder, count) as loop:
                builder.store(value, builder.gep(write, [loop.index]))
        return context.get_dummy_value()

    return signature, generate


@njit(inline="always")
def _requantise(s, s_at, size, mode, corrected, qmin, qmax, table32, table64, at, out, out_at):
    """One run of requantisation, the tables read from column `at` on; mode 0 copies."""
    done = 0
    if mode == 1 and not corrected:
        _requantise_lanes(s, s_at, size, table32, at, np.int32(qmin), np.int32(qmax), out, out_at)
        done = size // LANES * LANES
        if done == size:
            return
    if mode == 0:
        _copy(s, s_at, out, out_at, size)
        return
    sums, q = s[s_at + done : s_at + size], out[out_at + done : out_at + size]
    if mode == 1:
        _requantise32(sums, table32, at + done, corrected, qmin, qmax, q)
    else:
        _requantise64(sums, table64, at + done, corrected, qmin, qmax, q)


@njit(inline="always")
def _finish(sums, positions, table32, table64, d, out, out_at, statistics):
    """Statistics, accumulator and requantisation of a block of `positions` output positions, run by run."""
    total = positions * d.groups * d.outputs
    for run in range((total + d.run - 1) // d.run):
        first = run * d.run
        size = min(d.run, total - first)
        s_at = run * d.run_step
        if d.track:
            _track(sums[s_at : s_at + size], d.limit_low, d.limit_high, statistics)
        if d.limited:
            _limit(sums[s_at : s_at + size], d.limit_low, d.limit_high, d.saturate)
        at = run % d.run_tables * d.run
        _requantise(sums, s_at, size, d.mode, d.corrected, d.qmin, d.qmax, table32, table64, at, out, out_at + first)


@njit(inline="always")
def _blocks(
    kind, source, base, count, w, taps, positions, constants, window_sums, sums, table32, table64, d, out, out_at,
    statistics, peaks,
):  # fmt: skip
    """The sums of `count` output positions, block by block; position p of the unit starts at positions[p]."""
    group_stride = d.tiles * d.tile_channels
    stride, channels = d.groups * group_stride, d.groups * d.outputs
    low, high = np.int32(d.qmin), np.int32(d.qmax)
    for start in range(0, count, d.block):
        stop = min(start + d.block, count)
        whole = start + (stop - start) // d.tile_positions * d.tile_positions
        for g in range(d.groups):
            for tile in range(d.tiles):
                at, w_at = base + g * d.padded_channels, (g * d.tiles + tile) * d.weight_step
                column = g * group_stride + tile * d.tile_channels
                channel = g * d.outputs + tile * d.tile_channels
                for p in range(start, stop, d.tile_positions):
                    target, row = address_of(sums), p - start
                    if d.direct and p < whole:
                        target, row = address_of(out), out_at + p
                    elif d.direct:
                        row = 0
                    _tile(
                        kind, source, at, positions, p, count - 1, taps, d.taps, w, w_at, constants, column,
                        window_sums, g * count, target, row * stride + column, stride, d.fused, table32, channel, low,
                        high, out, out_at * channels + channel, channels, peaks,
                    )  # fmt: skip
        if not d.fused:
            done = whole - start if d.direct else 0
            first = (out_at + start + done) * channels
            _finish(sums, stop - start - done, table32, table64, d, out, first, statistics)


def _sum_bytes(builder, row, offsets):
    """Σ of the 16 bytes at each of the offsets, int32, by psadbw."""
    bytes_, halves = ir.VectorType(I8, 16), ir.VectorType(I64, 2)
    psad = builder.module.declare_intrinsic("llvm.x86.sse2.psad.bw", (), ir.FunctionType(halves, [bytes_] * 2))
    total = ir.Constant(halves, [0, 0])
    for offset in offsets:
        value = builder.load(builder.bitcast(builder.gep(row, [offset]), bytes_.as_pointer()), align=1)
        total = builder.add(total, builder.call(psad, [value, ir.Constant(bytes_, [0] * 16)]))
    value = builder.add(*(builder.extract_element(total, I32(half)) for half in (0, 1)))
    return builder.trunc(value, I32)


@intrinsic
def _sum_pixels(typing_context, kind, source, base, step, size, pixels, sums):
    """sums[i] = Σ of `size` bytes from source[base + i·step] on; straight-line code for the usual sizes."""
    i64 = types.int64
    signature = types.void(kind, source, i64, i64, i64, i64, sums)

    def generate(context, builder, signature, values):
        kinds = signature.args
        _, source, base, step, size, pixels, sums = values
        if not kinds[0].instance_class.less_window:
            return context.get_dummy_value()
        source = pointer_to(context, builder, kinds[1], source, base, I8)
        sums = pointer_to(context, builder, kinds[6], sums, I64(0), I32)
        with cgutils.for_range(builder, pixels) as pixel:
            row = builder.gep(source, [builder.mul(pixel.index, step)])
            target = builder.gep(sums, [pixel.index])
            done, other = builder.append_basic_block("done"), builder.append_basic_block("other")
            switch = builder.switch(size, other)
            for known in (16, 32, 64):
                block = builder.append_basic_block("known")
                switch.add_case(I64(known), block)
                builder.position_at_end(block)
                builder.store(_sum_bytes(builder, row, [I64(i) for i in range(0, known, 16)]), target)
                builder.branch(done)
            builder.position_at_end(other)
            builder.store(I32(0), target)
            whole = builder.and_(size, I64(-16))
            with cgutils.for_range_slice(builder, I64(0), whole, I64(16)) as (i, _):
                builder.store(builder.add(builder.load(target), _sum_bytes(builder, row, [i])), target)
            with cgutils.for_range_slice(builder, whole, size, I64(1)) as (i, _):
                byte = builder.zext(builder.load(builder.gep(row, [i])), I32)
                builder.store(builder.add(builder.load(target), byte), target)
            builder.branch(done)
            builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _add_int32(typing_context, source, at, step, target, to, count):
    """target[to + i] += source[at + i·step] for i < count, in vectors where step is 1."""
    i64 = types.int64
    signature = types.void(source, i64, i64, target, i64, i64)

    def generate(context, builder, signature, values):
        source, at, step, target, to, count = values
        read = pointer_to(context, builder, signature.args[0], source, at, I32)
        write = pointer_to(context, builder, signature.args[3], target, to, I32)
        whole = builder.and_(count, I64(-LANES))
        done = builder.select(builder.icmp_signed("==", step, I64(1)), whole, I64(0))
        with cgutils.for_range_slice(builder, I64(0), done, I64(LANES)) as (i, _):
            value = builder.add(_lanes_of(builder, read, i, I32), _lanes_of(builder, write, i, I32))
            _store_lanes(builder, value, write, i, I32)
        with cgutils.for_range_slice(builder, done, count, I64(1)) as (i, _):
            value = builder.add(
                builder.load(builder.gep(read, [builder.mul(i, step)])), builder.load(builder.gep(write, [i]))
            )
            builder.store(value, builder.gep(write, [i]))
        return context.get_dummy_value()

    return signature, generate


@njit(inline="always")
def _sum_windows(kind, source, base, count, pixel_of, d):
    """Σ x of each window and group, int32 (groups · count,), for tiles that need it; first of each pixel, then of
    each row of a window. pixel_of: the first pixel of each position's window."""
    if not _needs_window_sums(kind):
        return np.empty(0, np.int32)
    last = pixel_of[count - 1] + (d.kernel_h - 1) * d.dilation_h * d.row_pixels + 1
    pixels = last + (d.kernel_w - 1) * d.dilation_w
    sums, rows = np.empty(pixels, np.int32), np.empty(last, np.int32)
    windows = np.zeros(d.groups * count, np.int32)
    for g in range(d.groups):
        at, step = base + g * d.padded_channels, d.groups * d.padded_channels
        _sum_pixels(kind, source, at, step, d.padded_channels, pixels, sums)
        _copy(sums, 0, rows, 0, last)
        for b in range(1, d.kernel_w):
            _add_int32(sums, b * d.dilation_w, 1, rows, 0, last)
        for first in range(0, count, d.out_w):
            for a in range(d.kernel_h):
                row = pixel_of[first] + a * d.dilation_h * d.row_pixels
                _add_int32(rows, row, d.stride_w, windows, g * count + first, d.out_w)
    return windows


@intrinsic
def _needs_window_sums(typing_context, kind):
    """Whether the tiles of this kind are Tile.less_window, known when compiling."""

    def generate(context, builder, signature, values):
        return ir.Constant(ir.IntType(1), signature.args[0].instance_class.less_window)

    return types.boolean(kind), generate


@intrinsic
def _word(typing_context, source, at):
    """The four bytes from source[at] on as an int64 in 0 … 2^32 − 1."""
    signature = types.int64(source, types.int64)

    def generate(context, builder, signature, values):
        at = pointer_to(context, builder, signature.args[0], *values, I32)
        return builder.zext(builder.load(at, align=1), I64)

    return signature, generate


@intrinsic
def _put_word(typing_context, target, at, value):
    """Writes the low four bytes of `value` from target[at] on."""
    signature = types.void(target, types.int64, types.int64)

    def generate(context, builder, signature, values):
        at = pointer_to(context, builder, signature.args[0], *values[:2], I32)
        builder.store(builder.trunc(values[2], I32), at, align=1)
        return context.get_dummy_value()

    return signature, generate


@njit(inline="always")
def _copy_row(x, at, padded, to, columns, d):
    """Copies `columns` pixels of one image row, each group's channels padded, each element flipped and shifted."""
    group_channels = d.channels // d.groups
    if group_channels == d.padded_channels:
        size = columns * d.channels
        if d.flip == 0 and d.shift == 0:
            _copy(x, at, padded, to, size)
        else:
            source, target = x[at : at + size], padded[to : to + size]
            for i in range(size):
                target[i] = (source[i] ^ d.flip) - d.shift
        return
    done = 0
    if x.itemsize == 1 and padded.itemsize == 1 and group_channels == 3 and d.padded_channels == 4:
        done = max(columns * d.groups - 1, 0)  # a word a pixel, but for the last, whose word would end behind the row
        for i in range(done):
            _put_word(padded, to + 4 * i, (_word(x, at + 3 * i) & 0xFFFFFF) ^ (d.flip * 0x010101))
    for i in range(done, columns * d.groups):
        for c in range(group_channels):
            padded[to + i * d.padded_channels + c] = (x[at + i * group_channels + c] ^ d.flip) - d.shift


@njit(inline="always")
def _fill(padded, to, columns, d):
    """Writes `columns` pixels of padding, zero in the padded channels."""
    if d.channels == d.groups * d.padded_channels:
        _set(padded, to, columns * d.channels, d.fill)
        return
    for pixel in range(columns * d.groups):
        for c in range(d.channels // d.groups):
            padded[to + pixel * d.padded_channels + c] = d.fill


@njit(inline="always")
def _pad(x, image, images, row, rows, d, padded):
    """Copies input rows row … row + rows of `images` images into padded, whose padded channels hold zeros."""
    pixel = d.groups * d.padded_channels
    inside = max(min(d.width, d.padded_width - d.pad_left), 0)
    right = d.pad_left + inside
    for i in range(images):
        for r in range(rows):
            to = (i * rows + r) * d.padded_width * pixel
            if 0 <= row + r < d.height:
                _fill(padded, to, min(d.pad_left, d.padded_width), d)
                at = ((image + i) * d.height + row + r) * d.width * d.channels
                _copy_row(x, at, padded, to + d.pad_left * pixel, inside, d)
                _fill(padded, to + right * pixel, max(d.padded_width - right, 0), d)
            else:
                _fill(padded, to, d.padded_width, d)


@njit(inline="always")
def _take_peaks(peaks, statistics):
    """Folds the extremes that fused tiles saw into statistics."""
    lanes = peaks.size // 2
    for lane in range(lanes):
        statistics[0] = max(statistics[0], peaks[lane])
        statistics[1] = min(statistics[1], peaks[lanes + lane])


def _source(x, padded, copied):
    """What the tiles read: the padded copy, or x itself where it is of the same type and was not copied."""
    return padded if copied else x


@overload(_source)
def _choose_source(x, padded, copied):
    if x == padded:
        return lambda x, padded, copied: padded if copied else x
    return lambda x, padded, copied: padded


@njit(inline="always")
def _unit(
    kind, unit, x, like, w, taps, positions, pixel_of, constants, sums_like, table32, table64, layout, out, statistics,
    peaks,
):  # fmt: skip
    """One unit of work: a band of output rows of one image, or a few whole images."""
    d = Layout(
        layout[0], layout[1], layout[2], layout[3], layout[4], layout[5], layout[6], layout[7], layout[8], layout[9],
        layout[10], layout[11], layout[12], layout[13], layout[14], layout[15], layout[16], layout[17], layout[18],
        layout[19], layout[20], layout[21], layout[22], layout[23], layout[24], layout[25], layout[26], layout[27],
        layout[28], layout[29], layout[30], layout[31], layout[32], layout[33], layout[34], layout[35], layout[36],
        layout[37], layout[38], layout[39], layout[40], layout[41], layout[42], layout[43], layout[44], layout[45],
        layout[46], layout[47],
    )  # fmt: skip
    statistics[0], statistics[1], statistics[2] = MIN_INT64, MAX_INT64, 0
    band, part = divmod(unit, d.units_per_band)
    image, row = band * d.unit_images, part * d.unit_rows
    images, rows = min(d.unit_images, d.batch - image), min(d.unit_rows, d.out_h - row)
    count, out_at = images * rows * d.out_w, (image * d.out_h + row) * d.out_w
    capacity = (min(d.block, count) + d.tile_positions) * d.groups * d.tiles * d.tile_channels
    sums = np.empty(0 if d.fused else capacity, sums_like.dtype)
    peaks[: peaks.size // 2], peaks[peaks.size // 2 :] = MIN_INT32, MAX_INT32
    in_rows = (rows - 1) * d.stride_h + d.window_rows
    size = images * in_rows * d.padded_width * d.groups * d.padded_channels + d.overhang if d.copy else 0
    padded = np.empty(size, like.dtype) if d.channels == d.groups * d.padded_channels else np.zeros(size, like.dtype)
    base = (image * d.height + row * d.stride_h) * d.width * d.channels
    if d.copy:
        _pad(x, image, images, row * d.stride_h - d.pad_top, in_rows, d, padded)
        base = 0
    source = _source(x, padded, d.copy)
    windows = _sum_windows(kind, source, base, count, pixel_of, d)
    _blocks(
        kind, source, base, count, w, taps, positions, constants, windows, sums, table32, table64, d, out, out_at,
        statistics, peaks,
    )  # fmt: skip
    if d.fused:
        _take_peaks(peaks, statistics)


@njit
def _merge(statistics, stats):
    """Folds one unit's statistics into stats: [max, outside] or [max, min, outside]."""
    stats[0] = max(stats[0], statistics[0])
    if stats.size == 3:
        stats[1] = min(stats[1], statistics[1])
    stats[-1] += statistics[2]


@intrinsic
def pointer(typing_context, address):
    """The pointer to an address."""

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], I8.as_pointer())

    return types.voidptr(types.int64), generate


FRAME = 40  # int64 of a frame: what a step's machine code is told; arrays are (address, elements)
STEP = types.void(types.int64, types.int64, types.int64, types.int64)  # frame's address, first unit, last, thread


@cache
def convolve_step(kind, x_dtype, out_dtype):
    """Machine code of a convolution's units first … last − 1, by Tile class and dtypes, and what it is told.

    Frame: (address, size) of x, w, taps, positions, pixel_of, constants, table32, table64 (columns for a size),
    layout, out, and of the statistics of thread 0: int64, size 0, 2 or 3 (see _merge), the threads' one after another.
    """
    scratch_dtype, sums_dtype = kind.scratch, kind.sums

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        x, w = carray(pointer(f[0]), (f[1],), x_dtype), carray(pointer(f[2]), (f[3],), np.uint8)
        taps, positions = carray(pointer(f[4]), (f[5],), np.int64), carray(pointer(f[6]), (f[7],), np.int64)
        pixel_of, constants = carray(pointer(f[8]), (f[9],), np.int64), carray(pointer(f[10]), (f[11],), np.int32)
        table32, table64 = carray(pointer(f[12]), (6, f[13]), np.int32), carray(pointer(f[14]), (6, f[15]), np.int64)
        layout, out = carray(pointer(f[16]), (f[17],), np.int64), carray(pointer(f[18]), (f[19],), out_dtype)
        stats = carray(pointer(f[20] + 8 * thread * f[21]), (f[21],), np.int64)
        statistics, peaks = np.zeros(3, np.int64), np.empty(2 * LANES, np.int32)
        like, sums_like = np.empty(0, scratch_dtype), np.empty(0, sums_dtype)
        for unit in range(first, last):
            _unit(
                kind(0), unit, x, like, w, taps, positions, pixel_of, constants, sums_like, table32, table64, layout,
                out, statistics, peaks,
            )  # fmt: skip
            if stats.size:
                _merge(statistics, stats)

    return step


@cache
def requantise_step(s_dtype, out_dtype):
    """Machine code of a requantisation; a unit is one table's length of elements.

    Frame: (address, size) of s, out, table32, table64 (columns for a size), then mode (1: int32, 2: int64),
    corrected, qmin, qmax.
    """

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        s, out = carray(pointer(f[0]), (f[1],), s_dtype), carray(pointer(f[2]), (f[3],), out_dtype)
        table32, table64 = carray(pointer(f[4]), (6, f[5]), np.int32), carray(pointer(f[6]), (6, f[7]), np.int64)
        columns = max(f[5], f[7])
        for unit in range(first, last):
            at = unit * columns
            size = min(columns, s.size - at)
            _requantise(s, at, size, f[8], f[9], f[10], f[11], table32, table64, 0, out, at)

    return step


@cache
def residual_step(a_dtype, b_dtype, out_dtype):
    """Machine code of requantise(a + requantise(b)); a unit is one table's length of elements.

    Frame: (address, size) of a, b, out, table32 and table64 of b, table32 and table64 of the sum (columns for a
    size), then mode (0: b as it is, 1: int32, 2: int64), corrected, qmin, qmax of b, and those of the sum.
    """

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        a, b = carray(pointer(f[0]), (f[1],), a_dtype), carray(pointer(f[2]), (f[3],), b_dtype)
        out = carray(pointer(f[4]), (f[5],), out_dtype)
        table32_b, table64_b = carray(pointer(f[6]), (6, f[7]), np.int32), carray(pointer(f[8]), (6, f[9]), np.int64)
        table32, table64 = carray(pointer(f[10]), (6, f[11]), np.int32), carray(pointer(f[12]), (6, f[13]), np.int64)
        mode_b, corrected_b, qmin_b, qmax_b = f[14], f[15], f[16], f[17]
        mode, corrected, qmin, qmax = f[18], f[19], f[20], f[21]
        columns = max(f[11], f[13])
        low, high, low_b, high_b = np.int32(qmin), np.int32(qmax), np.int32(qmin_b), np.int32(qmax_b)
        in_lanes = mode == 1 and mode_b != 2 and not corrected and not corrected_b
        for unit in range(first, last):
            start = unit * columns
            size = min(columns, a.size - start)
            done = 0
            if in_lanes:
                done = size // LANES * LANES
                if mode_b == 1:
                    _residual_lanes(a, b, start, size, table32_b, low_b, high_b, table32, low, high, out)
                else:
                    _residual_lanes(a, b, start, size, None, low_b, high_b, table32, low, high, out)
            if done < size:
                rest, at = size - done, start + done
                sums = np.empty(rest, np.int32)
                _requantise(b, at, rest, mode_b, corrected_b, qmin_b, qmax_b, table32_b, table64_b, done, sums, 0)
                for i in range(rest):
                    sums[i] += a[at + i]
                _requantise(sums, 0, rest, mode, corrected, qmin, qmax, table32, table64, done, out, at)

    return step


BAND = 512  # pixels that a unit of quantise_step has at most


@cache
def quantise_step(out_dtype):
    """Machine code of clip(round_half_even(x / scale) + zero_point), float32 to integers; a unit is a band of an image.

    Frame: (address, size) of x (N, C, pixels) and out (N, pixels, C), then pixels, C, zero point, qmin, qmax and the
    address of the scale. Of each image the bands have BAND pixels, the last one the rest.
    """

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        x, out = carray(pointer(f[0]), (f[1],), np.float32), carray(pointer(f[2]), (f[3],), out_dtype)
        pixels, channels = f[4], f[5]
        low, high, zero = np.float32(f[7] - f[6]), np.float32(f[8] - f[6]), np.int32(f[6])
        scale = carray(pointer(f[9]), (1,), np.float32)[0]
        image, bands, quantised = pixels * channels, -(-pixels // BAND), np.empty(BAND, out_dtype)
        for unit in range(first, last):
            n, start = unit // bands, unit % bands * BAND
            count = min(BAND, pixels - start)
            band = out[n * image + start * channels : n * image + (start + count) * channels].reshape(count, channels)
            for c in range(channels):
                at = n * image + c * pixels + start
                values = x[at : at + count]
                for pixel in range(count):
                    value = min(max(np.rint(values[pixel] / scale), low), high)
                    quantised[pixel] = np.int32(value) + zero
                for pixel in range(count):
                    band[pixel, c] = quantised[pixel]

    return step


@cache
def dequantise_step(q_dtype):
    """Machine code of (q − zero_point)·scale, integers to float32; a unit is everything.

    Frame: (address, size) of q and out, then the zero point and the address of the scale.
    """

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        q, out = carray(pointer(f[0]), (f[1],), q_dtype), carray(pointer(f[2]), (f[3],), np.float32)
        scale = carray(pointer(f[5]), (1,), np.float32)[0]
        for i in range(q.size):
            out[i] = np.float32(np.int32(q[i]) - np.int32(f[4])) * scale

    return step


@cache
def copy_step():
    """Machine code that copies bytes; a unit is everything. Frame: (address, size in bytes) of source and target."""

    @cfunc(STEP, cache=True)
    def step(frame, first, last, thread):
        f = carray(pointer(frame), (FRAME,), np.int64)
        source, target = carray(pointer(f[0]), (f[1],), np.uint8), carray(pointer(f[2]), (f[3],), np.uint8)
        _copy(source, 0, target, 0, f[1])

    return step
