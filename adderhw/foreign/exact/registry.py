"""Every op that is simulated, and what its handler honours; any other makes a network a tally only."""

from adderhw.foreign.exact import additions, edges, layers, moves
from adderhw.foreign.exact.rules import ANY, Only, Rule

_WINDOW = {"kernel_shape": ANY, "strides": ANY, "pads": ANY, "dilations": ANY, "group": ANY, "auto_pad": ANY}
_POOL = {
    "kernel_shape": ANY, "strides": ANY, "pads": ANY, "auto_pad": ANY, "dilations": ANY, "ceil_mode": Only(0),
    "storage_order": Only(0),
}  # fmt: skip
_PRODUCT = {"alpha": Only(1.0), "transA": Only(0), "transB": ANY}
_FLOAT32 = 1  # TensorProto.FLOAT
_QUANTISE = {
    "axis": ANY, "saturate": ANY, "output_dtype": ANY, "block_size": Only(0), "precision": Only(0, _FLOAT32),
}  # fmt: skip
_DEQUANTISE = {"axis": ANY, "block_size": Only(0), "output_dtype": Only(0, _FLOAT32)}
_GRIDS = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
_RESIZE = {
    "mode": Only("nearest"), "coordinate_transformation_mode": Only(*_GRIDS), "nearest_mode": ANY, "axes": ANY,
    "keep_aspect_ratio_policy": Only("stretch"), "exclude_outside": ANY, "antialias": Only(0), "cubic_coeff_a": ANY,
    "extrapolation_value": Only(0.0),
}  # fmt: skip
_UPSAMPLE = {"mode": Only("nearest"), "scales": ANY}
_DROPOUT = {"ratio": ANY, "seed": ANY}


def _moving(attributes=(), inputs=(1, 1), outputs=(1, 1)):
    """The Rule of an op whose every attribute ONNX's reference implementation honours when it moves numbers."""
    return Rule(moves.move, dict.fromkeys(attributes, ANY), inputs, outputs)


RULES = {
    ("", "QuantizeLinear"): Rule(edges.quantise, _QUANTISE, inputs=(2, 3)),
    ("", "DequantizeLinear"): Rule(edges.dequantise, _DEQUANTISE, inputs=(2, 3)),
    ("", "Conv"): Rule(layers.conv, _WINDOW, inputs=(2, 3)),
    ("", "Gemm"): Rule(layers.gemm, {**_PRODUCT, "beta": Only(1.0)}, inputs=(2, 3)),
    ("", "MatMul"): Rule(layers.matmul, inputs=(2, 2)),
    ("", "QLinearConv"): Rule(layers.qlinear_conv, _WINDOW, inputs=(8, 9)),
    ("", "QLinearMatMul"): Rule(layers.qlinear_matmul, inputs=(8, 8)),
    ("", "Add"): Rule(additions.add, inputs=(2, 2)),
    ("", "Relu"): Rule(moves.relu),
    ("", "Clip"): Rule(moves.clip, inputs=(1, 3)),
    ("", "MaxPool"): Rule(moves.max_pool, _POOL),
    ("", "GlobalMaxPool"): Rule(moves.global_max_pool),
    ("", "Concat"): _moving(["axis"], inputs=(1, 1 << 16)),
    ("", "DepthToSpace"): _moving(["blocksize", "mode"]),
    ("", "Dropout"): Rule(moves.drop_nothing, _DROPOUT, inputs=(1, 3)),
    ("", "Expand"): _moving(inputs=(2, 2)),
    ("", "Flatten"): _moving(["axis"]),
    ("", "Gather"): _moving(["axis"], inputs=(2, 2)),
    ("", "Identity"): _moving(),
    ("", "Pad"): _moving(["mode", "pads", "value"], inputs=(1, 4)),
    ("", "Reshape"): _moving(["allowzero"], inputs=(2, 2)),
    ("", "Resize"): Rule(moves.move, _RESIZE, inputs=(1, 4)),
    ("", "Slice"): _moving(["axes", "starts", "ends"], inputs=(1, 5)),
    ("", "SpaceToDepth"): _moving(["blocksize"]),
    ("", "Split"): _moving(["axis", "split", "num_outputs"], inputs=(1, 2), outputs=(1, 1 << 16)),
    ("", "Squeeze"): _moving(["axes"], inputs=(1, 2)),
    ("", "Tile"): _moving(inputs=(2, 2)),
    ("", "Transpose"): _moving(["perm"]),
    ("", "Unsqueeze"): _moving(["axes"], inputs=(1, 2)),
    ("", "Upsample"): Rule(moves.move, _UPSAMPLE, inputs=(1, 2)),
    ("com.microsoft", "QuantizeLinear"): Rule(edges.quantise, {"axis": ANY}, inputs=(2, 3)),
    ("com.microsoft", "DequantizeLinear"): Rule(edges.dequantise, {"axis": ANY}, inputs=(2, 3)),
    ("com.microsoft", "QGemm"): Rule(layers.qgemm, _PRODUCT, inputs=(6, 9)),
    ("com.microsoft", "QLinearAdd"): Rule(additions.qlinear_add, inputs=(7, 8)),
}
