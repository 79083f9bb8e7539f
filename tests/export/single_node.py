"""A model of one custom node and its function, run in onnxruntime and in onnx's reference evaluator."""

import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from adderhw.ops.base import DOMAIN, DOMAIN_VERSION
from adderhw.ops.bodies import OPSET, function_of
from export.schema import register_schemas


def model_of_node(op, arrays, attributes, output_type, compute=TensorProto.FLOAT):
    """The ModelProto of one node of `op`; every array is a graph input of dynamic batch (its first axis)."""
    register_schemas()
    names = op.inputs[: len(arrays)]
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, arrays, strict=True)
    ]
    node = helper.make_node(op.name, list(names), [op.output], domain=DOMAIN, **attributes)
    graph = helper.make_graph(
        [node], op.name, inputs, [helper.make_tensor_value_info(op.output, output_type, [None] * arrays[0].ndim)]
    )
    return helper.make_model(
        graph,
        ir_version=10,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        functions=[function_of(op, compute)],
    )


def run_everywhere(op, arrays, attributes, output_type, compute=TensorProto.FLOAT):
    """The output of onnxruntime, after the checker and strict shape inference, and that of the reference evaluator."""
    model = model_of_node(op, arrays, attributes, output_type, compute)
    onnx.checker.check_model(model, full_check=True, check_custom_domain=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    feeds = dict(zip(op.inputs, arrays, strict=False))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, feeds)
    (reference,) = ReferenceEvaluator(model).run(None, feeds)
    shape = [dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim]
    return result, reference, shape
