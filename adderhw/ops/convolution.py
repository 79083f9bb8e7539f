"""What every convolution shares: attributes, geometry, shape rule and the unfold of the ONNX bodies."""

from adderhw.kernels import Geometry
from adderhw.ops.base import Attribute, integer_input, parameter, rank4

ATTRIBUTES = {
    "kernel_shape": Attribute("ints"),
    "strides": Attribute("ints", (1, 1)),
    "pads": Attribute("ints", (0, 0, 0, 0)),
    "dilations": Attribute("ints", (1, 1)),
    "group": Attribute("int", 1),
}

# x0 (N, C, H, W) and w0 (O, C/group, kh, kw), both with the zero point at 0, become columns (N, G, K, L) and
# filters (G, O/G, K). A standard Conv with an identity kernel unfolds each channel: exact, since every output
# is one input times 1 plus zeros.
UNFOLD = """
  x_shape = Shape (x)
  w_shape = Shape (w)
  i0 = Constant <value_ints = [0]> ()
  i1 = Constant <value_ints = [1]> ()
  i2 = Constant <value_ints = [2]> ()
  i4 = Constant <value_ints = [4]> ()
  minus1 = Constant <value_ints = [-1]> ()
  batch = Slice (x_shape, i0, i1)
  image = Slice (x_shape, i2, i4)
  channel_shape = Concat <axis = 0> (minus1, i1, image)
  planes = Reshape (x0, channel_shape)
  kernel = Slice (w_shape, i2, i4)
  area = ReduceProd <keepdims = 1> (kernel)
  square = Concat <axis = 0> (area, area)
  blank = ConstantOfShape (square)
  eye = EyeLike (blank)
  eye_shape = Concat <axis = 0> (area, i1, kernel)
  identity = Reshape (eye, eye_shape)
  unfolded = Conv <strides : ints = @strides, pads : ints = @pads, dilations : ints = @dilations> (planes, identity)
  unfolded_shape = Shape (unfolded)
  out_hw = Slice (unfolded_shape, i2, i4)
  group_scalar = Constant <value_int : int = @group> ()
  groups = Reshape (group_scalar, i1)
  outputs = Slice (w_shape, i0, i1)
  w_rest = Slice (w_shape, i1, i4)
  reduction = ReduceProd <keepdims = 1> (w_rest)
  column_shape = Concat <axis = 0> (batch, groups, reduction, minus1)
  columns_f = Reshape (unfolded, column_shape)
  filter_shape = Concat <axis = 0> (groups, minus1, reduction)
  filters_f = Reshape (w0, filter_shape)
  columns = Cast <to = {compute}> (columns_f)
  filters = Cast <to = {compute}> (filters_f)
  out_shape = Concat <axis = 0> (batch, outputs, out_hw)
"""

# sums (N, G, O/G, L) of |columns − filters|, one output channel of every group at a time to bound memory.
ABSOLUTE_DIFFERENCES = """
  turned = Transpose <perm = [1, 0, 2]> (filters)
  turned_shape = Concat <axis = 0> (minus1, i1, groups, reduction, i1)
  channels = Reshape (turned, turned_shape)
  ones_shape = Concat <axis = 0> (i1, reduction)
  ones_f = ConstantOfShape <value = float[1] {{1.0}}> (ones_shape)
  ones = Cast <to = {compute}> (ones_f)
  stacked = Scan <num_scan_inputs = 1, body = one_channel (filter) => (total) {{
    difference = Sub (columns, filter)
    magnitude = Abs (difference)
    total = MatMul (ones, magnitude)
  }}> (channels)
  sums = Transpose <perm = [1, 2, 0, 3, 4]> (stacked)
  shaped = Reshape (sums, out_shape)
"""


def geometry(node):
    """The node's Geometry; raises ModelError for attributes of the wrong length or sign."""
    values = {
        key: tuple(int(v) for v in node.attributes[key]) for key in ("kernel_shape", "strides", "pads", "dilations")
    }
    for key, length, least in (("kernel_shape", 2, 1), ("strides", 2, 1), ("dilations", 2, 1), ("pads", 4, 0)):
        if len(values[key]) != length or min(values[key]) < least:
            node.fail(f"{key} {list(values[key])}", f"{length} integers of at least {least}")
    if node.attributes["group"] < 1:
        node.fail(f"group {node.attributes['group']}", "at least 1")
    return Geometry(values["strides"], values["pads"], values["dilations"], int(node.attributes["group"]))


def conv_shape(node, x, w):
    """The output shape (None, O, H', W') by ONNX Conv's rule; raises ModelError where the operands do not fit."""
    channels, height, width = rank4(node, x)
    weight = parameter(node, w, "weight")
    if weight.ndim != 4:
        node.fail(f"weight {w.name!r} of shape {list(weight.shape)}", "rank 4 (O, C/group, kh, kw)")
    geo = geometry(node)
    outputs, group_channels, kernel_h, kernel_w = weight.shape
    if (kernel_h, kernel_w) != tuple(node.attributes["kernel_shape"]):
        node.fail(f"kernel_shape {list(node.attributes['kernel_shape'])}", f"the weight's {[kernel_h, kernel_w]}")
    if group_channels * geo.groups != channels or outputs % geo.groups:
        node.fail(
            f"{channels} input channels, group {geo.groups} and weight of shape {list(weight.shape)}",
            "weight (O, C/group, kh, kw) with O divisible by group",
        )
    out_h, out_w = geo.output_hw(height, width, kernel_h, kernel_w)
    if out_h < 1 or out_w < 1:
        node.fail(f"input {height}x{width} smaller than the dilated kernel", "at least one output position")
    return (None, outputs, out_h, out_w)


def matching_operands(node, x, w):
    """Checks that the activation `x` and the weight `w` are integers of one dtype."""
    integer_input(node, x)
    integer_input(node, w)
    if x.dtype != w.dtype:
        node.fail(f"x of {x.dtype} and w of {w.dtype}", "one dtype (x and w share one grid)")


def padded_range(node, x, zero_point):
    """(low, high) of what the taps read: the range of `x`, widened to `zero_point` where some taps read padding."""
    if not x.format.min <= zero_point <= x.format.max:
        node.fail(f"x_zero_point {zero_point}", f"an integer of x, {x.format.min} to {x.format.max}")
    if not any(node.attributes.get("pads", ())):
        return x.lowest, x.highest
    return min(x.lowest, zero_point), max(x.highest, zero_point)
