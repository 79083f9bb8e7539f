"""Standard ops that have the output shape of an op which ONNX shape inference does not know."""

from onnx import helper

from adderhw.foreign.qonnx_counts import DOMAINS as QONNX_DOMAINS
from adderhw.foreign.requant_shift_counts import DOMAINS as SHIFT_DOMAINS
from adderhw.ops.base import DOMAIN

# Op → (standard op, the inputs that decide the shape, the attributes that do).
WINDOW = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode", "count_include_pad")
CONV = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "group")
PROXIES = {
    ("com.microsoft", "QLinearAdd"): ("Add", (0, 3), ()),
    ("com.microsoft", "QLinearMul"): ("Mul", (0, 3), ()),
    ("com.microsoft", "QGemm"): ("Gemm", (0, 3), ("transA", "transB")),
    ("com.microsoft", "QLinearGlobalAveragePool"): ("GlobalAveragePool", (0,), ()),
    ("com.microsoft", "QLinearAveragePool"): ("AveragePool", (0,), WINDOW),
    ("com.microsoft", "QLinearConcat"): ("Concat", slice(2, None, 3), ("axis",)),
    ("com.microsoft", "QuantizeLinear"): ("QuantizeLinear", (0, 1, 2), ("axis",)),
    ("com.microsoft", "DequantizeLinear"): ("DequantizeLinear", (0, 1, 2), ("axis",)),
    (DOMAIN, "AdderConv"): ("Conv", (0, 1), CONV),
    (DOMAIN, "AdderGemm"): ("Gemm", (0, 1), ("transB",)),
}
SAME_SHAPE = {  # ops whose first output has the shape of their first input
    *((domain, op) for domain in QONNX_DOMAINS for op in ("Quant", "BipolarQuant", "Trunc")),
    *(("", op) for op in ("Gelu", "Swish", "LayerNormalization", "GroupNormalization", "RMSNorm")),
    *((domain, "RequantShift") for domain in SHIFT_DOMAINS),
    ("com.microsoft", "Gelu"),
}


def proxy(node):
    """The NodeProto itself, or a standard op of the same output names and shapes."""
    if (node.domain, node.op_type) in SAME_SHAPE and node.input and node.output:
        return helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name)
    known = PROXIES.get((node.domain, node.op_type))
    if known is None:
        return node
    op, inputs, attributes = known
    names = (
        list(node.input)[inputs]
        if isinstance(inputs, slice)
        else [node.input[i] for i in inputs if i < len(node.input)]
    )
    made = helper.make_node(op, names, list(node.output), name=node.name)
    made.attribute.extend(attribute for attribute in node.attribute if attribute.name in attributes)
    return made


def proxies(node):
    """`proxy` of a NodeProto, and behind QGemm what makes its codes or floats: their type is not that of its inputs."""
    first = proxy(node)
    if (node.domain, node.op_type) != ("com.microsoft", "QGemm") or len(node.input) < 2:
        return [first]
    sums = f"{node.output[0]} (sums)"
    quantised = len(node.input) > 8 and node.input[7]
    op, names = ("QuantizeLinear", node.input[7:9]) if quantised else ("DequantizeLinear", node.input[1:2])
    last = helper.make_node(op, [sums, *names], list(node.output))
    first.output[0] = sums
    return [first, last]
