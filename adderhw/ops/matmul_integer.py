"""MatMulInteger: Σ (a − a_zero_point)(b − b_zero_point) of a linear layer (ONNX MatMulInteger, up to 16 bits)."""

import numpy as np

from adderhw.kernels import conv_step, pack_integer_conv
from adderhw.ops.adder_gemm import POINTWISE
from adderhw.ops.base import Attribute, Op, integer_input, parameter, sum_type
from adderhw.ops.conv_integer import mac_accumulator, mac_bounds, mac_operands, mac_work, sum_of_magnitudes
from adderhw.ops.realisation import REALISATION, check_realisation
from adderhw.tensor import integer_tensor


class MatMulInteger(Op):
    """a (N, K), constant b (K, O) → sums (N, O).

    Semantics of ONNX MatMulInteger with scalar zero points, on 8- and 16-bit storage; output_dtype INT32 or INT64.
    realisation: as ConvInteger's.
    """

    name = "MatMulInteger"
    standard = "MatMulInteger"
    inputs = ("a", "b", "a_zero_point", "b_zero_point")
    optional = 2
    output = "s"
    attributes = {"output_dtype": Attribute("int", 6), "realisation": REALISATION}
    types = {
        "a": ("T", "integer8or16"),
        "b": ("W", "integer8or16"),
        "a_zero_point": ("T", "integer8or16"),
        "b_zero_point": ("W", "integer8or16"),
        "s": ("S", "sum"),
    }
    sums = True
    body = """
  a_c = Cast <to = {compute}> (a)
  b_c = Cast <to = {compute}> (b)
  az_c = Cast <to = {compute}> (a_zero_point)
  bz_c = Cast <to = {compute}> (b_zero_point)
  a0 = Sub (a_c, az_c)
  b0 = Sub (b_c, bz_c)
  products = MatMul (a0, b0)
  s = Cast <to : int = @output_dtype> (products)
"""

    def infer(self, node, args):
        """The exact range of each output's sum, from the exact range of a and the weights."""
        a, b, a_zero_point, b_zero_point = args
        integer_input(node, a)
        integer_input(node, b)
        weight = parameter(node, b, "b")
        if len(a.shape) != 2 or weight.ndim != 2 or weight.shape[0] != a.shape[1]:
            node.fail(f"a of shape {list(a.shape)} and b of shape {list(weight.shape)}", "(N, K) and (K, O)")
        a_zero, b_zero, (least, most) = mac_operands(node, a, a_zero_point, b_zero_point)
        check_realisation(node, weight.astype(np.int64) - b_zero, "weight")
        low, high = mac_bounds(weight.T, b_zero, least - a_zero, most - a_zero)
        dtype = sum_type(node, int(low.min()), int(high.max()))
        return integer_tensor(node.output, (None, weight.shape[1]), dtype, low, high)

    def compile(self, node, args, out, options, fusion=None):
        """The integer convolution kernel on (N, 1, 1, K)."""
        a, b, a_zero_point, b_zero_point = args
        a_zero, b_zero, a_range = mac_operands(node, a, a_zero_point, b_zero_point)
        weight = np.ascontiguousarray(b.value.T)[:, :, None, None]
        packed = pack_integer_conv(
            weight, b_zero, POINTWISE, options.path, x_dtype=a.dtype, x_range=a_range, x_zero_point=a_zero
        )
        accumulator = mac_accumulator(node, out, options)
        requant = fusion.after if fusion else None

        def bind(arrays, target, threads, stats):
            x, out = (array[:, None, None, :] for array in (arrays[0], target))
            return conv_step(
                packed, x, a_zero, out, accumulator=accumulator, requant=requant, stats=stats, threads=threads
            )

        return bind

    def work(self, node, args, out, options):
        """Per tap a product in its realisation and an accumulation; for the paper a multiplication and an addition."""
        return mac_work(node, args, args[1].value.T, out, options)

    def float_exact(self, node, args):
        """The largest magnitude of a sum that the body carries in floating point."""
        a, b, a_zero_point, b_zero_point = args
        return sum_of_magnitudes(b.value.T, *mac_operands(node, a, a_zero_point, b_zero_point))
