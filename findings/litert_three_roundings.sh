#!/usr/bin/env bash
# One quantised TFLite convolution has three answers in one LiteRT, by how its kernels are chosen.
#
# Expected: a .tflite file fixes its integers: the quantisation specification is written as integer arithmetic, and delegates and
#   reference kernels exist to agree on it. A code is the accumulator times the multiplier, rounded to the nearest.
# Happens: the default (XNNPACK) rounds once, ties to even. Without the delegate the built-in kernels round twice (once in the high half of
#   the product, once in the shift), ties up; the reference kernels round twice, ties away from zero. With a multiplier of 1/3 a third of the
#   codes differ, and -127 / 3 is -43 in the reference kernels although -42 is nearer.
# Why it matters: a network "checked bit for bit against TFLite" was checked against one of three. Which one a user gets depends on the
#   platform's delegate. Seen on x86; on another architecture the built-in kernels may round in another way, so the check asks only that
#   the three differ and that the default is exact.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import sys
from fractions import Fraction

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

CODES = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)


def tensor(name, shape, kind, buffer, scale):
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
    return made


def buffer(array=None):
    made = schema.BufferT()
    if array is not None:
        made.data = np.frombuffer(array.tobytes(), np.uint8)
    return made


def convolution(output_scale):
    """A 1x1 convolution with weight 1 and scales of 1: the accumulator is the input's code."""
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 3
    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs, graph.operators = "main", [0], [3], [operator]
    int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
    graph.tensors = [
        tensor("x", list(CODES.shape), int8, 0, 1.0),
        tensor("weight", [1, 1, 1, 1], int8, 1, 1.0),
        tensor("bias", [1], int32, 2, 1.0),
        tensor("y", list(CODES.shape), int8, 0, output_scale),
    ]
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [buffer(), buffer(np.ones(1, np.int8)), buffer(np.zeros(1, np.int32))]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def answer(model, kernels):
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], CODES)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()


print("ai-edge-litert", importlib.metadata.version("ai-edge-litert"))
shown = [-128, -127, -126, -125, -3, -1, 1, 3, 125, 126, 127]
as_found = True
for divisor in (2, 3):
    exact = np.array([round(Fraction(int(code), divisor)) for code in CODES.ravel()])
    print(f"accumulator / {divisor} for     ", *shown)
    print("nearest, ties to even   ", *(exact[code + 128] for code in shown))
    answers = {}
    for name in ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"):
        answers[name] = answer(convolution(float(divisor)), getattr(OpResolverType, name))
        different = int((answers[name] != exact).sum())
        print(f"{name[:24]:24}", *(answers[name][code + 128] for code in shown), f"({different} of {exact.size} differ)")
    default, built_in, reference = answers.values()
    as_found &= np.array_equal(default, exact) and not np.array_equal(built_in, exact) and not np.array_equal(reference, exact)
    if divisor == 3:
        as_found &= not np.array_equal(built_in, reference)
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
