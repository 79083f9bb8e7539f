"""AdderGemmInteger: S = Σ |x_q − w_q| over the inputs of a fully connected adder layer."""

import numpy as np

from adderhw.kernels import Geometry, conv_step, pack_adder_conv
from adderhw.ops.adder_conv import accumulator_of, adder_bound, adder_work, shared_grid
from adderhw.ops.base import Attribute, Op, parameter, sum_type
from adderhw.ops.convolution import matching_operands
from adderhw.tensor import integer_tensor

POINTWISE = Geometry((1, 1), (0, 0, 0, 0), (1, 1), 1)


class AdderGemmInteger(Op):
    """x (N, K) and w (O, K) on one integer grid → sums (N, O); transB is 1, as ONNX Gemm calls that layout."""

    name = "AdderGemmInteger"
    inputs = ("x", "w")
    output = "s"
    attributes = {"transB": Attribute("int", 1), "output_dtype": Attribute("int", 6)}
    types = {"x": ("T", "integer8or16"), "w": ("T", "integer8or16"), "s": ("S", "sum")}
    sums = True
    body = """
  axis_o = Constant <value_ints = [0]> ()
  axis_n = Constant <value_ints = [1]> ()
  axis_k = Constant <value_ints = [2]> ()
  x_c = Cast <to = {compute}> (x)
  w_c = Cast <to = {compute}> (w)
  x_row = Unsqueeze (x_c, axis_n)
  w_row = Unsqueeze (w_c, axis_o)
  difference = Sub (x_row, w_row)
  magnitude = Abs (difference)
  total = ReduceSum <keepdims = 0> (magnitude, axis_k)
  s = Cast <to : int = @output_dtype> (total)
"""

    def infer(self, node, args):
        """Σ max(w − low, high − w) bounds the sum of each output exactly."""
        x, w = args
        matching_operands(node, x, w)
        shared_grid(node, x, w)
        outputs = gemm_outputs(node, x, w)
        bound = adder_bound(w.value, x.lowest, x.highest)
        dtype = sum_type(node, 0, int(bound.max()))
        return integer_tensor(node.output, (None, outputs), dtype, np.zeros_like(bound), bound)

    def compile(self, node, args, out, options, fusion=None):
        """The adder convolution kernel on (N, 1, 1, K)."""
        x, w = args
        weight = w.value.reshape(*w.value.shape, 1, 1)
        packed = pack_adder_conv(weight, POINTWISE, options.path, x_range=(x.lowest, x.highest))
        accumulator = accumulator_of(out, options)
        requant = fusion.after if fusion else None

        def bind(arrays, target, threads, stats):
            x, out = (array[:, None, None, :] for array in (arrays[0], target))
            return conv_step(packed, x, 0, out, accumulator=accumulator, requant=requant, stats=stats, threads=threads)

        return bind

    def work(self, node, args, out, options):
        """As an adder convolution with K taps per output."""
        x, w = args
        return adder_work(node, x, w, out, options, w.value.shape[1])

    def float_exact(self, node, args):
        """The largest sum that the body carries in floating point."""
        return int(adder_bound(args[1].value, args[0].lowest, args[0].highest).max())


def gemm_outputs(node, x, w):
    """The number of outputs of a fully connected layer with weight (O, K); raises ModelError on a misfit."""
    weight = parameter(node, w, "weight")
    if node.attributes["transB"] != 1:
        node.fail(f"transB {node.attributes['transB']}", "1, a weight of shape (O, K)")
    if len(x.shape) != 2 or weight.ndim != 2 or weight.shape[1] != x.shape[1]:
        node.fail(f"x of shape {list(x.shape)} and w of shape {list(weight.shape)}", "(N, K) and (O, K)")
    return weight.shape[0]
