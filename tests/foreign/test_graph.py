"""Shapes at batch 1 by inference: what is open is an error, what depends on no input is a constant."""

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper

from adderhw.errors import ModelError
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network
from tests.foreign.models import float_cnn, model_of, one_op


def test_a_dynamic_batch_is_one():
    graph = foreign_graph(float_cnn(), "m")
    assert graph.shapes["x"] == (1, 3, 8, 8)
    assert graph.shapes["c1"] == (1, 4, 8, 8)
    assert graph.shapes["y"] == (1, 5)


def test_a_function_that_is_there_twice_is_refused():
    proto = float_cnn()
    called = helper.make_function("calls", "twice", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [])
    proto.functions.extend([called, called])
    with pytest.raises(ModelError, match="found function 'twice' of domain 'calls' twice, expected once"):
        foreign_graph(proto, "m")


def test_a_fixed_batch_is_tallied_an_image():
    proto, fixed = float_cnn(), float_cnn()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    for value in fixed.graph.output:
        value.type.tensor_type.shape.dim[0].dim_value = 4
    assert foreign_graph(fixed, "m").shapes == foreign_graph(proto, "m").shapes


def test_a_size_that_stays_open_is_named():
    proto = float_cnn()
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(ModelError, match=r"input 'x': found shape \['N', 3, 'height', 8\], expected sizes above 0"):
        foreign_graph(proto, "m")


def test_an_op_whose_shape_nobody_knows_is_named():
    proto = one_op("Mystery", [1, 3], domain="com.example")
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ModelError, match=r"node 'n' \(Mystery\): found no shape for 'y'"):
        foreign_graph(proto, "m")


def test_shape_arithmetic_becomes_a_constant():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], "shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], "gather", axis=0),
        helper.make_node("Concat", ["n", "rest"], ["target"], "concat", axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"], "reshape"),
    ]
    constants = {"zero": np.array([0], np.int64), "rest": np.array([-1], np.int64)}
    graph = foreign_graph(model_of(nodes, {"x": ["N", 3, 4, 4]}, {"y": None}, constants), "m")
    assert [node.op for node in graph.nodes] == ["Reshape"]
    assert graph.shapes["y"] == (1, 48)
    assert graph.constants["target"].tolist() == [1, -1]


def test_ops_of_onnxruntimes_own_domain_have_shapes():
    scale, zero = np.float32(0.5), np.uint8(3)
    constants = {
        "xs": scale,
        "xz": zero,
        "b": np.ones((1, 2, 4, 4), np.uint8),
        "bs": scale,
        "bz": zero,
        "s": scale,
        "z": zero,
    }
    node = helper.make_node("QLinearAdd", ["x", *constants], ["y"], "n", domain="com.microsoft")
    proto = model_of(
        [node], {"x": ["N", 2, 4, 4]}, {"y": None}, constants, dtype=TensorProto.UINT8, out_dtype=TensorProto.UINT8
    )
    assert foreign_graph(proto, "m").shapes["y"] == (1, 2, 4, 4)


def test_a_model_without_outputs_is_refused():
    proto = float_cnn()
    del proto.graph.output[:]
    with pytest.raises(ModelError, match="model: found no outputs, expected one at least"):
        foreign_graph(proto, "m")


def test_a_constant_whose_bytes_do_not_fit_is_named():
    proto = float_cnn()
    proto.graph.initializer[0].dims[0] = 7
    with pytest.raises(ModelError, match="tensor 'w0': found unreadable data"):
        foreign_graph(proto, "m")


def test_a_node_before_what_it_reads_is_named():
    proto = float_cnn()
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[:2], nodes[3], nodes[2], *nodes[4:]])
    message = r"node 'norm' \(BatchNormalization\): found input 'c1', which no node before it computes"
    with pytest.raises(ModelError, match=message):
        foreign_graph(proto, "m")


@pytest.mark.parametrize("outputs", [[], [""], ["", "mask"]])
def test_a_node_without_a_first_output_is_named(outputs):
    proto = float_cnn()
    proto.graph.node[-1].output[:] = outputs
    with pytest.raises(ModelError, match=r"node 'fc' \(Gemm\): found no first output, expected one"):
        foreign_graph(proto, "m")


def test_an_input_without_an_element_type_is_named():
    proto = one_op("Relu", [1, 3])
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    with pytest.raises(ModelError, match="input 'x': found no element type, expected one of ONNX's"):
        foreign_graph(proto, "m")


def test_an_element_type_that_does_not_exist_is_named():
    proto = one_op("Relu", [1, 3])
    proto.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(ModelError, match="input 'x': found element type 99 of 'x', expected one of ONNX's"):
        foreign_graph(proto, "m")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda pads: setattr(pads, "type", AttributeProto.TENSOR), "TENSOR"),
        (lambda pads: setattr(pads, "type", AttributeProto.INT), "INT"),
        (lambda pads: pads.ClearField("type"), "UNDEFINED"),
        (lambda pads: setattr(pads, "ref_attr_name", "outer"), "a reference to 'outer'"),
    ],
)
def test_an_attribute_of_another_type_than_its_ops_is_named(change, found):
    proto = float_cnn()
    (pads,) = (attribute for attribute in proto.graph.node[0].attribute if attribute.name == "pads")
    change(pads)
    with pytest.raises(ModelError) as error:
        foreign_graph(proto, "m")
    assert str(error.value) == f"node 'stem' (Conv): found {found} in attribute 'pads', expected INTS"


def test_attributes_of_onnxruntimes_own_ops_are_held_against_those_of_the_standard_ones():
    proto = one_op("QLinearConcat", [1, 3], domain="com.microsoft", axis=1.0)
    with pytest.raises(ModelError, match=r"node 'n' \(QLinearConcat\): found FLOAT in attribute 'axis', expected INT"):
        foreign_graph(proto, "m")


def test_an_attribute_that_no_schema_knows_needs_a_value():
    proto = one_op("Mystery", [1, 3], domain="com.example", size=3)
    proto.graph.node[0].attribute[0].ClearField("type")
    with pytest.raises(
        ModelError, match=r"node 'n' \(Mystery\): found UNDEFINED in attribute 'size', expected a value"
    ):
        foreign_graph(proto, "m")


@pytest.mark.parametrize("version", [-1, 0, 1 << 31, 1 << 40])
def test_an_opset_that_cannot_be_is_named(version):
    proto = float_cnn()
    proto.opset_import[0].version = version
    with pytest.raises(ModelError, match=rf"opset of domain '': found version {version}, expected 1 to 2\^31 - 1"):
        foreign_graph(proto, "m")


def test_an_output_that_nothing_computes_is_named():
    proto = float_cnn()
    proto.graph.output[0].name = "nowhere"
    with pytest.raises(ModelError, match="output 'nowhere': found no node that computes it, expected one"):
        foreign_graph(proto, "m")


@pytest.mark.parametrize("sizes", [[1, 2, 3], [2]])
def test_a_pool_of_other_dimensions_than_its_input_is_named(sizes):
    node = helper.make_node(
        "QLinearAveragePool", ["x", "s", "z", "s", "z"], ["y"], "pool", domain="com.microsoft", kernel_shape=sizes
    )
    constants = {"s": np.float32(1), "z": np.uint8(0)}
    proto = model_of([node], {"x": [1, 2, 4, 4]}, {"y": None}, constants, dtype=2, out_dtype=2)
    with pytest.raises(ModelError):
        count_network(foreign_graph(proto, "m"))
