"""What lies in memory between the layers of an integer network, by hand."""

import numpy as np
import pytest
from onnx import TensorProto

from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.onnx_reader import read_graph
from adderhw.ops.base import Node
from adderhw.simulation import SHIPPED_MODEL
from adderhw.tensor import integer_tensor
from quant import Settings, quantise
from tests.quant.networks import adder_network, images

GROUPS = [f"second_adder_node_group{number}" for number in (1, 2, 3, 4)]
REGRIDDED = [f"{name}_relu_node_requantize_{number}" for name in ("first_bn", "residual") for number in (2, 3, 4)]


def stored(graph):
    """{name: (input_bits, stored_bits)} of the additions and of whatever has stored_bits."""
    works = graph.work()
    return {w.name: (w.input_bits, w.stored_bits) for w in works if w.op == "Add" or w.stored_bits}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # The branch of two layers is made before the shortcut's and is stored for the addition alone; the identity is
        # the third layer's input, on its grid.
        ({}, {"second_adder_node": (8, 13), "residual_node": (0, 13), "identity_residual_node": (8, 0)}),
        ({"bits": 3}, {"second_adder_node": (3, 8), "residual_node": (0, 8), "identity_residual_node": (3, 0)}),
        (
            {"wide_residuals": True},  # the identity is stored beside that input, at its own 12 bits
            {
                "second_adder_node": (8, 13), "residual_node": (0, 13),
                "residual_relu_node_guard": (0, 12), "identity_residual_node": (0, 12),
            },
        ),
        (
            {"filter_groups": 4},  # four parts of one layer, whose input has four grids; the identity is the first one
            {
                **dict.fromkeys(GROUPS, (8, 13)), **dict.fromkeys(REGRIDDED, (0, 8)),
                "residual_node": (0, 13), "identity_residual_node": (8, 0),
            },
        ),
    ],
)  # fmt: skip
def test_what_a_quantised_network_stores(options, expected):
    assert stored(quantise(adder_network(), images(), Settings(**options))) == expected


def test_what_the_shipped_network_stores():
    narrow = {f"blocks.{number}.add": (8, 0) for number in (0, 1, 3)}
    wide = {"blocks.2.conv2": (8, 13), "blocks.2.add": (0, 13)}
    assert stored(read_graph(SHIPPED_MODEL)) == narrow | wide


def hand_made(*nodes):
    """A Graph on the input x, 4 bits, of the adder layers, requantisations and additions (name, inputs)."""
    x = integer_tensor("x", (None, 2, 3, 3), np.uint8, 0, 15)
    w = np.array([[3, 9], [0, 15]], np.uint8).reshape(2, 2, 1, 1)
    parameters = {"w": w, "m": np.array(1), "c": np.array(64), "n": np.array(1)}  # all of them shared
    kinds = {
        "layer": ("AdderConvInteger", ("w",), {"kernel_shape": (1, 1)}),
        "grid": ("Requantize", ("m", "c", "n"), {"qmin": 0, "qmax": 15, "output_dtype": TensorProto.UINT8}),
        "guard": ("Requantize", ("m", "c", "n"), {"qmin": -99, "qmax": 99, "output_dtype": TensorProto.INT32}),
        "add": ("Add", (), {}),
    }
    made = []
    for name, inputs in nodes:
        op, shared, attributes = kinds[name.split("_")[0]]
        made.append(Node(op, name, (*inputs, *shared), f"{name}.out", attributes))
    formats = {"x": Format(4, False), "w": Format(4, False)}
    return Graph("hand", (x,), (made[-1].output,), made, parameters, formats)


def test_an_addition_of_a_layers_bare_sums_stores_them_whole():
    graph = hand_made(("layer_a", ["x"]), ("layer_b", ["x"]), ("add", ["layer_b.out", "layer_a.out"]))
    bits = graph.tensors["layer_a.out"].format.bits
    assert bits == 5  # 2 · 15
    assert stored(graph) == {"layer_a": (4, bits), "add": (0, bits)}


def test_the_networks_input_is_requantised_when_it_is_read():
    branch = [("layer_a", ["x"]), ("guard_a", ["layer_a.out"])]
    graph = hand_made(*branch, ("guard_x", ["x"]), ("guard_y", ["x"]), ("add", ["guard_a.out", "guard_x.out"]))
    assert stored(graph) == {"add": (4, 0)}


def test_a_sum_that_only_an_addition_reads_is_stored_by_the_layer_before_it():
    graph = hand_made(
        ("layer_a", ["x"]), ("guard_a", ["layer_a.out"]), ("guard_x", ["x"]), ("add_1", ["guard_x.out", "guard_a.out"]),
        ("guard_1", ["add_1.out"]), ("layer_b", ["x"]), ("guard_b", ["layer_b.out"]),
        ("add_2", ["guard_1.out", "guard_b.out"]),
    )  # fmt: skip
    assert stored(graph) == {"add_1": (4, 0), "layer_a": (4, 8), "add_2": (0, 8)}


def test_a_grid_that_a_layer_reads_beside_the_addition_is_its_operand():
    graph = hand_made(
        ("layer_a", ["x"]), ("grid_a", ["layer_a.out"]), ("guard_a", ["grid_a.out"]), ("layer_b", ["grid_a.out"]),
        ("guard_b", ["layer_b.out"]), ("add", ["guard_a.out", "guard_b.out"]),
    )  # fmt: skip
    assert stored(graph) == {"add": (4, 0)}


def test_of_two_grids_of_one_sum_the_wider_is_stored_beside_the_other():
    graph = hand_made(
        ("layer_a", ["x"]), ("guard_a", ["layer_a.out"]), ("grid_a", ["layer_a.out"]), ("layer_b", ["grid_a.out"]),
        ("guard_b", ["layer_b.out"]), ("add", ["guard_b.out", "guard_a.out"]),
    )  # fmt: skip
    assert stored(graph) == {"guard_a": (0, 8), "add": (0, 8)}
