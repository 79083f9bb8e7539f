"""An op computes on what depends on the image; a parameter in that place is refused with the node's name."""

import numpy as np
import pytest

from adderhw.errors import ModelError
from adderhw.graph import Graph
from adderhw.ops import OPS
from adderhw.ops.base import Node
from adderhw.tensor import integer_tensor

ANY = {"int": 1, "ints": (1, 1), "string": "multiplier"}
PLACES = [(op, 0) for op in OPS] + [(op, 1) for op in OPS if op.activations is None]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4, 4)], ids=str)
@pytest.mark.parametrize(("op", "place"), PLACES, ids=lambda value: getattr(value, "name", value))
def test_a_parameter_in_place_of_an_activation_is_refused(op, place, shape):
    attributes = {name: ANY[attribute.kind] for name, attribute in op.attributes.items()}
    inputs = ["x"] * max(len(op.inputs), place + 1)
    inputs[place] = "k"
    node = Node(op.name, "first", inputs, "y", attributes)
    x = integer_tensor("x", (None, 3, 4, 4), np.uint8, 0, 255)
    with pytest.raises(ModelError) as error:
        Graph("g", (x,), ("y",), (node,), {"k": np.ones(shape, np.uint8)}, {})
    assert str(error.value) == f"node 'first' ({op.name}): found a constant input 'k', expected an activation"


def test_only_sums_and_concatenations_take_more_than_one_activation():
    assert {op.name for op in OPS if op.activations != 1} == {"Add", "Concat"}
