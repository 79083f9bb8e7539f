"""AdderConv and AdderGemm: the float adder layers Y = −Σ |X − W| as they come from training (Chen 2020)."""

from adderhw.ops.base import Attribute, Op
from adderhw.ops.convolution import ABSOLUTE_DIFFERENCES, ATTRIBUTES, UNFOLD

GEMM_ATTRIBUTES = {"transB": Attribute("int", 1)}
FLOAT_TYPES = {"x": ("T", "float"), "w": ("T", "float"), "y": ("T", "float")}


class AdderConv(Op):
    """x float32 (N, C, H, W) and w (O, C/group, kh, kw) → y = −Σ |x − w| (N, O, H', W'); padding is 0 and counts.

    The attributes are ONNX Conv's. It is no op of the integer graph: it has a contract and a body, nothing to compile.
    """

    name = "AdderConv"
    inputs = ("x", "w")
    attributes = ATTRIBUTES
    types = FLOAT_TYPES
    body = (
        """
  x0 = Identity (x)
  w0 = Identity (w)
"""
        + UNFOLD
        + ABSOLUTE_DIFFERENCES
        + """
  negative = Neg (shaped)
  y = CastLike (negative, x)
"""
    )


class AdderGemm(Op):
    """x float32 (N, K) and w (O, K) → y = −Σ |x − w| (N, O); transB is 1, as ONNX Gemm calls that layout."""

    name = "AdderGemm"
    inputs = ("x", "w")
    attributes = GEMM_ATTRIBUTES
    types = FLOAT_TYPES
    body = """
  axis_o = Constant <value_ints = [0]> ()
  axis_n = Constant <value_ints = [1]> ()
  axis_k = Constant <value_ints = [2]> ()
  x_row = Unsqueeze (x, axis_n)
  w_row = Unsqueeze (w, axis_o)
  difference = Sub (x_row, w_row)
  magnitude = Abs (difference)
  total = ReduceSum <keepdims = 0> (magnitude, axis_k)
  y = Neg (total)
"""


FLOAT_OPS = (AdderConv(), AdderGemm())
