"""Every op that is simulated, and what its handler honours; any other makes a network a tally only."""

from adderhw.foreign.exact import additions, edges, layers, moves
from adderhw.foreign.exact.rules import ANY, Only, Rule

_WINDOW = {"kernel_shape": ANY, "strides": ANY, "pads": ANY, "dilations": ANY, "group": ANY, "auto_pad": ANY}
_POOL = {
    "kernel_shape": ANY, "strides": ANY, "pads": ANY,
    "auto_pad": Only("NOTSET"), "ceil_mode": Only(0), "dilations": Only((1, 1)), "storage_order": Only(0),
}  # fmt: skip
_PRODUCT = {"alpha": ANY, "beta": ANY, "transA": ANY, "transB": ANY}
_AXIS = {"axis": ANY, "saturate": ANY}
_QUANTISE = Rule(edges.quantise, _AXIS, inputs=(2, 3))
_DEQUANTISE = Rule(edges.dequantise, _AXIS, inputs=(2, 3))

RULES = {
    ("", "QuantizeLinear"): _QUANTISE,
    ("", "DequantizeLinear"): _DEQUANTISE,
    ("", "Conv"): Rule(layers.conv, _WINDOW, inputs=(2, 3)),
    ("", "Gemm"): Rule(layers.gemm, _PRODUCT, inputs=(2, 3)),
    ("", "MatMul"): Rule(layers.matmul, inputs=(2, 2)),
    ("", "QLinearConv"): Rule(layers.qlinear_conv, _WINDOW, inputs=(8, 9)),
    ("", "QLinearMatMul"): Rule(layers.qlinear_matmul, inputs=(8, 8)),
    ("", "Relu"): Rule(layers.relu),
    ("", "Add"): Rule(additions.add, inputs=(2, 2)),
    ("", "MaxPool"): Rule(moves.max_pool, _POOL),
    ("", "Flatten"): Rule(moves.reshape, {"axis": ANY}),
    ("", "Reshape"): Rule(moves.reshape, {"allowzero": ANY, "shape": ANY}, inputs=(1, 2)),
    ("", "Squeeze"): Rule(moves.reshape, {"axes": ANY}, inputs=(1, 2)),
    ("", "Unsqueeze"): Rule(moves.reshape, {"axes": ANY}, inputs=(1, 2)),
    ("", "Identity"): Rule(moves.reshape),
    ("com.microsoft", "QuantizeLinear"): _QUANTISE,
    ("com.microsoft", "DequantizeLinear"): _DEQUANTISE,
    ("com.microsoft", "QGemm"): Rule(layers.qgemm, _PRODUCT, inputs=(6, 9)),
    ("com.microsoft", "QLinearAdd"): Rule(additions.qlinear_add, inputs=(7, 8)),
}
