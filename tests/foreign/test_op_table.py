"""docs/foreign-ops.md is made of the registry; every attribute in it is honoured as ONNX says or refused by name."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from adderhw.foreign.exact import exact_network
from adderhw.foreign.exact.registry import RULES
from adderhw.foreign.exact.rules import ANY
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.integers import InexactError
from tests.foreign.models import model_of, one_op
from tests.foreign.op_table import attributes_of, table

PAGE = Path(__file__).parents[2] / "docs" / "foreign-ops.md"
ENTRIES = [(*key, name, value) for key, rule in RULES.items() for name, value in rule.attributes.items()]
HONOURED = sorted((domain, op, name) for domain, op, name, value in ENTRIES if value is ANY)
NEUTRAL = [entry for entry in ENTRIES if entry[3] is not ANY]
KERNEL = np.arange(-8, 8, dtype=np.int8).reshape(2, 2, 2, 2)
GROUPS = np.arange(-8, 8, dtype=np.int8).reshape(4, 1, 2, 2)
SQUARE = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
IMAGE, ROW = (2, 4, 6), (4,)


def ints(*values):
    return np.array(values, np.int64)


def test_the_page_is_what_the_registry_says():
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8"), "python -m tests.foreign.op_table"


@pytest.mark.parametrize(("domain", "op", "name", "taken"), NEUTRAL)
def test_a_value_that_is_not_taken_is_refused_by_name(domain, op, name, taken):
    node = foreign_graph(one_op("Relu", ["N", 2]), "m").nodes[0]
    other = {"str": "other", "int": 77, "float": 7.5}[type(taken[0]).__name__]
    assert_named(RULES[domain, op], node._replace(op=op, domain=domain, attributes={name: other}), name)


@pytest.mark.parametrize(("domain", "op"), sorted(RULES))
def test_an_attribute_of_onnx_that_is_not_in_the_table_is_refused_by_name(domain, op):
    rule = RULES[domain, op]
    node = foreign_graph(one_op("Relu", ["N", 2]), "m").nodes[0]
    for name in {*attributes_of(domain, op), "invented"} - rule.attributes.keys():
        assert_named(rule, node._replace(op=op, domain=domain, attributes={name: 1}), name)


def assert_named(rule, node, name):
    class Refusing:
        def refuse(self, node, why):
            raise InexactError(f"node {node.name!r} ({node.op}) {why}")

    with pytest.raises(InexactError, match=rf"node 'n' \({node.op}\) has attribute {name} = "):
        rule.check(node, Refusing())


def network(op, inputs, attributes, *, domain="", opset=19, size=IMAGE, outputs=1, end="QuantizeLinear", kind=None):
    """x → its codes q and their float values d → the node 'n' → codes y.

    inputs: 'd', 'q', 'x', '', arrays, or (codes, scales, axis) that are dequantised.
    """
    scale, zero = np.float32(0.25), np.uint8(120)
    constants, names = {"s": scale, "z": zero}, []
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "enter"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "codes"),
    ]
    for i, given in enumerate(inputs):
        names.append(given if isinstance(given, str) else f"k{i}")
        if isinstance(given, tuple):
            codes, scales, axis = given
            constants |= {f"c{i}": codes, f"s{i}": scales}
            named = {} if axis is None else {"axis": axis}
            nodes.append(helper.make_node("DequantizeLinear", [f"c{i}", f"s{i}"], [f"k{i}"], f"real{i}", **named))
        elif not isinstance(given, str):
            constants[f"k{i}"] = given
    made = [f"t{i}" for i in range(outputs)]
    nodes.append(helper.make_node(op, names, made, "n", domain=domain, **attributes))
    if end:
        nodes.append(helper.make_node(end, ["t0", "s", "z"], ["y"], "leave"))
    entering = kind or TensorProto.FLOAT
    if kind:
        nodes = nodes[2:]
    leaving = TensorProto.UINT8 if not end or end == "QuantizeLinear" else TensorProto.FLOAT
    return model_of(
        nodes, {"x": ["N", *size]}, {"y" if end else "t0": None}, constants, dtype=entering, out_dtype=leaving,
        opset=opset, ir=10,
    )  # fmt: skip


def moved(op, *inputs, opset=19, outputs=1, domain="", size=IMAGE, **attributes):
    return network(op, ["d", *inputs], attributes, opset=opset, outputs=outputs, domain=domain, size=size)


def layer(op, *inputs, size=IMAGE, **attributes):
    return network(op, ["d", *inputs], attributes, size=size)


def codes(op, *inputs, opset, **attributes):
    """The node on codes that the network is fed."""
    return network(op, ["x", *inputs], attributes, opset=opset, end=None, kind=TensorProto.UINT8)


def linear(op, weight, *, size=IMAGE, domain="", **attributes):
    """A QLinear op on the codes q, of scales that are powers of two."""
    zero, weights_zero = np.uint8(120), np.int8(0)
    inputs = ["q", "s", "z", weight, np.float32(0.125), weights_zero]
    inputs += ["", np.float32(0.5), zero] if op == "QGemm" else [np.float32(0.5), zero]
    return network(op, inputs, attributes, size=size, domain=domain, end="DequantizeLinear")


WINDOWS = {
    "kernel_shape": [2, 2],
    "strides": [2, 1],
    "pads": [1, 0, 0, 1],
    "dilations": [1, 2],
    "auto_pad": "SAME_LOWER",
}
RESIZED = ("Resize", "", np.float32([1, 1, 1.5, 0.5]))
SCALES = (np.float32([0.5, 0.125, 0.25, 1]), np.float32([0.5, 0.25]))
EXAMPLES = {
    **{("", "Conv", name): layer("Conv", (KERNEL, SCALES[1], 0), **{name: value}) for name, value in WINDOWS.items()},
    ("", "Conv", "group"): layer("Conv", (GROUPS, SCALES[0], 0), group=2),
    **{("", "QLinearConv", name): linear("QLinearConv", KERNEL, **{name: value}) for name, value in WINDOWS.items()},
    ("", "QLinearConv", "group"): linear("QLinearConv", GROUPS, group=2),
    **{
        ("", "MaxPool", name): moved("MaxPool", **{"kernel_shape": [2, 2], name: value})
        for name, value in WINDOWS.items()
    },
    ("", "Gemm", "transB"): layer("Gemm", (SQUARE, SCALES[0], 0), size=ROW, transB=1),
    ("", "DequantizeLinear", "axis"): layer("MatMul", (SQUARE, SCALES[0], -1), size=ROW),
    ("", "QuantizeLinear", "axis"): network("QuantizeLinear", ["d", "s", "z"], {"axis": -1}, end="DequantizeLinear"),
    ("", "QuantizeLinear", "saturate"): network(
        "QuantizeLinear", ["d", "s", "z"], {"saturate": 0}, end="DequantizeLinear"
    ),
    ("", "QuantizeLinear", "output_dtype"): network(
        "QuantizeLinear", ["d", "s"], {"output_dtype": TensorProto.UINT8}, opset=21, end="DequantizeLinear"
    ),
    ("", "Concat", "axis"): moved("Concat", "d", axis=-2),
    ("", "DepthToSpace", "blocksize"): moved("DepthToSpace", size=(8, 2, 3), blocksize=2),
    ("", "DepthToSpace", "mode"): moved("DepthToSpace", size=(8, 2, 3), blocksize=2, mode="CRD"),
    ("", "Dropout", "ratio"): moved("Dropout", opset=11, ratio=0.75),
    ("", "Dropout", "seed"): moved("Dropout", seed=3),
    ("", "Flatten", "axis"): moved("Flatten", axis=-3),
    ("", "Gather", "axis"): moved("Gather", ints(2, 0, -1), axis=-2),
    ("", "Pad", "mode"): moved("Pad", ints(0, 0, 1, 2, 0, 0, 0, 1), mode="reflect"),
    ("", "Pad", "pads"): moved("Pad", opset=10, pads=[0, 0, 1, 0, 0, 0, 0, 2]),
    ("", "Pad", "value"): moved("Pad", opset=10, pads=[0, 0, 1, 0, 0, 0, 0, 2], value=1.5),
    ("", "Reshape", "allowzero"): moved("Reshape", ints(-1, 8, 6), allowzero=1),
    ("", "Resize", "nearest_mode"): moved(*RESIZED, nearest_mode="ceil"),
    ("", "Resize", "axes"): moved("Resize", "", np.float32([2]), axes=[3]),
    ("", "Resize", "exclude_outside"): moved(*RESIZED, exclude_outside=0),
    ("", "Resize", "cubic_coeff_a"): moved(*RESIZED, cubic_coeff_a=-0.5),
    ("", "Slice", "starts"): codes("Slice", opset=9, starts=[1], ends=[3], axes=[3]),
    ("", "Slice", "ends"): codes("Slice", opset=9, starts=[0, 0, 1], ends=[9, 9, -1]),
    ("", "Slice", "axes"): codes("Slice", opset=9, starts=[0, 1], ends=[1, 3], axes=[1, 3]),
    ("", "SpaceToDepth", "blocksize"): moved("SpaceToDepth", blocksize=2),
    ("", "Split", "axis"): moved("Split", outputs=2, axis=-2, num_outputs=2),
    ("", "Split", "split"): moved("Split", opset=12, outputs=2, axis=3, split=[1, 5]),
    ("", "Split", "num_outputs"): moved("Split", outputs=4, axis=3, num_outputs=4),
    ("", "Squeeze", "axes"): moved("Squeeze", opset=12, size=(1, 4, 6), axes=[1]),
    ("", "Transpose", "perm"): moved("Transpose", perm=[0, 3, 1, 2]),
    ("", "Unsqueeze", "axes"): moved("Unsqueeze", opset=12, axes=[2]),
    ("", "Upsample", "scales"): codes("Upsample", opset=8, scales=[1.0, 1.0, 2.0, 3.0]),
    ("com.microsoft", "QGemm", "transB"): linear("QGemm", SQUARE, size=ROW, domain="com.microsoft", transB=1),
    ("com.microsoft", "QuantizeLinear", "axis"): moved("Identity"),
    ("com.microsoft", "DequantizeLinear", "axis"): moved("Identity"),
}


def by_another_implementation(proto, x):
    """Of ONNX itself; where it has none, of the versions before 19 and of onnxruntime's ops, of onnxruntime."""
    if proto.opset_import[0].version >= 19 and not any(node.domain for node in proto.graph.node):
        return ReferenceEvaluator(proto).run(None, {"x": x})[0]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("entry", HONOURED, ids=lambda entry: ".".join(filter(None, entry)))
