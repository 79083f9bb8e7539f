"""The registered schemas: onnx's checker knows the contracts of the custom ops."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper

from adderhw.ops import BY_NAME
from adderhw.ops.base import REQUIRED
from export.schema import CUSTOM_OPS, SHAPE_RULES, register_schemas
from tests.export.single_node import model_of_node

X, W, ZERO = np.zeros((2, 1, 5, 5), np.uint8), np.zeros((3, 1, 3, 3), np.uint8), np.uint8(0)
ATTRIBUTES = {"kernel_shape": (3, 3), "strides": (2, 1), "pads": (1, 0, 1, 0), "output_dtype": TensorProto.INT32}


def check(model):
    """onnx's full check, custom domain included."""
    onnx.checker.check_model(model, full_check=True, check_custom_domain=True)


def adder_model(**changes):
    """A model of one AdderConvInteger with some attributes changed."""
    arrays = (X, W, np.array(ZERO))
    return model_of_node(BY_NAME["AdderConvInteger"], arrays, ATTRIBUTES | changes, TensorProto.INT32)


def test_registering_twice_changes_nothing():
    register_schemas()
    register_schemas()
    assert all(defs.has(op.name, 1, "adderhw") for op in CUSTOM_OPS)
    assert {op.name for op in CUSTOM_OPS} == set(SHAPE_RULES)


@pytest.mark.parametrize("op", CUSTOM_OPS, ids=lambda op: op.name)
def test_schema_states_inputs_and_attributes_of_the_contract(op):
    register_schemas()
    schema = defs.get_schema(op.name, 1, "adderhw")
    assert [parameter.name for parameter in schema.inputs] == list(op.inputs)
    assert schema.min_input == len(op.inputs) - op.optional
    required = {name for name, attribute in schema.attributes.items() if attribute.required}
    assert set(schema.attributes) == set(op.attributes)
    assert required == {name for name, attribute in op.attributes.items() if attribute.default is REQUIRED}


def test_checker_rejects_an_unknown_attribute():
    check(adder_model())
    with pytest.raises(onnx.checker.ValidationError, match="Unrecognized attribute: strade"):
        check(adder_model(strade=(1, 1)))


def test_checker_rejects_operands_of_a_wrong_type():
    model = adder_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(onnx.shape_inference.InferenceError, match="typestr: T"):
        check(model)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [(("N", 1, 5, 5), ["N", 3, 3, 3]), (("N", 1, "H", 5), ["N", 3, None, 3]), ((None, 1, 7, None), [None, 3, 4, None])],
)
def test_shapes_are_inferred_without_the_function_as_far_as_they_are_known(shape, expected):
    register_schemas()
    attributes = {key: value for key, value in ATTRIBUTES.items() if key != "output_dtype"}
    graph = helper.make_graph(
        [
            helper.make_node("AdderConv", ["x", "w"], ["t"], domain="adderhw", **attributes),
            helper.make_node("Relu", ["t"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("adderhw", 1)]
    model = helper.make_model(graph, ir_version=10, opset_imports=imports)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    (value,) = inferred.graph.value_info
    dims = value.type.tensor_type.shape.dim
    found = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in dims]
    # onnx names dimensions of unknown size unk__0, unk__1, ….
    assert [None if str(size).startswith("unk__") else size for size in found] == expected


def test_a_process_that_registered_them_ends_well():
    code = "from export.schema import register_schemas; register_schemas()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
