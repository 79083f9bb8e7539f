"""Reading float models: identities and constants disappear, and what cannot be quantised is named."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from adderhw.errors import ModelError
from quant import quantise
from quant.float_graph import read_float_graph
from tests.quant.networks import Network, adder_network, images, ordinary_cnn


def one_node(op, domain="", inputs=(), **attributes):
    """A model of a single node on the image."""
    net = Network()
    return net.model(net.node(op, ["image", *inputs], "y", domain, **attributes))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (one_node("Sigmoid"), "node 'y_node': found op ai.onnx::Sigmoid, expected one of Conv, AdderConv"),
        (one_node("QuantizeLinear"), "node 'y_node': found the integer op QuantizeLinear, expected a float model"),
        (one_node("SumPool", "adderhw"), "node 'y_node': found the integer op SumPool, expected a float model"),
        (one_node("Dropout"), "node 'y_node': found op ai.onnx::Dropout"),
        (one_node("Relu", "com.example"), "found op com.example::Relu"),
        (one_node("AdderConv"), "found op ai.onnx::AdderConv"),
        (
            one_node("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
            r"node 'y_node' \(AveragePool\): found attribute pads \[1, 1, 1, 1\], expected \[0, 0, 0, 0\]",
        ),
        (one_node("AveragePool", kernel_shape=[2, 2], ceil_mode=1), "found attribute ceil_mode 1, expected 0"),
        (one_node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), r"found attribute dilations \[2, 2\]"),
        (one_node("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_UPPER"), "found attribute auto_pad 'SAME_UPPER'"),
        (one_node("Relu", alpha=1.0), "found attribute 'alpha', expected only none"),
        (one_node("Flatten", axis=2), "found attribute axis 2, expected 1"),
    ],
)
def test_what_cannot_be_quantised_names_node_and_op(model, message):
    with pytest.raises(ModelError, match=message):
        read_float_graph(model)


def test_a_computed_weight_is_an_error():
    net = Network(shape=(3, 1, 1))
    x = net.conv("image", "stem", 3, 3, kernel=1, pads=[0, 0, 0, 0])
    weight = net.node("Reshape", [x, net.constant("square", np.array([-1, 3, 1, 1]))], "weight")
    net.node("Conv", [x, weight], "y")
    with pytest.raises(ModelError, match=r"node 'y_node' \(Conv\): found weight 'weight' computed by the graph"):
        quantise(net.model("y"), images(3, shape=(3, 1, 1)))


@pytest.mark.parametrize(
    ("op", "constant", "message"),
    [
        ("ReduceMean", np.array([1]), r"found axes \[1\], expected height and width, \[2, 3\]"),
        ("Add", np.ones(8), r"found a constant of shape \[8\], expected one value, or one for each of 3 channels"),
    ],
)
def test_what_the_lowering_refuses_names_node_and_op(op, constant, message):
    net = Network()
    net.node(op, [net.conv("image", "stem", 3, 3), net.constant("c", constant)], "y")
    with pytest.raises(ModelError, match=rf"node 'y_node' \({op}\): {message}"):
        quantise(net.model("y"), images(3))


def test_identities_and_constants_disappear():
    net = Network()
    x = net.node("Identity", ["image"], "same")
    six = helper.make_tensor("six_value", TensorProto.FLOAT, [], [6.0])
    net.nodes.append(helper.make_node("Constant", [], ["six"], value=six))
    x = net.node("Clip", [net.conv(x, "conv", 3, 4), "", "six"], "clipped")
    graph = read_float_graph(net.model(net.node("Identity", [x], "y")))
    assert [node.op for node in graph.nodes] == ["Conv", "Clip"]
    assert graph.nodes[0].inputs[0] == "image"
    assert graph.nodes[-1].output == "y"
    assert graph.constants["six"] == 6
    assert quantise(net.model("y"), images(4)).outputs == ("y",)


def test_a_model_without_the_adder_functions_gets_them():
    net = Network()
    net.conv("image", "y", 3, 4, adder=True)
    graph = read_float_graph(net.model("y", functions=False))
    assert [function.name for function in graph.proto.functions] == ["AdderConv"]


def test_metadata_is_kept(tmp_path):
    model = ordinary_cnn()
    helper.set_model_props(model, {"adderhw.preprocess": "{}"})
    onnx.save(model, tmp_path / "cnn.onnx")
    assert read_float_graph(tmp_path / "cnn.onnx").metadata == {"adderhw.preprocess": "{}"}
    metadata = quantise(tmp_path / "cnn.onnx", images(4)).metadata
    assert set(metadata) == {"adderhw.preprocess", "adderhw.quantisation", "adderhw.float_tensors"}


def test_an_old_opset_is_an_error():
    model = adder_network()
    model.opset_import[0].version = 11
    with pytest.raises(ModelError, match="opset: found 11, expected at least 13"):
        read_float_graph(model)


def test_a_file_that_is_no_model_is_an_error(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x00\x01not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx: found"):
        read_float_graph(path)


def test_more_nodes_than_calibration_takes_are_refused():
    model = Network().model("image")
    model.graph.node.extend(helper.make_node("Relu", ["image"], [f"t{i}"]) for i in range(5001))
    with pytest.raises(ModelError, match="model: found 5,001 nodes, expected at most 5,000 to quantise"):
        read_float_graph(model)


@pytest.mark.parametrize("change", [lambda node: node.ClearField("attribute"), lambda node: node.ClearField("output")])
def test_a_constant_without_a_value_or_a_name_is_refused(change):
    node = helper.make_node("Constant", [], ["c"], "stray", value_float=1.0)
    change(node)
    model = one_node("Relu")
    model.graph.node.append(node)
    with pytest.raises(ModelError, match=r"node 'stray' \(Constant\): found attributes"):
        read_float_graph(model)


def test_an_adder_op_is_this_toolkits_whatever_its_function_in_the_file_computes():
    model = adder_network()
    (function,) = (each for each in model.functions if each.name == "AdderConv")
    whole = function.SerializeToString()
    function.node[0].op_type = "Neg"
    assert [each.SerializeToString() for each in read_float_graph(model).proto.functions].count(whole) == 1


@pytest.mark.parametrize(("change", "found"), [("Neg", "another"), (None, "no")])
def test_a_function_of_another_opset_is_this_toolkits_or_refused(change, found):
    model = adder_network()
    (opset,) = (each for each in model.opset_import if each.domain == "")
    opset.version = 20
    assert read_float_graph(model).nodes
    (function,) = (each for each in model.functions if each.name == "AdderConv")
    if change:
        function.node[0].op_type = change
    else:
        model.functions.remove(function)
    message = rf"op adderhw::AdderConv: found {found} function in a model of opset \[20\], expected its function"
    with pytest.raises(ModelError, match=message):
        read_float_graph(model)


def test_a_weight_that_the_network_computes_is_named_before_any_search():
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["y"], "product"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(
        ModelError, match=r"node 'product' .*found weight 'x' computed by the graph, expected a constant"
    ):
        read_float_graph(proto)
