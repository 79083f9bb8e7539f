"""QuantizeLinear and DequantizeLinear: where real numbers enter and leave the integer graph."""

import numpy as np

from adderhw.fixed import Format
from adderhw.kernels import dequantise_step, quantise_step
from adderhw.ops.base import Attribute, Op, other_work, parameter, scalar
from adderhw.tensor import Tensor, integer_tensor


def positive_scale(node, tensor):
    """The float32 scale of an edge op; raises ModelError unless it is one finite number above 0."""
    scale = parameter(node, tensor, "scale")
    if scale.dtype != np.float32 or scale.size != 1:
        node.fail(f"scale of {scale.dtype} and shape {list(scale.shape)}", "one float32 number")
    value = scale.reshape(())[()]
    if not (np.isfinite(value) and value > 0):
        node.fail(f"scale {value}", "a finite number above 0")
    return value


class QuantizeLinear(Op):
    """x float32 → clip(round_half_even(x / scale) + zero_point) in the zero point's dtype (ONNX QuantizeLinear).

    It is done once per input value by the host that feeds the accelerator, so it has no event.
    """

    name = "QuantizeLinear"
    domain = ""
    inputs = ("x", "scale", "zero_point")
    optional = 1
    attributes = {"axis": Attribute("int", 1), "saturate": Attribute("int", 1)}
    reads_planar = True

    def infer(self, node, args):
        """The full range of the zero point's dtype."""
        x, scale, zero_point = args
        if x.dtype != np.float32:
            node.fail(f"input {x.name!r} of dtype {x.dtype}", "float32")
        value, zero = positive_scale(node, scale), scalar(node, zero_point, "zero_point")
        dtype = np.dtype(np.uint8) if zero_point is None else zero_point.dtype
        if dtype.kind not in "iu" or dtype.itemsize > 2:
            node.fail(f"zero_point of {dtype}", "uint8, int8, uint16 or int16")
        info = np.iinfo(dtype)
        tensor = integer_tensor(node.output, x.shape, dtype, info.min, info.max)
        fmt = Format(8 * dtype.itemsize, dtype.kind == "i", float(value), zero)
        return Tensor(tensor.name, tensor.shape, dtype, fmt, tensor.low, tensor.high)

    def compile(self, node, args, out, options, fusion=None):
        """The same float32 division and rounding that onnxruntime does."""
        value, zero = positive_scale(node, args[1]), scalar(node, args[2], "zero_point")
        low, high, planar = out.lowest, out.highest, args[0].planar

        def bind(arrays, target, threads, stats):
            return quantise_step(arrays[0], value, zero, low, high, target, planar=planar)

        return bind

    def work(self, node, args, out, options):
        """Done by the host: no event."""
        return other_work(node, out, {})


class DequantizeLinear(Op):
    """q integers → (q − zero_point)·scale in float32 (ONNX DequantizeLinear); done by the host, so it has no event."""

    name = "DequantizeLinear"
    domain = ""
    inputs = ("q", "scale", "zero_point")
    optional = 1
    attributes = {"axis": Attribute("int", 1)}

    def infer(self, node, args):
        """A float32 tensor at the edge of the graph."""
        q, scale, zero_point = args
        if q.is_float:
            node.fail(f"input {q.name!r} of dtype {q.dtype}", "integers")
        positive_scale(node, scale)
        scalar(node, zero_point, "zero_point")
        return Tensor(node.output, q.shape, np.dtype(np.float32))

    def compile(self, node, args, out, options, fusion=None):
        """The same int32 difference and float32 product that onnxruntime does."""
        value, zero = positive_scale(node, args[1]), scalar(node, args[2], "zero_point")

        def bind(arrays, target, threads, stats):
            return dequantise_step(arrays[0], value, zero, target)

        return bind

    def work(self, node, args, out, options):
        """Done by the host: no event."""
        return other_work(node, out, {})
