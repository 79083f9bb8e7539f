"""Models as other tools write them: float networks, and quantised ones in both of onnxruntime's formats."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(5)


def model_of(
    nodes, inputs, outputs, constants, *, opset=17, dtype=TensorProto.FLOAT, out_dtype=TensorProto.FLOAT, ir=8
):  # fmt: skip
    """A ModelProto; inputs, outputs: {name: sizes}; constants: {name: array}; onnxruntime's own domain is imported."""
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(name, dtype, sizes) for name, sizes in inputs.items()],
        [helper.make_tensor_value_info(name, out_dtype, sizes) for name, sizes in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def one_op(op, shape, *, constants=None, outputs=1, domain="", **attributes):
    """A model of one node 'n' on 'x' of `shape` and constants as further inputs."""
    constants = constants or {}
    names = [f"y{i}" if i else "y" for i in range(outputs)]
    node = helper.make_node(op, ["x", *constants], names, name="n", domain=domain, **attributes)
    return model_of([node], {"x": shape}, {"y": None}, constants)


def float_cnn(rng=RNG):
    """conv 3→4 with bias, BN, ReLU, residual Add, max pool, conv 4→8 stride 2, average pool, Gemm; a dynamic batch."""
    real = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "stem", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], "inner", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c1", "g", "o", "m", "v"], ["n1"], "norm"),
        helper.make_node("Add", ["n1", "r0"], ["a1"], "add"),
        helper.make_node("Relu", ["a1"], ["r1"], "relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p1"], ["gap"], "gap"),
        helper.make_node("Flatten", ["gap"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], "fc", transB=1),
    ]
    constants = {
        "w0": real(4, 3, 3, 3), "b0": real(4), "w1": real(4, 4, 3, 3), "g": real(4), "o": real(4), "m": real(4),
        "v": np.abs(real(4)) + 1, "w2": real(5, 4), "b2": real(5),
    }  # fmt: skip
    return model_of(nodes, {"x": ["N", 3, 8, 8]}, {"y": ["N", 5]}, constants)


def plain_cnn(rng=RNG):
    """conv → ReLU → conv of stride 2 and 2 groups → ReLU → max pool → Flatten → Gemm, whose integers are determined."""
    real = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "stem", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "inner", kernel_shape=[3, 3], strides=[2, 2], group=2),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("MaxPool", ["r1"], ["p"], "pool", kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], "fc", transB=1),
    ]
    constants = {
        "w0": real(4, 3, 3, 3), "b0": real(4), "w1": real(6, 2, 3, 3), "b1": real(6), "w2": real(5, 24), "b2": real(5)
    }  # fmt: skip
    return model_of(nodes, {"x": ["N", 3, 8, 8]}, {"y": ["N", 5]}, constants)


def quantised(proto, folder, form, *, activation="QUInt8", per_channel=True, reduce_range=False):
    """Path of the model as onnxruntime.quantization makes it: form 'QDQ' or 'QOperator'.

    reduce_range: weights of 7 bits, with which onnxruntime does not saturate on processors without VNNI.
    """
    import logging

    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Noise(CalibrationDataReader):
        def __init__(self):
            value = proto.graph.input[0]
            sizes = [dim.dim_value or 8 for dim in value.type.tensor_type.shape.dim]
            self.batches = iter([{value.name: np.random.default_rng(0).standard_normal(sizes).astype(np.float32)}])

        def get_next(self):
            return next(self.batches, None)

    source, target = folder / "float.onnx", folder / f"{form}_{activation}_{per_channel}.onnx"
    onnx.save(proto, source)
    logging.disable(logging.WARNING)
    try:
        quantize_static(
            source, target, Noise(), quant_format=QuantFormat[form], activation_type=QuantType[activation],
            weight_type=QuantType.QInt8, per_channel=per_channel,
            reduce_range=reduce_range,
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return target
