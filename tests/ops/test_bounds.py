"""The exact bounds of sums: no input exceeds them in any channel, and an input made for it reaches them."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from adderhw.errors import ModelError
from adderhw.fixed import Format, storage_dtype
from adderhw.graph import Graph
from adderhw.ops.base import Node
from adderhw.plan import Plan
from adderhw.tensor import integer_tensor

SOME = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
WIDTHS = st.one_of(st.integers(2, 8), st.integers(9, 16))


def drawn_values(draw, shape, low, high, dtype):
    """Random integers in [low, high] whose ends are likely."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ends = rng.random(shape)
    values = rng.integers(low, high, shape, endpoint=True)
    return np.where(ends < 0.2, low, np.where(ends > 0.8, high, values)).astype(dtype)


def drawn_range(draw):
    """(format, low, high, zero point between them) of an activation that takes only part of its format."""
    fmt = Format(draw(WIDTHS), draw(st.booleans()))
    low = draw(st.integers(fmt.min, fmt.max))
    high = draw(st.integers(low, fmt.max))
    return fmt, low, high, draw(st.integers(low, high))


def sum_code(op, fmt):
    """INT64 where products of so many bits may need it."""
    return TensorProto.INT64 if op in ("ConvInteger", "MatMulInteger") and fmt.bits > 8 else TensorProto.INT32


def one(op, low, high, fmt, shape, parameters, attributes):
    """The Graph of one node on x (N, *shape), integers from low to high in the storage of `fmt`."""
    x = integer_tensor("x", (None, *shape), fmt.dtype, low, high)
    node = Node(op, "node", ("x", *parameters), "s", attributes)
    return Graph("one", (x,), ("s",), (node,), parameters, {"x": fmt})


def assert_within(graph, arrays):
    """Runs the graph; every integer lies between its channel's bounds. Returns the output."""
    s, tensor = Plan(graph).run(arrays)["s"], graph.tensors["s"]
    shape = (-1, *[1] * (s.ndim - 2))
    low, high = (np.broadcast_to(end, s.shape[1:2]).reshape(shape) for end in (tensor.low, tensor.high))
    assert (s >= low).all()
    assert (s <= high).all()
    return s


