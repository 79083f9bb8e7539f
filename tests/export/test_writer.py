"""What the writer writes: the reader gets the same graph back, and stock onnxruntime takes the file in silence."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from adderhw.errors import AdderHwError, ModelError
from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.onnx_reader import read_graph
from adderhw.ops.base import Node
from adderhw.tensor import integer_tensor
from export.schema import register_schemas
from export.writer import model_of, write_graph, write_test_data
from tests.export.networks import every_op, wide_gemm


def adder_constants(model):
    """The element types that the functions cast to."""
    return {a.i for f in model.functions for node in f.node if node.op_type == "Cast" for a in node.attribute if a.i}


def test_reader_gets_the_same_graph_back(tmp_path, rng):
    graph = every_op(rng)
    write_graph(graph, tmp_path / "model.onnx")
    again = read_graph(tmp_path / "model.onnx")
    assert (again.name, again.outputs, dict(again.metadata)) == (graph.name, graph.outputs, dict(graph.metadata))
    for name, tensor in graph.tensors.items():
        found = again.tensors[name]
        assert (found.shape, found.dtype, found.format) == (tensor.shape, tensor.dtype, tensor.format), name
        if tensor.format is not None:
            assert (found.lowest, found.highest) == (tensor.lowest, tensor.highest)
        if tensor.value is not None:
            np.testing.assert_array_equal(found.value, tensor.value)
    for node, found in zip(graph.nodes, again.nodes, strict=True):
        assert (found.op, found.name, found.output, found.attributes) == (
            node.op,
            node.name,
            node.output,
            node.attributes,
        )
        assert found.inputs[: len(node.inputs)] == node.inputs


def test_writing_what_was_read_gives_the_same_bytes(tmp_path, rng):
    write_graph(every_op(rng), tmp_path / "first.onnx")
    write_graph(read_graph(tmp_path / "first.onnx"), tmp_path / "second.onnx")
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()


def test_file_passes_the_full_checker_and_shape_inference_agrees_with_the_graph(rng):
    graph = every_op(rng)
    model = model_of(graph)
    register_schemas()
    onnx.checker.check_model(model, full_check=True, check_custom_domain=True)
    assert (model.ir_version, {e.domain: e.version for e in model.opset_import}) == (10, {"": 21, "adderhw": 1})
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    for value in inferred.graph.value_info:
        dims = value.type.tensor_type.shape.dim
        assert tuple(dim.dim_value for dim in dims[1:]) == graph.tensors[value.name].shape[1:]
        assert dims[0].dim_param == "N"


def test_every_attribute_is_on_every_node_and_only_used_functions_are_written(rng):
    model = model_of(every_op(rng))
    assert {f.name for f in model.functions} == {node.op_type for node in model.graph.node if node.domain}
    declared = {f.name: {*f.attribute, *(a.name for a in f.attribute_proto)} for f in model.functions}
    for node in model.graph.node:
        if node.domain:
            assert {a.name for a in node.attribute} == declared[node.op_type]
    (small,) = model_of(wide_gemm(2)).functions
    assert small.name == "AdderGemmInteger"


def test_onnxruntime_runs_any_batch_and_says_nothing(tmp_path, rng):
    write_graph(every_op(rng), tmp_path / "model.onnx")
    script = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "for n in (1, 3):\n"
        "    print(session.run(None, {'image': numpy.ones((n, 3, 8, 8), numpy.float32)})[0].shape)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "(1, 5)\n(3, 5)\n")


def test_bodies_add_in_float_below_2_24_and_in_double_from_there():
    assert TensorProto.DOUBLE not in adder_constants(model_of(wide_gemm(256)))
    assert TensorProto.DOUBLE in adder_constants(model_of(wide_gemm(257)))


def test_double_sums_run_exactly_in_onnxruntime():
    graph = wide_gemm(3000, weight=65534)
    session = onnxruntime.InferenceSession(model_of(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.zeros((1, 3000), np.uint16)
    x[0, :7] = 65535
    assert session.run(None, {"x": x})[0].tolist() == [[2993 * 65534 + 7]]


def test_sums_from_2_53_are_refused(monkeypatch):
    graph = wide_gemm(4)
    monkeypatch.setattr("adderhw.ops.adder_gemm.AdderGemmInteger.float_exact", lambda *_: 1 << 53)
    with pytest.raises(
        ModelError, match=r"node 'gemm'.*found a sum of up to 9007199254740992, expected sums below 2\^53"
    ):
        model_of(graph)


@pytest.mark.parametrize("scale", [0.1 + 0.2, 1e-300, 1 / 3, 2.0**-1074, 1.7976931348623157e308, 1.0])
def test_scales_come_back_bit_for_bit(tmp_path, scale):
    x = integer_tensor("x", (None, 2), np.int16, -2048, 2047)
    node = Node("Requantize", "r", ("x", "m", "m", "n"), "q", {"qmin": -4, "qmax": 3, "output_dtype": TensorProto.INT8})
    formats = {"x": Format(12, True, scale, -7), "q": Format(3, True, scale)}
    graph = Graph("g", (x,), ("q",), (node,), {"m": np.array(1), "n": np.array(3)}, formats)
    write_graph(graph, tmp_path / "m.onnx")
    assert read_graph(tmp_path / "m.onnx").formats == formats


def test_left_out_zero_points_get_a_name_that_is_free(rng):
    w = rng.integers(0, 9, (2, 1, 1, 1), np.uint8)
    x = integer_tensor("zero_uint8", (None, 1, 2, 2), np.uint8, 0, 255)
    node = Node("AdderConvInteger", "a", ("zero_uint8", "w"), "s", {"kernel_shape": (1, 1)})
    model = model_of(Graph("g", (x,), ("s",), (node,), {"w": w}))
    assert list(model.graph.node[0].input) == ["zero_uint8", "w", "zero_uint8_"]
    assert {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}["zero_uint8_"] == 0


def test_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, rng):
    with pytest.raises(AdderHwError, match="cannot write"):
        write_graph(every_op(rng), tmp_path / "none" / "model.onnx")
    with pytest.raises(AdderHwError, match="found a folder"):
        write_graph(every_op(rng), tmp_path)
    assert not list(tmp_path.iterdir())


def test_test_data_is_onnx_test_data(tmp_path):
    x, y = np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((2, 1), np.float32)
    write_test_data(tmp_path / "golden", {"x": x}, {"y": y, "z": x})
    folder = tmp_path / "golden" / "test_data_set_0"
    assert sorted(p.name for p in folder.iterdir()) == ["input_0.pb", "output_0.pb", "output_1.pb"]
    proto = onnx.load_tensor(folder / "input_0.pb")
    assert proto.name == "x"
    np.testing.assert_array_equal(numpy_helper.to_array(proto), x)


def test_importing_the_writer_does_not_import_torch():
    script = "import sys, export.writer, export.schema, export.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
