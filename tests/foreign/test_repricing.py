"""Topologies with other arithmetic: what --as prices equals the rival that stands beside the network."""

import io

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from rich.console import Console

import adderhw
from adderhw.errors import AdderHwError
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.repricing import float_title, priced_as, topology, whole_weights
from adderhw.graph import Graph
from adderhw.ops.base import Node
from adderhw.report.comparison import NOTHING_REWRITTEN
from adderhw.report.page import render_html
from adderhw.report.summary import print_summary
from adderhw.simulation import SHIPPED_MODEL, simulate
from adderhw.tensor import integer_tensor
from export.writer import write_graph
from tests.foreign.models import float_cnn, model_of, one_op, plain_cnn, quantised


@pytest.fixture(scope="module")
def shipped():
    return simulate(limit=1)


@pytest.mark.parametrize("name", ["cnn", "bnn"])
def test_this_toolkits_network_as_another_is_its_rival(shipped, name):
    other = simulate(SHIPPED_MODEL, arithmetic=name)
    for key in ("paper", "events", "energy_pj"):
        assert other["totals"][key] == shipped["baselines"][name][key], key
    assert other["network"]["name"] == name
    assert other["tally_only"] == "its topology is priced with other arithmetic than the file's"
    assert (other["accuracy"], other["check"], other["data"]["count"]) == (None, None, 0)


def test_this_toolkits_network_as_an_adder_network_is_itself(shipped):
    other = simulate(SHIPPED_MODEL, arithmetic="adder")
    assert other["totals"]["events"] == shipped["totals"]["events"]
    assert other["ratios"] == shipped["ratios"]


def test_a_foreign_network_as_an_adder_network_by_hand(tmp_path):
    path = quantised(plain_cnn(), tmp_path, "QDQ")
    own, other = simulate(path), simulate(path, arithmetic="adder")
    taps = {layer["name"]: layer["taps"] for layer in own["layers"] if layer["taps"]}
    assert list(taps.values()) == [6912, 972, 120]
    inner = other["layers"][[layer["name"] for layer in other["layers"]].index(list(taps)[1])]
    # 8 bits, 18 taps an output: 8 + 5 bits
    assert inner["events"] == {"add:13": 972, "sub:8": 972, "abs:9": 972}
    assert (inner["kind"], inner["cause"], inner["paper"]["add"]) == ("adder", "adder layers", 2 * 972)
    assert own["baselines"]["ann"]["events"] == other["totals"]["events"]
    assert other["baselines"]["cnn"]["events"] == own["totals"]["events"]
    assert own["ratios"] == other["ratios"]


def test_rivals_of_a_float_network_have_the_width_that_was_asked_for(tmp_path):
    import onnx

    onnx.save(float_cnn(), tmp_path / "f.onnx")
    document = simulate(tmp_path / "f.onnx", bits=4)
    assert document["network"]["title"] == "CNN, fp32"
    assert document["baselines"]["cnn"]["bits"] == {"input": [4, 4], "weight": [4, 4]}
    assert document["totals"]["events"]["fmul:32"] == 16152
    assert "mul:4" in document["baselines"]["cnn"]["events"]
    assert document["model"]["parameters"] == 4 * 27 + 4 * 36 + 20
    half = document["baselines"]["float16"]["events"]
    assert half["fmul:16"] == 16152


def test_the_bits_of_an_integer_network_are_not_asked_for(tmp_path):
    with pytest.raises(AdderHwError, match="bits: found 8 for an integer model, expected none"):
        simulate(quantised(plain_cnn(), tmp_path, "QDQ"), bits=8)


def test_memory_is_priced_for_a_foreign_network(tmp_path):
    document = simulate(quantised(float_cnn(), tmp_path, "QOperator"), accelerator="output_like")
    moved = document["memory"]["networks"]
    assert {"cnn", "ann", "bnn"} <= set(moved)
    add = next(layer for layer in document["layers"] if layer["op"] == "QLinearAdd")
    assert add["memory"]["accesses"]["dram"]["activations"]["read"] == 256
    assert add["memory"]["bits"]["dram"] == 256 * 8


def own_cnn():
    """An integer CNN as python -m quant makes one: no adder layer, a convolution between the first and the last."""
    rng = np.random.default_rng(0)
    code = lambda *shape: rng.integers(-7, 8, shape).astype(np.int8)  # noqa: E731
    constants = {"w0": code(4, 1, 3, 3), "w1": code(4, 4, 3, 3), "w2": code(16, 3), "m": np.int64(3), "c": np.int64(0)}
    constants["n"] = np.int64(8)

    def requantise(name, source):
        told = {"qmin": -128, "qmax": 127, "output_dtype": 3}
        return Node("Requantize", name, (source, "m", "c", "n"), name, told)

    nodes = [
        Node("ConvInteger", "stem", ("x", "w0"), "s0", {"kernel_shape": (3, 3)}), requantise("a0", "s0"),
        Node("ConvInteger", "inner", ("a0", "w1"), "s1", {"kernel_shape": (3, 3)}), requantise("a1", "s1"),
        Node("Flatten", "flat", ("a1",), "f", {}),
        Node("MatMulInteger", "last", ("f", "w2"), "y", {}),
    ]  # fmt: skip
    x = integer_tensor("x", (None, 1, 6, 6), np.int8, -128, 127)
    return Graph("cnn", (x,), ("y",), nodes, constants)


