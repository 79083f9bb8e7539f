"""Formats in quantization annotations: what is written reads back, and malformed text is one clear error."""

import onnx
import pytest

from adderhw.annotations import add_format, read_formats
from adderhw.errors import ModelError
from adderhw.fixed import Format


@pytest.mark.parametrize(
    "fmt",
    [Format(8, False), Format(12, True, 1 / 3, -5), Format(2, False, 5e-324, 3), Format(64, True), Format(1, False)],
    ids=str,
)
def test_formats_read_back_exactly(fmt):
    graph = onnx.GraphProto()
    add_format(graph, "t", fmt)
    assert read_formats(graph) == {"t": fmt}


def annotated(**values):
    """A GraphProto with one annotation on tensor 't'; '_' stands for '.' after adderhw."""
    graph = onnx.GraphProto()
    annotation = graph.quantization_annotation.add(tensor_name="t")
    for key, value in values.items():
        annotation.quant_parameter_tensor_names.add(key=key.replace("adderhw_", "adderhw."), value=value)
    return graph


def test_annotations_of_other_tools_are_left_alone():
    assert read_formats(annotated(SCALE_TENSOR="s", tensor_layout="NCHW")) == {}
    assert read_formats(annotated(finn_datatype="UINT4", tensor_layout="NCHW")) == {"t": Format(4, False)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"finn_datatype": "FLOAT32"}, "found finn_datatype 'FLOAT32', expected UINT<bits> or INT<bits>"),
        ({"finn_datatype": "INT99"}, "found 99 bits, expected 1 to 64"),
        ({"finn_datatype": "INT8", "adderhw_scale": "big"}, "found adderhw.scale 'big', expected a number"),
        ({"finn_datatype": "INT8", "adderhw_scale": "nan"}, "found scale nan, expected a finite number above 0"),
        ({"finn_datatype": "INT8", "adderhw_zero_point": "0.5"}, "found adderhw.zero_point '0.5', expected an integer"),
        ({"finn_datatype": "INT8", "adderhw_zero_point": "128"}, "found zero point 128, expected -128 to 127"),
    ],
)
def test_malformed_annotations_name_the_tensor_and_what_was_found(values, words):
    with pytest.raises(ModelError) as error:
        read_formats(annotated(**values))
    assert str(error.value).startswith("tensor 't': quantization annotation: ")
    assert words in str(error.value)
