"""The ONNX function of each op of the adderhw domain: standard ops that a stock runtime executes."""

from functools import cache

from onnx import FunctionProto, TensorProto, parser

from adderhw.ops.base import DOMAIN, REQUIRED

OPSET = 21
COMPUTE_LIMITS = {TensorProto.FLOAT: 1 << 24, TensorProto.DOUBLE: 1 << 53}


@cache
def function_of(op, compute=TensorProto.FLOAT) -> FunctionProto:
    """The FunctionProto of `op`, a custom op's contract, in opset 21; callers copy it.

    compute: TensorProto.FLOAT or DOUBLE, the type in which the body adds; sums below COMPUTE_LIMITS[compute]
    are exact integers in it.
    """
    attributes = ", ".join(declaration(name, attribute) for name, attribute in op.attributes.items())
    return parser.parse_function(
        f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>\n'
        f"{op.name} <{attributes}> ({', '.join(op.inputs)}) => ({op.output})\n"
        f"{{{op.body.format(compute=int(compute))}}}"
    )


def declaration(name, attribute):
    """An attribute of a function in ONNX's text syntax, with its default where it has one."""
    kind, default = attribute
    if default is REQUIRED:
        return name
    if kind == "string":
        return f'{name}: string = "{default}"'
    return f"{name}: {kind} = {list(default) if kind == 'ints' else default}"
