"""Attributes that a call leaves out have the default of the function, however deep it lies."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from adderhw.foreign.exact import exact_network
from adderhw.foreign.functions import inlined
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.network import count_network

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("lib", 1)]


def referring(node, **names):
    """The node with attributes that refer to those of the function it stands in: name=(outer name, type)."""
    for name, (outer, kind) in names.items():
        attribute = node.attribute.add()
        attribute.name, attribute.ref_attr_name, attribute.type = name, outer, kind
    return node


def convolution():
    """Conv2(x, w): a Conv of stride 2 and pads 1 unless told otherwise."""
    body = referring(
        helper.make_node("Conv", ["x", "w"], ["y"]),
        strides=("strides", AttributeProto.INTS), pads=("pads", AttributeProto.INTS),
    )  # fmt: skip
    defaults = [helper.make_attribute("strides", [2, 2]), helper.make_attribute("pads", [1] * 4)]
    return helper.make_function("lib", "Conv2", ["x", "w"], ["y"], [body], OPSETS[:1], attribute_protos=defaults)


def block(**told):
    """Block(x, w): Conv2, which it hands its attribute `step` on as strides, 3 by default."""
    call = referring(
        helper.make_node("Conv2", ["x", "w"], ["y"], domain="lib", **told), strides=("step", AttributeProto.INTS)
    )
    defaults = [helper.make_attribute("step", [3, 3])]
    return helper.make_function("lib", "Block", ["x", "w"], ["y"], [call], OPSETS, attribute_protos=defaults)


def model(call, functions):
    """x → call(x, w) → y."""
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        [call], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weights],
    )  # fmt: skip
    return helper.make_model(graph, functions=functions, opset_imports=OPSETS, ir_version=8)


CALLS = {
    "defaults": (helper.make_node("Conv2", ["x", "w"], ["y"], "n", domain="lib"), [convolution()]),
    "one told": (helper.make_node("Conv2", ["x", "w"], ["y"], "n", domain="lib", strides=[1, 2]), [convolution()]),
    "nested": (helper.make_node("Block", ["x", "w"], ["y"], "n", domain="lib"), [convolution(), block()]),
    "nested, told outside": (
        helper.make_node("Block", ["x", "w"], ["y"], "n", domain="lib", step=[1, 1]), [convolution(), block()],
    ),
    "nested, told inside": (
        helper.make_node("Block", ["x", "w"], ["y"], "n", domain="lib"), [convolution(), block(pads=[0, 1, 0, 1])],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "functions"), CALLS.values(), ids=CALLS)
def test_taps_and_shapes_are_those_of_onnxruntime(call, functions):
    proto = model(call, functions)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": np.zeros((1, 3, 8, 8), np.float32)})
    graph = foreign_graph(proto, "m")
    assert graph.shapes["y"] == expected.shape
    assert sum(layer.work.taps for layer in count_network(graph)) == expected[0].size * 27
    assert not inlined(proto).functions


def test_integers_are_those_of_onnxruntime():
    """A QuantizeLinear and back inside a function, whose output_dtype is a default of the function."""
    quantise = referring(
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]), output_dtype=("kind", AttributeProto.INT)
    )
    nodes = [quantise, helper.make_node("DequantizeLinear", ["q", "s"], ["y"])]
    function = helper.make_function(
        "lib", "Grid", ["x", "s"], ["y"], nodes, [helper.make_opsetid("", 21)],
        attribute_protos=[helper.make_attribute("kind", TensorProto.INT8)],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Grid", ["x", "s"], ["y"], domain="lib")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 9])],
        [numpy_helper.from_array(np.float32(0.5), "s")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("lib", 1)]
    proto = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(proto)
    x = np.linspace(-70, 70, 9, dtype=np.float32)[None]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = exact_network(foreign_graph(proto, "m"), 1).run({"x": x})["y"]
    assert found.min() == -64
    assert np.array_equal(found, session.run(None, {"x": x})[0])
