"""Triton kernels of the float32 adder convolution on a GPU: the sums of |x − w| and their two gradients.

The sums and the input's gradient are tiled as a matrix product is, of positions by channels, and go over the taps in
chunks that asynchronous copies bring into shared memory three deep; nothing is unfolded in device memory. tl.dot
knows products only, so a chunk is a broadcast difference of four axes (chunk, columns, positions, lanes), summed over
the first: the layout that Triton gives it keeps the first two axes within a thread, which leaves each thread a
register tile of positions × COLUMNS sums and operands read from shared memory 16 bytes at a time. Compiled for sm_90
(Triton 3.7.1) the forward loop is 84–87 % float32 additions, two to a tap, |…| being an operand's modifier; the
gradient has three instructions to a tap, subtract, clip (one minimum with the sign carried over) and multiply-add.
The weight's gradient is a matrix product over positions, in full float32 (no TF32), in parts that are added at the end.

A sum's order depends on the layer's shape alone, not on the tile that autotuning finds fastest: results repeat.
"""

from math import gcd

import torch
import triton
import triton.language as tl

INT32_ELEMENTS = 2**31
"""Tensors of at least this many elements are addressed with 64-bit offsets."""

PART_POSITIONS, PARTIAL_ELEMENTS = 2048, 1 << 24
"""Positions that one part of the weight's gradient sums, and the elements that all parts together may take."""

COLUMNS = 4
"""Channels per thread: with 8 to 16 positions to each, operands cost less than a tenth of the instructions."""

_SHAPES = ("height", "width", "out_height", "out_width", "size_class")
_WINDOW = (
    "kernel_h", "kernel_w", "stride_h", "stride_w", "top", "left", "dilation_h", "dilation_w", "step_h", "step_w",
)  # fmt: skip


def absolute_differences(x, weight, geometry, groups=1):
    """Y = −Σ|x − w| (Chen 2020). x: float32 (N, C, H, W) of one GPU, not padded; weight: float32 (O, C/groups, kh, kw).

    Returns float32 (N, O, H', W') in channels-last memory.
    """
    x, packed = _channels_last(x), weight.permute(2, 3, 1, 0).contiguous()
    size = geometry.output_size(x.shape[2:], weight.shape[2:])
    out = _empty((x.shape[0], weight.shape[0], *size), x)
    positions = x.shape[0] * size[0] * size[1]
    scalars = _scalars(x, out, weight, geometry, groups, positions)
    _launch(_sum, (x, packed, out), positions, weight.shape[0], weight.shape[1], groups, 1, scalars)
    return out