def test_an_attribute_that_is_honoured_decides_the_integers_as_onnx_says(entry):
    proto = EXAMPLES[entry]
    rng, sizes = (
        np.random.default_rng(8),
        [dim.dim_value or 3 for dim in proto.graph.input[0].type.tensor_type.shape.dim],
    )
    x = rng.integers(0, 256, sizes).astype(np.uint8)
    if proto.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT:
        x = (x.astype(np.float32) - 120) / 4
    network = exact_network(foreign_graph(proto, "m"), 1)
    found, expected = network.run({"x": x})[network.outputs[0]], by_another_implementation(proto, x)
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


def test_images_that_are_moved_before_they_are_quantised_are_known():
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["t", "p", "v"], ["u"], "pad"),
        helper.make_node("QuantizeLinear", ["u", "s", "z"], ["y"], "enter"),
    ]
    constants = {"p": ints(0, 0, 1, 0, 0, 0, 0, 1), "v": np.float32(0.3), "s": np.float32(0.1), "z": np.uint8(7)}
    proto = model_of(nodes, {"x": ["N", 4, 4, 3]}, {"y": None}, constants, out_dtype=TensorProto.UINT8, opset=19, ir=10)
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 3)).astype(np.float32)
    network = exact_network(foreign_graph(proto, "m"), 1)
    assert np.array_equal(network.run({"x": x})["y"], ReferenceEvaluator(proto).run(None, {"x": x})[0])
