"""What pools and reductions execute."""

from math import prod

from adderhw.cost.baselines import ceil_log2
from adderhw.cost.events import Tally
from adderhw.foreign.calls import Counted, grid_at, rescaled_code, times
from adderhw.foreign.values import CODE, FLOAT, SUM, Value
from adderhw.ops.pooling import window_sizes

MOST_OUTPUTS = 1 << 24  # along an axis of a pool, whose windows are counted one by one


def max_pool(call):
    """A comparison less than there are elements inside each window, padding left out."""
    x = call.inputs[0]
    inside = _window(call, padded=False)
    tally = Tally()
    if inside > prod(call.shape):
        tally = times(("cmp", x.bits), inside - prod(call.shape))
    return Counted(x._replace(shape=call.shape, host=False), tally)


def average_pool(call):
    """An addition an element of each window, and of floats a multiplication an output."""
    return _average(call, _window(call, padded=bool(call.node.attributes.get("count_include_pad", 0))))


def reduce_mean(call):
    """As average_pool, over whole axes."""
    return _average(call, call.inputs[0].elements)


def reduce_sum(call):
    """An addition an element."""
    x = call.inputs[0]
    area = max(x.elements // prod(call.shape), 1)
    if x.kind == FLOAT:
        return Counted(x._replace(shape=call.shape, host=False), times(("fadd", x.bits), x.elements))
    value = _summed(x, call.shape, area)
    return Counted(value, times(("add", value.bits), x.elements))


def reduce_extreme(call):
    """A comparison less than there are elements in each window."""
    x = call.inputs[0]
    return Counted(x._replace(shape=call.shape, host=False), times(("cmp", x.bits), x.elements - prod(call.shape)))


def qlinear_pool(call):
    """The sum of each window of codes, rescaled to a code."""
    pooled = average_pool(call)
    return rescaled_code(call, pooled.value, pooled.events, grid_at(call, 3))


def _average(call, inside):
    x, outputs = call.inputs[0], prod(call.shape)
    if x.kind == FLOAT:
        tally = times(("fadd", x.bits), inside) + times(("fmul", x.bits), outputs)
        return Counted(x._replace(shape=call.shape, host=False), tally)
    value = _summed(x, call.shape, -(-inside // outputs))
    return Counted(value, times(("add", value.bits), inside))


def _summed(x, shape, area):
    return Value(shape, SUM if x.kind == CODE else x.kind, x.bits + ceil_log2(area))


def _window(call, padded):
    """How many elements all windows of a pool read; a global pool's window is the image."""
    x, attributes = call.inputs[0], call.node.attributes
    if "kernel_shape" not in attributes:
        return x.elements
    kernel, axes = attributes["kernel_shape"], max(len(x.shape) - 2, 0)
    for name, length in (("kernel_shape", axes), ("strides", axes), ("dilations", axes), ("pads", 2 * axes)):
        sizes = attributes.get(name, (1,) * length if name != "kernel_shape" else None)
        if not isinstance(sizes, tuple) or len(sizes) != length or not all(isinstance(size, int) for size in sizes):
            call.node.fail(f"{name} {sizes!r}", f"{length} sizes for an input of rank {len(x.shape)}")
    if max(call.shape, default=0) > MOST_OUTPUTS:
        call.node.fail(f"an output of shape {list(call.shape)}", f"at most {MOST_OUTPUTS:,} along an axis")
    strides = attributes.get("strides", (1,) * axes)
    dilated = any(step != 1 for step in attributes.get("dilations", (1,) * axes))
    exact = attributes.get("auto_pad", "NOTSET") == "NOTSET" and not dilated
    if padded or not exact:
        return prod(call.shape) * prod(kernel)  # an upper bound where pads are not stated as numbers
    pads = attributes.get("pads", (0,) * (2 * axes))
    inside = [
        int(window_sizes(x.shape[2 + d], kernel[d], strides[d], pads[d], call.shape[2 + d]).sum()) for d in range(axes)
    ]
    return prod(call.shape[:2]) * prod(inside)
