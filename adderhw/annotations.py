"""How a Format is written in ONNX's quantization annotations: the one place that knows the keys.

An annotation names a tensor and carries, as key → text,

    finn_datatype        'UINT8', 'INT12', …: signedness and width; the key that QONNX and FINN read
    adderhw.scale        the float64 scale as Python's repr writes it (it reads back exactly); absent: none stated
    adderhw.zero_point   the zero point as a decimal integer; absent: 0

The values stand in the annotation itself. ONNX's SCALE_TENSOR and ZERO_POINT_TENSOR would have to name initializers,
and onnxruntime 1.32 logs a warning for each initializer that no node reads, two per tensor.
"""

import re

from adderhw.errors import ModelError
from adderhw.fixed import Format

DATATYPE_KEY, SCALE_KEY, ZERO_POINT_KEY = "finn_datatype", "adderhw.scale", "adderhw.zero_point"


def add_format(graph, name, fmt):
    """Adds the annotation of tensor `name` to a GraphProto."""
    values = {DATATYPE_KEY: fmt.name.upper(), ZERO_POINT_KEY: str(fmt.zero_point)}
    if fmt.scale is not None:
        values[SCALE_KEY] = repr(float(fmt.scale))
    annotation = graph.quantization_annotation.add(tensor_name=name)
    for key, value in values.items():
        annotation.quant_parameter_tensor_names.add(key=key, value=value)


def read_formats(graph):
    """Tensor name → Format for the annotations of a GraphProto that state an integer type.

    Annotations without finn_datatype and other keys are other tools' and left alone. Raises ModelError, naming
    the tensor, for a type, scale or zero point that is malformed or out of range.
    """
    formats = {}
    for annotation in graph.quantization_annotation:
        values = {entry.key: entry.value for entry in annotation.quant_parameter_tensor_names}
        if DATATYPE_KEY in values:
            formats[annotation.tensor_name] = format_of(annotation.tensor_name, values)
    return formats


def format_of(name, values):
    """The Format in the annotation `values` of tensor `name`; raises ModelError."""
    where = f"tensor {name!r}: quantization annotation"
    datatype = re.fullmatch(r"(U?)INT([1-9][0-9]?)", values[DATATYPE_KEY])
    if datatype is None:
        raise ModelError(f"{where}: found {DATATYPE_KEY} {values[DATATYPE_KEY]!r}, expected UINT<bits> or INT<bits>")
    scale = number(where, values, SCALE_KEY, float)
    zero_point = number(where, values, ZERO_POINT_KEY, int)
    try:
        return Format(int(datatype[2]), not datatype[1], scale, zero_point or 0)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from None


def number(where, values, key, kind):
    """The number under `key` read by `kind` (int or float), None where it is absent; raises ModelError."""
    text = values.get(key)
    try:
        return None if text is None else kind(text)
    except ValueError:
        raise ModelError(
            f"{where}: found {key} {text!r}, expected {'an integer' if kind is int else 'a number'}"
        ) from None