@pytest.mark.parametrize("arithmetic", [None, "adder", "cnn", "bnn"])
def test_a_cnn_of_this_toolkit_is_no_rival_of_itself(tmp_path, arithmetic):
    path = tmp_path / "cnn.onnx"
    write_graph(own_cnn(), path)
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 1, 6, 6), np.int8))
    data = None if arithmetic else tmp_path / "x.npz"
    document = adderhw.simulate(path, data=data, arithmetic=arithmetic, threads=1)
    assert document["network"]["name"] == {None: "cnn", "adder": "ann", "cnn": "cnn", "bnn": "bnn"}[arithmetic]
    totals = {document["network"]["name"]: document["totals"]["energy_pj"]["horowitz45"]}
    totals |= {name: rival["energy_pj"]["horowitz45"] for name, rival in document["baselines"].items()}
    assert totals["bnn"] < totals["ann"] < totals["cnn"]
    sentences = " ".join(document["comparison"]["losses"])
    assert ("The adder network" in sentences) == (arithmetic == "adder")


@pytest.mark.parametrize("count", [1, 2])
def test_a_network_of_first_and_last_layer_has_nothing_to_rewrite(count):
    nodes = [
        helper.make_node("Conv", ["x" if i == 0 else f"t{i}", "w"], ["y" if i + 1 == count else f"t{i + 1}"], f"n{i}")
        for i in range(count)
    ]
    sizes = ["N", 3, 8, 8]
    proto = model_of(nodes, {"x": sizes}, {"y": None}, {"w": np.ones((3, 3, 1, 1), np.float32)})
    layers, integer = topology(foreign_graph(proto, "m"), None)
    with pytest.raises(AdderHwError, match=rf"as: found {count} layer\(s\) with weights, of which the first and"):
        priced_as(layers, integer, "adder")


def test_a_plain_tally_says_that_nothing_is_rewritten(tmp_path):
    node = helper.make_node("Conv", ["x", "w"], ["y"], "n")
    proto = model_of([node], {"x": ["N", 3, 8, 8]}, {"y": None}, {"w": np.ones((3, 3, 1, 1), np.float32)})
    onnx.save(proto, str(tmp_path / "m.onnx"))
    document = adderhw.simulate(tmp_path / "m.onnx", threads=1)
    assert document["comparison"]["rewritten"] is False
    assert document["comparison"]["losses"] == [NOTHING_REWRITTEN]
    console = Console(file=io.StringIO(), width=200)
    print_summary(document, console)
    assert "1.00" not in console.file.getvalue()


def product(weight, out_type):
    """The layers of a product by the constant."""
    proto = one_op("MatMul", ["N", 2], constants={"w": weight})
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = out_type
    return topology(foreign_graph(proto, "m"), None)[0]


@pytest.mark.parametrize(
    ("weight_type", "out_type", "name", "title"),
    [
        (np.float32, TensorProto.FLOAT, "float32", "CNN, fp32"),
        (np.float16, TensorProto.FLOAT16, "float16", "CNN, fp16"),
        (np.float64, TensorProto.DOUBLE, "float", "CNN, float64"),
        (ml_dtypes.bfloat16, TensorProto.BFLOAT16, "float", "CNN, bfloat16"),
    ],
)
def test_a_float_network_is_called_by_its_own_type(weight_type, out_type, name, title):
    weight = np.array([[1, -3], [2, 0]], weight_type)
    assert float_title(product(weight, out_type)) == (name, title)
    assert whole_weights(product(weight, out_type))
    assert not whole_weights(product(weight + weight_type(0.5), out_type))


def test_whole_numbers_held_in_floats_are_said_so(tmp_path):
    for part, said in ((0, True), (0.5, False)):
        weight = np.array([[1, -3], [2, 0]], np.float32) + np.float32(part)
        onnx.save(one_op("MatMul", ["N", 2], constants={"w": weight}), tmp_path / "m.onnx")
        words = adderhw.simulate(tmp_path / "m.onnx")["network"]["assumptions"]
        assert ("Every weight is a whole number held in a float" in words) == said


def test_words_follow_whether_the_file_has_adder_layers_or_products(tmp_path):
    path = quantised(plain_cnn(), tmp_path, "QDQ")
    for name in ("cnn", "bnn"):
        document = simulate(path, arithmetic=name)
        for words in (document["network"], *document["baselines"].values()):
            if words is not document["baselines"].get("ann"):
                assert "|x − w| becomes" not in words["assumptions"]
                assert "adder network" not in words["assumptions"]
    assert "Each |x − w| becomes" in simulate(SHIPPED_MODEL, arithmetic="cnn")["network"]["assumptions"]
    assert (
        "whose adder layers stay as they are" in simulate(SHIPPED_MODEL, arithmetic="adder")["network"]["assumptions"]
    )


def test_the_page_of_a_cnn_calls_no_adder_network_its_own(tmp_path):
    page = render_html(simulate(quantised(plain_cnn(), tmp_path, "QDQ"), accelerator="output_like"))
    assert "CNN, this network" in page
    for words in ("ANN, this network", "An adder tap is", "the hard-wired adder network", "</i>adder layer</span>"):
        assert words not in page
    assert "ANN, this network" in render_html(simulate(SHIPPED_MODEL, arithmetic="adder"))
