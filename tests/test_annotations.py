"""Formats in annotations and metadata: what is written reads back, survives other tools or is said to be lost."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.compose
import onnx.inliner
import pytest

import adderhw
from adderhw import simulation
from adderhw.annotations import FORMATS_KEY, add_formats, read_formats
from adderhw.cli import app
from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.onnx_reader import graph_of
from adderhw.simulation import open_model
from export.writer import model_of
from tests.export.networks import every_op


@pytest.mark.parametrize(
    "fmt",
    [Format(8, False), Format(12, True, 1 / 3, -5), Format(2, False, 5e-324, 3), Format(64, True), Format(1, False)],
    ids=str,
)
def test_formats_read_back_exactly(fmt):
    model = onnx.ModelProto()
    add_formats(model, {"t": fmt})
    assert read_formats(model) == {"t": fmt}
    del model.graph.quantization_annotation[:]
    assert read_formats(model) == {"t": fmt}


def annotated(**values):
    """A ModelProto with one annotation on tensor 't'; '_' stands for '.' after adderhw."""
    model = onnx.ModelProto()
    annotation = model.graph.quantization_annotation.add(tensor_name="t")
    for key, value in values.items():
        annotation.quant_parameter_tensor_names.add(key=key.replace("adderhw_", "adderhw."), value=value)
    return model


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


def stated(**values):
    """A ModelProto whose metadata states these values of tensor 't'."""
    model = onnx.ModelProto()
    model.metadata_props.add(key=FORMATS_KEY, value=json.dumps({"t": values}))
    return model


def test_an_annotation_and_a_copy_that_differ_name_the_tensor():
    model = annotated(finn_datatype="UINT4")
    model.metadata_props.extend(stated(finn_datatype="UINT5").metadata_props)
    with pytest.raises(ModelError, match=r"tensor 't': found .* in its annotation and .* in the metadata"):
        read_formats(model)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "found no JSON"),
        ("[]", "expected an object of texts for each tensor"),
        ('{"t": {"finn_datatype": 4}}', "expected an object of texts for each tensor"),
        ('{"t": {}}', "expected an object of texts for each tensor"),
        ('{"t": {"finn_datatype": "INT99"}}', "found 99 bits, expected 1 to 64"),
    ],
)
def test_a_malformed_copy_is_one_line(text, words):
    model = onnx.ModelProto()
    model.metadata_props.add(key=FORMATS_KEY, value=text)
    with pytest.raises(ModelError, match=words):
        read_formats(model)


@pytest.fixture
def written():
    """A model of every op, as it is written."""
    return model_of(every_op(np.random.default_rng(0)))


def without_annotations(model, folder):
    del model.graph.quantization_annotation[:]
    return model


def converted(model, folder):
    return onnx.version_converter.convert_version(model, 22)


def inferred(model, folder):
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("tool", [without_annotations, converted, inferred])
def test_formats_survive_tools_that_drop_annotations(written, tmp_path, tool):
    expected = graph_of(written, "m")
    found = graph_of(tool(written, tmp_path), "m")
    assert dict(found.formats) == dict(expected.formats)
    assert [work.events for work in found.work()] == [work.events for work in expected.work()]
    assert FORMATS_KEY not in found.metadata


def test_a_tool_that_renames_tensors_is_not_believed(written):
    old = written.graph.node[0].output[0]
    for node in written.graph.node:
        node.input[:] = ["renamed" if name == old else name for name in node.input]
        node.output[:] = ["renamed" if name == old else name for name in node.output]
    with pytest.raises(ModelError, match="tensor 'renamed': found no format among those that the metadata"):
        graph_of(written, "m")


def test_a_tool_that_renames_ops_is_refused_by_their_names(written):
    with pytest.raises(ModelError, match="found op adderhw::pre_"):
        graph_of(onnx.compose.add_prefix(written, "pre_"), "m")


def test_a_file_whose_functions_were_inlined_is_refused_with_the_reason(written, tmp_path):
    path = Path(tmp_path) / "m.onnx"
    onnx.save(onnx.inliner.inline_local_functions(written), str(path))
    with pytest.raises(ModelError, match="its functions were inlined by another tool, expected"):
        open_model(path)


def test_the_models_that_ship_have_a_format_for_every_weight():
    graph = adderhw.load().graph
    assert {node.inputs[1] for node in graph.nodes if node.op.startswith(("Adder", "Conv"))} <= set(graph.formats)


@pytest.fixture
def bare(tmp_path):
    """The digits network that ships without annotations and metadata, as onnx-graphsurgeon leaves it."""
    model = onnx.load(simulation.SHIPPED_MODEL)
    preprocess = [entry for entry in model.metadata_props if entry.key == "adderhw.preprocess"]
    del model.graph.quantization_annotation[:], model.metadata_props[:]
    model.metadata_props.extend(preprocess)
    onnx.save(model, tmp_path / "bare.onnx")
    return tmp_path / "bare.onnx"


@pytest.mark.parametrize("options", [(), ("--as", "cnn")], ids=["own", "as cnn"])
def test_a_file_that_states_no_formats_is_said_so_everywhere(bare, capsys, options):
    paths = [str(bare.with_name(name)) for name in ("r.json", "r.md", "r.html")]
    arguments = [str(bare), *options, "--json", paths[0], "--markdown", paths[1], "--report", paths[2]]
    app([*arguments, *([] if options else ["--limit", "2", "--threads", "1"])], standalone_mode=False)
    told = capsys.readouterr()
    for text in (told.err, told.out, *(Path(path).read_text() for path in paths)):
        assert "The file states no formats" in text
    assert len([line for line in told.err.splitlines() if "states no formats" in line]) == 1


def test_a_file_that_states_formats_is_silent(capsys):
    app(["--limit", "2", "--threads", "1"], standalone_mode=False)
    assert "states no formats" not in "".join(capsys.readouterr())
