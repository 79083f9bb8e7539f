"""Registers the custom ops with onnx, so that its checker and shape inference know their contracts."""

import atexit
from inspect import cleandoc

from onnx import TensorProto, TypeProto, defs, helper
from onnx.defs import OpSchema

from adderhw.ops import OPS
from adderhw.ops.base import DOMAIN, DOMAIN_VERSION, REQUIRED
from adderhw.ops.float_adder import FLOAT_OPS

TYPES = {
    "float": ("tensor(float)",),
    "sum": ("tensor(int32)", "tensor(int64)"),
    "integer8or16": ("tensor(uint8)", "tensor(int8)", "tensor(uint16)", "tensor(int16)"),
    "integer": tuple(f"tensor({name})" for name in ("uint8", "int8", "uint16", "int16", "int32", "int64")),
}
CUSTOM_OPS = tuple(op for op in (*FLOAT_OPS, *OPS) if op.domain == DOMAIN)


def register_schemas():
    """Registers an OpSchema for every op of the adderhw domain; calls after the first change nothing."""
    for op in CUSTOM_OPS:
        if not defs.has(op.name, DOMAIN_VERSION, DOMAIN):
            defs.register_schema(schema_of(op))
            atexit.register(deregister, op)


def deregister(op):
    """Takes a custom op's schema away: onnx before 1.23 hangs or crashes at exit while it holds a Python function."""
    if defs.has(op.name, DOMAIN_VERSION, DOMAIN):
        defs.deregister_schema(op.name, DOMAIN_VERSION, DOMAIN)


def schema_of(op):
    """The OpSchema of a custom op, made from its contract."""
    first_optional = len(op.inputs) - op.optional
    inputs = [parameter_of(op, name, at >= first_optional) for at, name in enumerate(op.inputs)]
    constraints = {variable: TYPES[group] for variable, group in op.types.values() if group}
    schema = OpSchema(
        op.name,
        op.domain,
        DOMAIN_VERSION,
        cleandoc(op.__doc__),
        inputs=inputs,
        outputs=[parameter_of(op, op.output, False)],
        type_constraints=[(variable, list(allowed), "") for variable, allowed in constraints.items()],
        attributes=[attribute_of(name, attribute) for name, attribute in op.attributes.items()],
    )
    schema.set_type_and_shape_inference_function(inference_of(op))
    return schema


def parameter_of(op, name, optional):
    """The FormalParameter of an input or output."""
    option = OpSchema.FormalParameterOption.Optional if optional else OpSchema.FormalParameterOption.Single
    return OpSchema.FormalParameter(name, op.types[name][0], param_option=option)


def attribute_of(name, attribute):
    """The OpSchema.Attribute of an op's Attribute, with its default where it has one."""
    kind, default = attribute
    if default is REQUIRED:
        return OpSchema.Attribute(name, getattr(OpSchema.AttrType, kind.upper()), required=True)
    return OpSchema.Attribute(name, helper.make_attribute(name, default))


def inference_of(op):
    """The type-and-shape inference function of `op` for onnx."""

    def infer(context):
        attributes = {key: attribute_value(context, key, default) for key, (_, default) in op.attributes.items()}
        shapes = [shape_of(context.get_input_type(at)) for at in range(context.get_num_inputs())]
        element = context.get_input_type(0).tensor_type.elem_type
        if op.types[op.output] != op.types[op.inputs[0]]:
            element = attributes["output_dtype"]
        context.set_output_type(0, tensor_type(element, SHAPE_RULES[op.name](shapes, attributes)))

    return infer


def attribute_value(context, key, default):
    """The value of an attribute of the node under inference, or its default."""
    proto = context.get_attribute(key)
    return default if proto is None else helper.get_attribute_value(proto)


def shape_of(kind):
    """The dimensions of a TypeProto (int, str or None where unknown), None where it has no shape."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.tensor_type.shape.dim]


def tensor_type(element, shape):
    """The TypeProto of a tensor, with no shape where `shape` is None."""
    if element == TensorProto.UNDEFINED:
        return TypeProto()
    return helper.make_tensor_type_proto(element, shape)


def convolution_shape(shapes, attributes):
    """(N, O, H', W') of inputs x and w."""
    x, w = shapes[:2]
    return x and w and [x[0], w[0], *window_positions(x, attributes)]


def pooling_shape(shapes, attributes):
    """(N, C, H', W') of input x."""
    (x,) = shapes
    return x and [*x[:2], *window_positions(x, attributes)]


def window_positions(x, attributes):
    """[H', W'] by ONNX Conv's rule, None for an axis of unknown size."""
    pads = attributes.get("pads", (0, 0, 0, 0))
    dilations = attributes.get("dilations", (1, 1))
    positions = []
    for axis, size in enumerate(x[2:4]):
        reach = dilations[axis] * (attributes["kernel_shape"][axis] - 1) + 1
        known = isinstance(size, int)
        room = size + pads[axis] + pads[axis + 2] - reach if known else 0
        positions.append(room // attributes["strides"][axis] + 1 if known else None)
    return positions


def gemm_shape(shapes, attributes):
    """(N, O) of inputs x (N, K) and w (O, K)."""
    x, w = shapes[:2]
    return x and w and [x[0], w[0]]


def matmul_shape(shapes, attributes):
    """(N, O) of inputs a (N, K) and b (K, O)."""
    a, b = shapes[:2]
    return a and b and [a[0], b[1]]


def same_shape(shapes, attributes):
    """The shape of the first input."""
    return shapes[0]


SHAPE_RULES = {
    "AdderConv": convolution_shape,
    "AdderConvInteger": convolution_shape,
    "ConvInteger": convolution_shape,
    "AdderGemm": gemm_shape,
    "AdderGemmInteger": gemm_shape,
    "MatMulInteger": matmul_shape,
    "MaxPoolInteger": pooling_shape,
    "SumPool": pooling_shape,
    "Requantize": same_shape,
}
