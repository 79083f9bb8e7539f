"""Constants of few signed digits: how they are counted, in what a product by them costs, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from adderhw.cost.events import PaperCount
from adderhw.errors import ModelError
from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.onnx_reader import graph_of
from adderhw.ops.base import Node
from adderhw.ops.realisation import signed_digit_counts, signed_digits
from adderhw.tensor import integer_tensor
from export.writer import model_of
from tests import naive

U8 = Format(8, False)


@given(value=st.integers(-(1 << 62), 1 << 62))
def test_the_digits_are_those_of_the_non_adjacent_form(value):
    digits = naive.signed_digits(value)
    assert sum(sign << power for sign, power in digits) == value
    assert all(high - low >= 2 for (_, low), (_, high) in pairwise(digits))
    assert signed_digits(value) == len(digits)


def test_every_constant_is_counted_with_its_digits():
    assert signed_digit_counts(np.array([[0, 7], [-7, 7]])) == {-7: (2, 1), 0: (0, 1), 7: (2, 2)}


def linear(weight, realisation, zero=0):
    """A graph of one MatMulInteger of uint8 activations, 0 to 255."""
    x = integer_tensor("x", (None, len(weight)), np.uint8, U8.min, U8.max)
    attributes = {"output_dtype": TensorProto.INT32, "realisation": realisation}
    node = Node("MatMulInteger", "linear", ("x", "w", "x_zero", "w_zero"), "s", attributes)
    parameters = {"w": np.array(weight, np.int8), "x_zero": np.uint8(0), "w_zero": np.int8(zero)}
    parameters = {name: np.asarray(value) for name, value in parameters.items()}
    return Graph("one", (x,), ("s",), (node,), parameters, {})


def test_a_constant_product_costs_a_shift_and_an_add_a_digit_and_a_zero_costs_nothing():
    (work,) = linear([[0, 1], [7, -64], [85, 0]], "shift_add:4").work()
    # 7 = 8 − 1 and 85 = 64 + 16 + 4 + 1; products from 255·(−64) to 255·85 need 16 bits, sums up to 255·92 too.
    assert {str(event): count for event, count in work.events.items()} == {"shift:16": 8, "add:16": 8}
    assert work.taps == 6
    assert work.paper == PaperCount(mul=6, add=6)


def test_products_and_sums_have_their_own_widths():
    (work,) = linear([[3], [3], [3]], "shift_add:2").work()
    # Products up to 765 need 10 bits, the sum of three up to 2295 needs 12.
    assert {str(event): count for event, count in work.events.items()} == {"shift:10": 6, "add:10": 3, "add:12": 3}


def test_the_digits_are_those_of_the_weight_less_its_zero_point():
    (work,) = linear([[10]], "shift", zero=2).work()
    assert {event.kind: count for event, count in work.events.items()} == {"shift": 1, "add": 1}


def test_weights_of_zero_alone_are_no_hardware():
    (work,) = linear([[0], [0]], "shift").work()
    assert not work.events


@pytest.mark.parametrize(
    ("realisation", "words"),
    [
        ("shift_add:3", "found a weight with 4 signed digits, expected at most 3 for realisation shift_add"),
        ("shift", "found a weight with 4 signed digits, expected at most 1 for realisation shift"),
        ("shift_add", "found realisation 'shift_add', expected 'multiplier', 'shift' or 'shift_add:K'"),
        ("shift_add:0", "found realisation 'shift_add:0'"),
        ("shift_add:²", "found realisation 'shift_add:²'"),
    ],
)
def test_a_realisation_that_the_weights_break_names_the_node(realisation, words):
    with pytest.raises(ModelError) as error:
        linear([[85]], realisation)
    assert "node 'linear' (MatMulInteger)" in str(error.value)
    assert words in str(error.value)


def test_the_realisation_survives_the_file():
    graph = graph_of(model_of(linear([[85]], "shift_add:4")), "again")
    assert graph.nodes[0].attributes["realisation"] == "shift_add:4"
