"""How a Format is written in ONNX's quantization annotations, and once more in the model's metadata.

Simplifiers and version converters drop annotations without a word, but keep the metadata. So `adderhw.formats` there
has a copy: JSON, tensor name → the annotation's keys and values.

An annotation names a tensor and carries, as key → text,

    finn_datatype        'UINT8', 'INT12', …: signedness and width; the key that QONNX and FINN read
    adderhw.scale        the float64 scale as Python's repr writes it (it reads back exactly); absent: none stated
    adderhw.zero_point   the zero point as a decimal integer; absent: 0

The values stand in the annotation itself. ONNX's SCALE_TENSOR and ZERO_POINT_TENSOR would have to name initializers,
and onnxruntime 1.32 logs a warning for each initializer that no node reads, two per tensor.
"""

import json
import re

from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.json_files import parse_json
from adderhw.ops import BY_NAME

FORMATS_KEY = "adderhw.formats"
DATATYPE_KEY, SCALE_KEY, ZERO_POINT_KEY = "finn_datatype", "adderhw.scale", "adderhw.zero_point"


def add_formats(model, formats):
    """Adds annotations and metadata of {tensor name: Format} to a ModelProto."""
    for name, fmt in formats.items():
        annotation = model.graph.quantization_annotation.add(tensor_name=name)
        for key, value in values_of(fmt).items():
            annotation.quant_parameter_tensor_names.add(key=key, value=value)
    copy = {name: values_of(fmt) for name, fmt in formats.items()}
    model.metadata_props.add(key=FORMATS_KEY, value=json.dumps(copy, ensure_ascii=False))


def values_of(fmt):
    """The keys and values, text all of them, by which a Format is written."""
    values = {DATATYPE_KEY: fmt.name.upper(), ZERO_POINT_KEY: str(fmt.zero_point)}
    return values if fmt.scale is None else {**values, SCALE_KEY: repr(float(fmt.scale))}


def read_formats(model):
    """Tensor name → Format for what the annotations of a ModelProto, or its metadata, state.

    Annotations without finn_datatype and other keys are other tools' and left alone. Raises ModelError, naming
    the tensor, for a type, scale or zero point that is malformed or out of range, and where both differ.
    """
    formats = {}
    for annotation in model.graph.quantization_annotation:
        values = {entry.key: entry.value for entry in annotation.quant_parameter_tensor_names}
        if DATATYPE_KEY in values:
            formats[annotation.tensor_name] = format_of(annotation.tensor_name, values, "quantization annotation")
    for name, fmt in copied_formats(model).items():
        if formats.setdefault(name, fmt) != fmt:
            raise ModelError(
                f"tensor {name!r}: found {formats[name]} in its annotation and {fmt} in the metadata {FORMATS_KEY}, "
                "expected one format"
            )
    return formats


def copied_formats(model):
    """Tensor name → Format in the metadata of a ModelProto, empty where there is none; raises ModelError."""
    text = next((entry.value for entry in model.metadata_props if entry.key == FORMATS_KEY), None)
    if text is None:
        return {}
    try:
        copy = parse_json(text)
    except ValueError as error:
        raise ModelError(f"metadata {FORMATS_KEY}: found no JSON ({error}), expected formats of tensors") from None
    fits = isinstance(copy, dict) and all(
        isinstance(values, dict) and DATATYPE_KEY in values and all(isinstance(value, str) for value in values.values())
        for values in copy.values()
    )
    if not fits:
        raise ModelError(f"metadata {FORMATS_KEY}: found {text[:60]!r}, expected an object of texts for each tensor")
    return {name: format_of(name, values, f"metadata {FORMATS_KEY}") for name, values in copy.items()}


def check_stated(model, graph):
    """Raises ModelError where the metadata states formats, but none for an integer tensor whose width decides a price.

    A tool that renames tensors (a prefix, a merged file) leaves formats behind that name nothing.
    """
    if not any(entry.key == FORMATS_KEY for entry in model.metadata_props):
        return
    names = [node.output for node in graph.nodes] + [node.inputs[1] for node in graph.nodes if BY_NAME[node.op].sums]
    for name in (*(tensor.name for tensor in graph.inputs), *names):
        if not graph.tensors[name].is_float and name not in graph.formats:
            raise ModelError(
                f"tensor {name!r}: found no format among those that the metadata {FORMATS_KEY} states "
                "(were tensors renamed or nodes added?), expected one"
            )


def format_of(name, values, what):
    """The Format in the `values` of tensor `name`, which stand in `what`; raises ModelError."""
    where = f"tensor {name!r}: {what}"
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