@st.composite
def convolutions(draw, op, inside):
    """(graph, images, first window in the image); inside: the zero point lies in the input's range, or pads nothing."""
    fmt, low, high, zero = drawn_range(draw)
    unpadded = inside and draw(st.booleans())
    zero = zero if inside and not unpadded else draw(st.integers(fmt.min, fmt.max))
    group, strides, dilations, kernel = (
        draw(st.integers(1, 2)),
        *draw(st.tuples(*[st.tuples(*[st.integers(1, 3)] * 2)] * 3)),
    )
    pads = (0, 0, 0, 0) if unpadded else draw(st.tuples(*[st.integers(0, 3)] * 4))
    # The window at output position ⌈pad/stride⌉ is the first that begins inside the image; it must end there too.
    first = [-(-pads[d] // strides[d]) for d in (0, 1)]
    starts = [first[d] * strides[d] - pads[d] for d in (0, 1)]
    image = [starts[d] + dilations[d] * (kernel[d] - 1) + 1 + draw(st.integers(0, 2)) for d in (0, 1)]
    shape = (group * draw(st.integers(1, 3)), *image)
    w_shape = (group * draw(st.integers(1, 3)), shape[0] // group, *kernel)
    attributes = {
        "kernel_shape": kernel, "strides": strides, "pads": pads, "dilations": dilations, "group": group,
        "output_dtype": sum_code(op, fmt),
    }  # fmt: skip
    parameters = {"w": drawn_values(draw, w_shape, fmt.min, fmt.max, fmt.dtype), "zero": np.asarray(zero, fmt.dtype)}
    if op == "ConvInteger":
        w_fmt = Format(draw(st.integers(2, 16)), draw(st.booleans()))
        parameters["w"] = drawn_values(draw, w_shape, w_fmt.min, w_fmt.max, w_fmt.dtype)
        parameters["w_zero"] = np.asarray(draw(st.integers(w_fmt.min, w_fmt.max)), w_fmt.dtype)
    graph = one(op, low, high, fmt, shape, parameters, attributes)
    return graph, drawn_values(draw, (3, *shape), low, high, fmt.dtype), (first, starts)


def window_inputs(graph, x, starts, values):
    """Copies of the image x[0], one a filter, whose window at `starts` holds that filter's `values` (O, C/group, …)."""
    (node,) = graph.nodes
    outputs, channels, kernel_h, kernel_w = values.shape
    rows = starts[0] + node.attributes["dilations"][0] * np.arange(kernel_h)
    columns = starts[1] + node.attributes["dilations"][1] * np.arange(kernel_w)
    images = np.repeat(x[:1], outputs, axis=0)
    for o in range(outputs):
        group = o // (outputs // node.attributes["group"])
        taken = np.arange(group * channels, (group + 1) * channels)
        images[o][np.ix_(taken, rows, columns)] = values[o]
    return images


def assert_reached(graph, images, first, bound):
    """Image o reaches the bound of channel o in the window that was made for it."""
    s = assert_within(graph, {"x": images})
    found = [int(s[o, o, first[0], first[1]]) for o in range(len(images))]
    assert found == np.broadcast_to(bound, len(images)).tolist()


@SOME
@given(case=st.sampled_from(["AdderConvInteger", "ConvInteger"]).flatmap(lambda op: convolutions(op, inside=False)))
def test_no_convolution_exceeds_its_bound_wherever_its_padding_lies(case):
    graph, x, _ = case
    assert_within(graph, {"x": x})


@SOME
@given(case=convolutions("AdderConvInteger", inside=True))
def test_an_adder_convolution_reaches_its_bound_in_every_channel(case):
    graph, x, (first, starts) = case
    w, tensor = graph.parameters["w"].astype(np.int64), graph.tensors["x"]
    farther = np.where(w - tensor.lowest >= tensor.highest - w, tensor.lowest, tensor.highest)
    farther = np.where(w < tensor.lowest, tensor.highest, np.where(w > tensor.highest, tensor.lowest, farther))
    assert_reached(graph, window_inputs(graph, x, starts, farther), first, graph.tensors["s"].high)
    nearest = np.clip(w, tensor.lowest, tensor.highest)
    if (nearest == w).all():
        assert_reached(graph, window_inputs(graph, x, starts, nearest), first, graph.tensors["s"].low)


@SOME
@given(case=convolutions("ConvInteger", inside=True))
def test_a_convolution_reaches_both_bounds_in_every_channel(case):
    graph, x, (first, starts) = case
    w, tensor = graph.parameters["w"].astype(np.int64) - int(graph.parameters["w_zero"]), graph.tensors["x"]
    largest = np.where(w > 0, tensor.highest, tensor.lowest)
    smallest = np.where(w > 0, tensor.lowest, tensor.highest)
    assert_reached(graph, window_inputs(graph, x, starts, largest), first, graph.tensors["s"].high)
    assert_reached(graph, window_inputs(graph, x, starts, smallest), first, graph.tensors["s"].low)


@st.composite
def gemms(draw, op):
    """(graph, inputs (3, K)) of a fully connected layer; a zero point lies in the input's range."""
    fmt, low, high, zero = drawn_range(draw)
    size, outputs = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    if op == "AdderGemmInteger":
        parameters = {"w": drawn_values(draw, (outputs, size), fmt.min, fmt.max, fmt.dtype)}
    else:
        w_fmt = Format(draw(st.integers(2, 16)), True)
        w = drawn_values(draw, (size, outputs), w_fmt.min, w_fmt.max, w_fmt.dtype)
        w_zero = np.asarray(draw(st.integers(w_fmt.min, w_fmt.max)), w_fmt.dtype)
        parameters = {"w": w, "zero": np.asarray(zero, fmt.dtype), "w_zero": w_zero}
    graph = one(op, low, high, fmt, (size,), parameters, {"output_dtype": sum_code(op, fmt)})
    return graph, drawn_values(draw, (3, size), low, high, fmt.dtype)


def assert_diagonal(graph, x, dtype, bound):
    """Row o of x (O, K) reaches the bound of output o."""
    s = assert_within(graph, {"x": x.astype(dtype)})
    assert np.diagonal(s).tolist() == np.broadcast_to(bound, len(s)).tolist()


@SOME
@given(case=gemms("AdderGemmInteger"))
def test_an_adder_gemm_keeps_and_reaches_its_bound_in_every_output(case):
    graph, x = case
    assert_within(graph, {"x": x})
    w, tensor = graph.parameters["w"].astype(np.int64), graph.tensors["x"]
    ends = np.array([tensor.lowest, tensor.highest])
    farther = ends[np.abs(w[..., None] - ends).argmax(axis=-1)]
    assert_diagonal(graph, farther, x.dtype, graph.tensors["s"].high)


@SOME
@given(case=gemms("MatMulInteger"))
def test_a_matrix_product_keeps_and_reaches_both_bounds_in_every_output(case):
    graph, x = case
    assert_within(graph, {"x": x})
    w, tensor = graph.parameters["w"].T.astype(np.int64) - int(graph.parameters["w_zero"]), graph.tensors["x"]
    assert_diagonal(graph, np.where(w > 0, tensor.highest, tensor.lowest), x.dtype, graph.tensors["s"].high)
    assert_diagonal(graph, np.where(w > 0, tensor.lowest, tensor.highest), x.dtype, graph.tensors["s"].low)


@SOME
@given(data=st.data())
def test_a_sum_pool_keeps_and_reaches_both_bounds(data):
    fmt, low, high, _ = drawn_range(data.draw)
    kernel, strides = data.draw(st.tuples(*[st.tuples(*[st.integers(1, 4)] * 2)] * 2))
    shape = (data.draw(st.integers(1, 4)), *(size + data.draw(st.integers(0, 3)) for size in kernel))
    attributes = {"kernel_shape": kernel, "strides": strides, "output_dtype": TensorProto.INT32}
    graph = one("SumPool", low, high, fmt, shape, {}, attributes)
    assert_within(graph, {"x": drawn_values(data.draw, (2, *shape), low, high, fmt.dtype)})
    for end, bound in ((low, graph.tensors["s"].lowest), (high, graph.tensors["s"].highest)):
        assert (assert_within(graph, {"x": np.full((1, *shape), end, fmt.dtype)}) == bound).all()


@SOME
@given(data=st.data())
def test_a_residual_sum_keeps_and_reaches_both_bounds(data):
    ranges = [data.draw(st.tuples(*[st.integers(-(1 << 14), (1 << 14) - 1)] * 2).map(sorted)) for _ in range(2)]
    shape = (data.draw(st.integers(1, 3)), 2, 2)
    inputs, nodes, arrays = [], [], {}
    for name, (low, high) in zip("ab", ranges, strict=True):
        dtype = storage_dtype(min(low, -129), high)
        inputs.append(integer_tensor(name, (None, *shape), dtype, low, high))
        arrays[name] = drawn_values(data.draw, (2, *shape), low, high, dtype)
        clip = {"qmin": low, "qmax": high, "output_dtype": TensorProto.INT32}
        nodes.append(Node("Requantize", f"wide_{name}", (name, "m", "c", "n"), f"{name}_32", clip))
    constants = {"m": np.asarray(1, np.int64), "c": np.asarray(0, np.int64), "n": np.asarray(0, np.int64)}
    graph = Graph("sum", tuple(inputs), ("s",), (*nodes, Node("Add", "add", ("a_32", "b_32"), "s")), constants)
    assert_within(graph, arrays)
    for end, bound in ((0, graph.tensors["s"].lowest), (1, graph.tensors["s"].highest)):
        ends = {name: np.full_like(arrays[name][:1], span[end]) for name, span in zip("ab", ranges, strict=True)}
        assert (assert_within(graph, ends) == bound).all()


@pytest.mark.parametrize(("constant", "fits"), [((1 << 61) - 1 - 255, True), ((1 << 61) - 255, False)])
def test_a_requantisation_whose_product_may_overflow_is_refused(constant, fits):
    parameters = {"m": np.asarray(1), "c": np.asarray(constant), "n": np.asarray(0)}
    attributes = {"qmin": 0, "qmax": 255, "output_dtype": TensorProto.UINT8}
    node = Node("Requantize", "norm", ("x", "m", "c", "n"), "y", attributes)
    fields = {"name": "one", "outputs": ("y",), "nodes": (node,), "parameters": parameters, "formats": {}}
    x = integer_tensor("x", (None, 2), np.dtype(np.uint8), 0, 255)
    with contextlib.nullcontext() if fits else pytest.raises(ModelError, match="overflowing product"):
        Graph(inputs=(x,), metadata={}, **fields)
