"""What each ONNX op executes, as events; an op that is not in COUNTS has no cost and is refused by name."""

from adderhw.cost.events import Tally
from adderhw.errors import CostError
from adderhw.foreign import element_counts as element
from adderhw.foreign import format_counts as formats
from adderhw.foreign import function_counts as functions
from adderhw.foreign import pool_counts as pools
from adderhw.foreign import qonnx_counts as qonnx
from adderhw.foreign import requant_shift_counts as shifts
from adderhw.foreign import tap_counts as taps
from adderhw.foreign.calls import Counted, grid_at
from adderhw.foreign.values import requantised


def count(call):
    """The Counted of one node; raises CostError, naming it, where its op has no cost."""
    known = COUNTS.get((call.node.domain, call.node.op))
    if known is None:
        names = ", ".join(sorted({op for _, op in COUNTS}))
        domain = call.node.domain or "ai.onnx"
        call.node.fail(f"op {domain}::{call.node.op}, which has no cost here", f"one of {names}", CostError)
    try:
        return known(call)
    except CostError as error:
        if str(error).startswith("node "):
            raise
        raise CostError(f"node {call.node.name!r} ({call.node.op}): {error}") from None


def wiring(call):
    """The same numbers in another place or shape: no event."""
    if call.node.op == "Gather" and not call.inputs[1].constant:
        call.node.fail("indices that the network computes, which have no cost here", "constant ones", CostError)
    moved = [value for value in call.inputs if value is not None and not value.constant] or call.inputs[:1]
    first = moved[0]
    grids = {value.grid for value in moved}
    if len({value.kind for value in moved}) > 1:
        call.node.fail("floats beside integers", "one kind of numbers", CostError)
    value = first._replace(
        shape=call.shape, bits=max(value.bits for value in moved), grid=grids.pop() if len(grids) == 1 else None,
        host=all(value.host for value in moved),
    )  # fmt: skip
    return Counted(value, Tally())


def qlinear_concat(call):
    """Codes side by side; those on another grid than the output's are rescaled."""
    out, tally = grid_at(call, 0), Tally()
    for i in range(2, len(call.inputs), 3):
        if grid_at(call, i + 1) != out:
            tally += requantised(call.inputs[i], call.inputs[i].bits, out, call.rules)[1]
    return Counted(call.inputs[2]._replace(shape=call.shape, grid=out), tally)


def resize(call):
    """Nearest neighbours are wiring; any interpolation has no cost."""
    mode = call.node.attributes.get("mode", "nearest")
    if mode != "nearest":
        call.node.fail(f"mode {mode!r}, which has no cost here", "'nearest'", CostError)
    return wiring(call._replace(inputs=call.inputs[:1]))


_WIRING = (
    *("Identity", "Dropout", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice"),
    *("Gather", "Pad", "Expand", "Tile", "DepthToSpace", "SpaceToDepth"),
)
_STANDARD = {
    **dict.fromkeys(_WIRING, wiring),
    **dict.fromkeys(("Conv", "ConvInteger"), taps.conv),
    **dict.fromkeys(("MatMul", "MatMulInteger"), taps.matmul),
    "Gemm": taps.gemm,
    "QLinearConv": taps.qlinear_conv,
    "QLinearMatMul": taps.qlinear_matmul,
    "QuantizeLinear": formats.quantise,
    "DequantizeLinear": formats.dequantise,
    "Cast": formats.cast,
    "BatchNormalization": element.batch_norm,
    **dict.fromkeys(("Add", "Sub", "Sum"), element.add),
    "Mul": element.multiply,
    "Div": element.divide,
    "Pow": element.power,
    "Relu": element.relu,
    **dict.fromkeys(("Abs", "Neg"), element.magnitude),
    "Clip": element.clip,
    **dict.fromkeys(("LeakyRelu", "PRelu"), element.leaky),
    "HardSigmoid": element.hard_sigmoid,
    "HardSwish": element.hard_swish,
    **dict.fromkeys(("Min", "Max"), element.extreme),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool"), pools.max_pool),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), pools.average_pool),
    "ReduceMean": pools.reduce_mean,
    "ReduceSum": pools.reduce_sum,
    **dict.fromkeys(("ReduceMax", "ReduceMin"), pools.reduce_extreme),
    **dict.fromkeys(("Resize", "Upsample"), resize),
    "ConvTranspose": taps.conv_transpose,
    **dict.fromkeys(functions.ELEMENTWISE, functions.elementwise),
    "Softmax": functions.softmax,
    "LogSoftmax": functions.log_softmax,
    "LayerNormalization": functions.layer_norm,
    "InstanceNormalization": functions.instance_norm,
    "GroupNormalization": functions.group_norm,
    **dict.fromkeys(("RMSNormalization", "RMSNorm"), functions.root_mean_square_norm),
    "LRN": functions.response_norm,
    **dict.fromkeys(("ArgMax", "ArgMin", "TopK"), functions.largest),
    "Where": functions.chosen,
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), functions.compared),
}
_MICROSOFT = {
    "QLinearAdd": element.qlinear_add,
    "QLinearMul": element.qlinear_mul,
    "QGemm": taps.qgemm,
    "QLinearConcat": qlinear_concat,
    "Gelu": functions.elementwise,
    **dict.fromkeys(("QLinearAveragePool", "QLinearGlobalAveragePool"), pools.qlinear_pool),
    "QuantizeLinear": formats.quantise,
    "DequantizeLinear": formats.dequantise,
}
COUNTS = {("", op): function for op, function in _STANDARD.items()}
COUNTS |= {("com.microsoft", op): function for op, function in _MICROSOFT.items()}
_QONNX = {"Quant": qonnx.quant, "BipolarQuant": qonnx.bipolar, "Trunc": qonnx.trunc}
COUNTS |= dict.fromkeys(((domain, "RequantShift") for domain in shifts.DOMAINS), shifts.requant_shift)
COUNTS |= {(domain, op): function for domain in qonnx.DOMAINS for op, function in _QONNX.items()}
