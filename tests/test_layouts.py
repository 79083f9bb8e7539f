"""Real numbers inside a network lie in memory otherwise than those that enter it; their order never shows."""

import numpy as np
import pytest

from adderhw.errors import ModelError
from adderhw.graph import Graph
from adderhw.layouts import channels_first, channels_last, channels_last_shape
from adderhw.ops import BY_NAME
from adderhw.ops.base import Node
from adderhw.plan import Plan
from adderhw.tensor import Tensor, integer_tensor

CONSTANTS = {
    "scale": np.float32(1), "zero": np.uint8(0), "flat": np.array([0, -1]), "turned": np.array([0, 4, 1, 2]),
}  # fmt: skip
REAL, WHOLE = Tensor("x", (None, 2, 2, 2), np.dtype(np.float32)), integer_tensor("x", (None, 2, 2, 2), np.uint8, 0, 255)


def quantize(x, y):
    return Node("QuantizeLinear", f"{y} node", (x, "scale", "zero"), y)


def dequantize(x, y):
    return Node("DequantizeLinear", f"{y} node", (x, "scale", "zero"), y)


def reshape(x, y, shape):
    return Node("Reshape", f"{y} node", (x, shape), y)


NETWORKS = {
    "in, out and in again": (REAL, [quantize("x", "a"), dequantize("a", "b"), quantize("b", "y")]),
    "out and in again": (WHOLE, [dequantize("x", "a"), quantize("a", "y")]),
    "out": (WHOLE, [dequantize("x", "y")]),
    "a real image flattened": (REAL, [Node("Flatten", "f", ("x",), "a"), quantize("a", "y")]),
    "a real image reshaped": (REAL, [reshape("x", "a", "flat"), quantize("a", "y")]),
    "a real image in another shape of rank 4": (REAL, [reshape("x", "a", "turned"), quantize("a", "y")]),
    "real numbers flattened inside": (WHOLE, [dequantize("x", "a"), reshape("a", "b", "flat"), quantize("b", "y")]),
    "real numbers reshaped inside": (WHOLE, [dequantize("x", "a"), reshape("a", "b", "turned"), quantize("b", "y")]),
    "flat real numbers as an image": (
        REAL, [reshape("x", "a", "flat"), reshape("a", "b", "turned"), quantize("b", "y")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("keep_all", [False, True])
@pytest.mark.parametrize(("entry", "nodes"), NETWORKS.values(), ids=NETWORKS)
def test_an_identity_network_gives_its_images_back_in_order(entry, nodes, keep_all):
    graph = Graph("identity", (entry,), ("y",), nodes, CONSTANTS)
    x = np.arange(0, 48, 2).reshape(3, 2, 2, 2).astype(entry.dtype)
    assert Plan(graph, keep_all=keep_all).run({"x": x})["y"].ravel().tolist() == list(range(0, 48, 2))


def test_an_op_that_cannot_read_images_as_they_enter_is_refused_when_planned(monkeypatch):
    monkeypatch.setattr(type(BY_NAME["Flatten"]), "reads_planar", False)
    graph = Graph("planar", (REAL,), ("a",), [Node("Flatten", "f", ("x",), "a")], CONSTANTS)
    with pytest.raises(ModelError, match=r"node 'f' \(Flatten\): found input 'x' in memory as \(N, C, H, W\)"):
        Plan(graph)


def test_layouts_turn_rank_4_only():
    image, row = np.arange(24).reshape(1, 2, 3, 4), np.arange(4).reshape(2, 2)
    assert channels_last(image).shape == (1, 3, 4, 2)
    assert (channels_first(channels_last(image)) == image).all()
    assert channels_last(row) is row
    assert channels_first(row) is row
    assert channels_last_shape((2, 3, 4)) == (3, 4, 2)
    assert channels_last_shape((5,)) == (5,)