def input_gradient(grad, x, weight, geometry, groups=1):
    """∂L/∂x = Σ g·clip(w − x, −1, 1) over every output that reads x (Chen 2020).

    grad: float32 (N, O, H', W'); x and weight: as in absolute_differences. Returns float32 (N, C, H, W) in
    channels-last memory. Inputs of one residue modulo the stride share their taps and are done together.
    """
    grad, x, packed = _channels_last(grad), _channels_last(x), weight.permute(2, 3, 0, 1).contiguous()
    out = _empty(x.shape, x)
    phases = geometry.stride[0] * geometry.stride[1]
    positions = x.shape[0] * -(-x.shape[2] // geometry.stride[0]) * -(-x.shape[3] // geometry.stride[1])
    scalars = _scalars(x, grad, weight, geometry, groups, positions)
    outputs = weight.shape[0] // groups
    _launch(_clip, (grad, x, packed, out), positions, x.shape[1], outputs, groups, phases, scalars)
    return out


def weight_gradient(grad, x, weight, geometry, groups=1):
    """∂L/∂w = Σ g·(x − w) over every output of the filter (Chen 2020), as Σ g·x minus w·Σ g.

    grad, x and weight: as in input_gradient. Returns float32 (O, C / groups, kh, kw).
    """
    grad, x = _channels_last(grad), _channels_last(x)
    outputs, channels, kernel_h, kernel_w = weight.shape
    rows, columns = kernel_h * kernel_w * channels, outputs // groups
    positions = grad.shape[0] * grad.shape[2] * grad.shape[3]
    parts = max(1, min(triton.cdiv(positions, PART_POSITIONS), PARTIAL_ELEMENTS // (rows * outputs)))
    products = x.new_empty((parts, groups, rows, columns))
    tile = {"ROWS": _at_least(rows, 64), "CHANNELS": _at_least(columns, 64), "POSITIONS": 32}
    grid = (triton.cdiv(rows, tile["ROWS"]), triton.cdiv(columns, tile["CHANNELS"]) * groups, parts)
    wide = max(grad.numel(), x.numel()) >= INT32_ELEMENTS
    with torch.cuda.device_of(x):
        _product[grid](grad, x, products, *_scalars(x, grad, weight, geometry, groups, positions), **tile, WIDE=wide)
    total = products.sum(0).reshape(groups, kernel_h, kernel_w, channels, columns).permute(0, 4, 3, 1, 2)
    sums = grad.sum((0, 2, 3))[:, None, None, None]
    return (total.reshape(weight.shape) - weight * sums).contiguous()


def _at_least(length, limit):
    """The smallest side that tl.dot takes and that holds `length`, or `limit`."""
    return next((side for side in (16, 32) if length <= side), limit)


def _channels_last(x):
    return x.detach().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _empty(shape, like):
    n, c, h, w = shape
    return like.new_empty((n, h, w, c)).permute(0, 3, 1, 2)


def _scalars(x, out, weight, geometry, groups, positions):
    """What both kernels are told of a layer, in the order of their arguments."""
    channels, outputs = weight.shape[1], weight.shape[0] // groups
    steps = (s // gcd(s, d) for s, d in zip(geometry.stride, geometry.dilation, strict=True))
    return (
        x.shape[0], *x.shape[2:], *out.shape[2:], channels, outputs, groups, positions.bit_length(),
        *weight.shape[2:], *geometry.stride, *geometry.pads[:2], *geometry.dilation, *steps,
    )  # fmt: skip


def _launch(kernel, tensors, positions, channels, reduced, groups, phases, scalars):
    """Run `kernel` on tiles of positions × channels per group and phase; the interpreter takes the smallest tile."""
    if not tensors[-1].numel():
        return
    chunk = 16 if reduced % 16 == 0 else 8

    def grid(tile):
        tiles = triton.cdiv(channels // groups, tile["CHANNELS"])
        return triton.cdiv(positions, tile["POSITIONS"]), tiles * groups, phases

    options = {
        "CHUNK": chunk,
        "COLUMNS": COLUMNS,
        "WHOLE": reduced % chunk == 0,
        "WIDE": max(tensor.numel() for tensor in tensors) >= INT32_ELEMENTS,
    }
    with torch.cuda.device_of(tensors[0]):
        if triton.knobs.runtime.interpret:
            kernel.fn[grid](*tensors, *scalars, **options, **_TILES[0].kwargs)
        else:
            kernel[grid](*tensors, *scalars, **options)


def _fitting(tiles, arguments, **options):
    """The tiles worth timing: those whose channels are the fewest that hold a group's, or 64."""
    found = arguments["outputs" if "y" in arguments else "channels"]
    channels = next((c for c in (16, 32) if found <= c), 64)
    return [tile for tile in tiles if tile.kwargs["CHANNELS"] == channels]


def _tile(positions, channels, warps):
    return triton.Config({"POSITIONS": positions, "CHANNELS": channels}, num_warps=warps, num_stages=3)


_TILES = [
    _tile(64, 16, 4),
    _tile(128, 16, 4),
    _tile(256, 16, 4),
    _tile(64, 32, 4),
    _tile(128, 32, 4),
    _tile(256, 32, 8),
    _tile(32, 64, 4),
    _tile(64, 64, 4),
    _tile(128, 64, 8),
    _tile(128, 64, 4),
]


def _tuned(kernel):
    """The kernel with its tile found by timing, once per layer shape and power of two of positions."""
    keys = ["channels", "outputs", "groups", "size_class", "kernel_h", "kernel_w", "stride_h", "stride_w"]
    return triton.autotune(_TILES, keys, prune_configs_by={"early_config_prune": _fitting})(kernel)


@_tuned
@triton.jit(do_not_specialize=[*_SHAPES, *_WINDOW])
def _sum(
    x, w, y,
    batch, height, width, out_height, out_width, channels, outputs, groups, size_class,
    kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w, step_h, step_w,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, CHUNK: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Y of POSITIONS outputs × CHANNELS output channels of one group; w is packed (kh, kw, C / groups, O)."""
    LANES: tl.constexpr = CHANNELS // COLUMNS
    tiles = tl.cdiv(outputs, CHANNELS)
    group, first = tl.program_id(1) // tiles, tl.program_id(1) % tiles * CHANNELS
    position = _positions(POSITIONS, WIDE)
    j, i, n = position % out_width, position // out_width % out_height, position // (out_width * out_height)
    o = first + tl.arange(0, COLUMNS)[:, None] * LANES + tl.arange(0, LANES)[None, :]
    all_outputs, all_channels = outputs * groups, channels * groups
    column = group * outputs + o
    k = tl.arange(0, CHUNK)
    row_0, column_0 = i * stride_h - top, j * stride_w - left
    sums = tl.zeros((COLUMNS, POSITIONS, LANES), tl.float32)
    k_0, a, b = 0, 0, 0
    for _ in tl.range(0, kernel_h * kernel_w * tl.cdiv(channels, CHUNK), num_stages=3):
        row, col = row_0 + a * dilation_h, column_0 + b * dilation_w
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width) & (n < batch)
        place = ((n * height + row) * width + col) * all_channels + group * channels
        channel = k_0 + k
        there, known = inside[None, :], (o < outputs)[None]
        if not WHOLE:
            there, known = there & (channel < channels)[:, None], known & (channel < channels)[:, None, None]
        values = tl.load(x + place[None, :] + channel[:, None], mask=there, other=0.0)
        tap = (a * kernel_w + b) * channels + channel
        weights = tl.load(w + tap[:, None, None] * all_outputs + column[None], mask=known, other=0.0)
        sums += tl.sum(tl.abs(values[:, None, :, None] - weights[:, :, None, :]), 0)
        k_0, b, a = _next(k_0 + CHUNK, b, a, channels, kernel_w)
    _store(-sums, y, position, batch * out_height * out_width, all_outputs, group * outputs, first, outputs)


@_tuned
@triton.jit(do_not_specialize=[*_SHAPES, *_WINDOW])
def _clip(
    g, x, w, dx,
    batch, height, width, out_height, out_width, channels, outputs, groups, size_class,
    kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w, step_h, step_w,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, CHUNK: tl.constexpr, COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """∂x of POSITIONS inputs of one phase × CHANNELS channels of one group; w is packed (kh, kw, O, C / groups).

    A phase is a residue of (row + pad, column + pad) modulo the stride; its inputs meet every step-th tap.
    """
    LANES: tl.constexpr = CHANNELS // COLUMNS
    tiles = tl.cdiv(channels, CHANNELS)
    group, first = tl.program_id(1) // tiles, tl.program_id(1) % tiles * CHANNELS
    phase_h, phase_w = tl.program_id(2) // stride_w, tl.program_id(2) % stride_w
    i_0, j_0 = (phase_h + stride_h - top % stride_h) % stride_h, (phase_w + stride_w - left % stride_w) % stride_w
    rows, columns = tl.cdiv(height - i_0, stride_h), tl.cdiv(width - j_0, stride_w)
    rows, columns = tl.maximum(rows, 0), tl.maximum(columns, 0)
    count = batch * rows * columns
    index = _positions(POSITIONS, WIDE)
    u, v, n = index // tl.maximum(columns, 1) % tl.maximum(rows, 1), index % tl.maximum(columns, 1), index
    n = index // tl.maximum(rows * columns, 1)
    i, j = i_0 + u * stride_h, j_0 + v * stride_w
    position = tl.where(index < count, (n * height + i) * width + j, 0)
    c = first + tl.arange(0, COLUMNS)[:, None] * LANES + tl.arange(0, LANES)[None, :]
    all_outputs, all_channels = outputs * groups, channels * groups
    known_c, known_p = (c < channels)[:, None, :], (index < count)[None, :, None]
    start = position[None, :, None] * all_channels + group * channels
    values = tl.load(x + start + c[:, None, :], mask=known_c & known_p, other=0.0)
    a_0, row_0 = _first_tap(phase_h, kernel_h, stride_h, dilation_h)
    b_0, column_0 = _first_tap(phase_w, kernel_w, stride_w, dilation_w)
    rows_of_taps, columns_of_taps = tl.cdiv(kernel_h - a_0, step_h), tl.cdiv(kernel_w - b_0, step_w)
    step_row, step_column = step_h * dilation_h // stride_h, step_w * dilation_w // stride_w
    row_0, column_0 = (i + top) // stride_h - row_0, (j + left) // stride_w - column_0
    k = tl.arange(0, CHUNK)
    sums = tl.zeros((COLUMNS, POSITIONS, LANES), tl.float32)
    k_0, a, b = 0, 0, 0
    for _ in tl.range(0, rows_of_taps * columns_of_taps * tl.cdiv(outputs, CHUNK), num_stages=3):
        row, col = row_0 - a * step_row, column_0 - b * step_column
        inside = (row >= 0) & (row < out_height) & (col >= 0) & (col < out_width) & (index < count)
        place = ((n * out_height + row) * out_width + col) * all_outputs + group * outputs
        output = k_0 + k
        there, known = inside[None, :], (c < channels)[None]
        if not WHOLE:
            there, known = there & (output < outputs)[:, None], known & (output < outputs)[:, None, None]
        grads = tl.load(g + place[None, :] + output[:, None], mask=there, other=0.0)
        tap = ((a_0 + a * step_h) * kernel_w + b_0 + b * step_w) * all_outputs + group * outputs + output
        weights = tl.load(w + tap[:, None, None] * channels + c[None], mask=known, other=0.0)
        clipped = tl.clamp(weights[:, :, None, :] - values[None], -1.0, 1.0)
        sums += tl.sum(grads[:, None, :, None] * clipped, 0)
        k_0, b, a = _next(k_0 + CHUNK, b, a, outputs, columns_of_taps)
    _store(
        sums, dx, position, tl.where(index < count, position + 1, 0), all_channels, group * channels, first, channels
    )


@triton.jit(do_not_specialize=[*_SHAPES, *_WINDOW])
def _product(
    g, x, products,
    batch, height, width, out_height, out_width, channels, outputs, groups, size_class,
    kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w, step_h, step_w,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, POSITIONS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Σ x·g of ROWS taps (row, column, channel) × CHANNELS output channels over one part of the positions."""
    tiles = tl.cdiv(outputs, CHANNELS)
    group, first = tl.program_id(1) // tiles, tl.program_id(1) % tiles * CHANNELS
    rows = kernel_h * kernel_w * channels
    tap = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    a, b, c = tap // (kernel_w * channels), tap // channels % kernel_w, tap % channels
    o = first + tl.arange(0, CHANNELS)
    known_taps, known_outputs = tap < rows, o < outputs
    positions = batch * out_height * out_width
    chunks = tl.cdiv(positions, POSITIONS)
    part, parts = tl.program_id(2), tl.num_programs(2)
    sums = tl.zeros((ROWS, CHANNELS), tl.float32)
    for chunk in range(part * chunks // parts, (part + 1) * chunks // parts):
        position = chunk * POSITIONS + tl.arange(0, POSITIONS)
        if WIDE:
            position = position.to(tl.int64)
        j, i, n = position % out_width, position // out_width % out_height, position // (out_width * out_height)
        row = (i * stride_h - top)[None, :] + (a * dilation_h)[:, None]
        col = (j * stride_w - left)[None, :] + (b * dilation_w)[:, None]
        there = (row >= 0) & (row < height) & (col >= 0) & (col < width) & (position < positions)[None, :]
        place = ((n[None, :] * height + row) * width + col) * (channels * groups) + (group * channels + c)[:, None]
        values = tl.load(x + place, mask=there & known_taps[:, None], other=0.0)
        place = position[:, None] * (outputs * groups) + (group * outputs + o)[None, :]
        grads = tl.load(g + place, mask=(position < positions)[:, None] & known_outputs[None, :], other=0.0)
        sums += tl.dot(values, grads, input_precision="ieee")
    place = ((part * groups + group) * rows + tap)[:, None] * outputs + o[None, :]
    tl.store(products + place, sums, mask=known_taps[:, None] & known_outputs[None, :])


@triton.jit
def _positions(POSITIONS: tl.constexpr, WIDE: tl.constexpr):
    """The indices of this program's positions, int64 where offsets need it."""
    program = tl.program_id(0)
    if WIDE:
        program = program.to(tl.int64)
    return program * POSITIONS + tl.arange(0, POSITIONS)


@triton.jit
def _first_tap(phase, kernel, stride, dilation):
    """(tap, m): the first tap of an axis that inputs of `phase` meet, at (i + pad) // stride − m; or (kernel, 0)."""
    first, m = kernel, 0
    for distance in range(0, kernel):
        tap = kernel - 1 - distance
        meets = (tap * dilation - phase) % stride == 0
        first = tl.where(meets, tap, first)
        m = tl.where(meets, (tap * dilation - phase) // stride, m)
    return first, m


@triton.jit
def _next(k, b, a, length, columns):
    """The chunk after this one: k counts to `length` within a tap, b to `columns` within a row of taps a."""
    last = (k >= length).to(tl.int32)
    b += last
    end = (b >= columns).to(tl.int32)
    return k * (1 - last), b * (1 - end), a + end


@triton.jit
def _store(sums, out, position, end, row_length, start, first, channels):
    """Write sums (COLUMNS, positions, LANES) as rows of channels: positions below `end`, channels in the group."""
    COLUMNS: tl.constexpr = sums.shape[0]
    POSITIONS: tl.constexpr = sums.shape[1]
    LANES: tl.constexpr = sums.shape[2]
    tile = tl.reshape(tl.permute(sums, (1, 0, 2)), (POSITIONS, COLUMNS * LANES))
    channel = first + tl.arange(0, COLUMNS * LANES)
    known = (position < end)[:, None] & (channel < channels)[None, :]
    tl.store(out + position[:, None] * row_length + start + channel[None, :], tile, mask=known)
