"""A foreign network layer by layer: records of its own arithmetic, or as an integer network of stated width."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.cost.operands import Operands
from adderhw.foreign.calls import Call, storage_bits
from adderhw.foreign.counts import count
from adderhw.foreign.parameters import constant_operands
from adderhw.foreign.values import CODE, FILE_RULES, FLOAT, Value, requantised, rules_at

FOLDING = {"BatchNormalization": 1, "Add": 2, "Sub": 2}  # ops that a layer of taps takes in, with their moving inputs
NORM = "BatchNormalization"
TAPS = ("Conv", "Gemm", "MatMul", "ConvInteger", "MatMulInteger")


class Layer(NamedTuple):
    """One record of the tally; of a convolution or linear layer also its geometry and the names of its constants.

    floats: the type in which such a layer multiplies floats, '' of any other. whole: whether its weights are constant
    floats that are whole numbers.
    """

    work: LayerWork
    operands: Operands | None = None
    weights: tuple[str, ...] = ()
    floats: str = ""
    whole: bool = False


def count_network(graph, bits=None):
    """[Layer] of a ForeignGraph, per image, in order.

    bits: None for the file's own arithmetic; for a float network, the width that every activation and weight would have
    as an integer, requantised behind each layer. A layer of taps is two records: its taps, and under 'NAME.output' what
    becomes of its sums (bias, rescaling); so is any other node that makes codes of its sums itself.
    Raises CostError, naming the node, for an op without a cost.
    """
    rules = FILE_RULES if bits is None else rules_at(bits)
    values = {name: _given(graph, name, bits, constant=True) for name in graph.constants}
    values |= {name: _given(graph, name, bits, constant=False) for name in graph.inputs}
    layers = []
    for node in graph.nodes:
        call = _call(graph, node, values, rules)
        counted = count(call)
        value, tally = counted.value, counted.events
        if bits is not None and value.kind not in (CODE, FLOAT) and not value.constant:
            value, more = requantised(value, bits, None, rules)
            tally = tally + (Tally() if call.folded else more)
        for name in node.outputs:
            if name:
                values[name] = value._replace(shape=graph.shapes.get(name, call.shape))
        layers += _records(node, counted, tally, call)
    return with_inner(layers)


def with_inner(layers):
    """The layers with every convolution and linear layer but the first and the last marked as one that rivals rewrite.

    Products of two activations and transposed convolutions, which have no geometry here, keep their arithmetic.
    """
    at = [i for i, layer in enumerate(layers) if layer.work.taps]
    inner = {i for i in at[1:-1] if layers[i].operands is not None}
    return [
        layer._replace(work=replace(layer.work, inner=True)) if i in inner else layer for i, layer in enumerate(layers)
    ]


def is_float(layers):
    """Whether some layer of taps multiplies floats."""
    return any(counted.kind == "fmul" for layer in layers if layer.work.taps for counted in layer.work.events)


def _call(graph, node, values, rules):
    inputs = tuple(values[name] if name else None for name in node.inputs)
    arrays = {i: graph.constants[name] for i, name in enumerate(node.inputs) if name in graph.constants}
    output = node.outputs[0]
    readers = graph.consumers(output) if node.op in TAPS else []
    merged = len(readers) == 1 and readers[0].op == NORM and output not in graph.outputs
    return Call(
        node, inputs, graph.shapes[output], graph.dtypes.get(output), arrays, rules, _folded(graph, node), merged
    )


def _folded(graph, node):
    """Whether a layer of taps right before `node`, which nothing else reads, takes in its constants."""
    moving = [name for name in node.inputs[: FOLDING.get(node.op, 0)] if name and name not in graph.constants]
    if len(moving) != 1 or moving[0] in graph.outputs or len(graph.consumers(moving[0])) > 1:
        return False
    maker = next((other for other in graph.nodes if moving[0] in other.outputs), None)
    return maker is not None and maker.op in TAPS


def _given(graph, name, bits, *, constant):
    """The Value of a constant, or of an input of the network, which the host feeds."""
    dtype = graph.dtypes.get(name, np.dtype(np.float32))
    floating = dtype.kind == "f" or "float" in str(dtype)
    if floating and bits is None:
        return Value(graph.shapes[name], FLOAT, 8 * dtype.itemsize, None, constant, not constant)
    width = bits if floating else 1 if dtype.kind in "bOSU" else storage_bits(dtype)
    return Value(graph.shapes[name], CODE, width, None, constant, not constant)


def _records(node, counted, tally, call):
    shape, taps = tuple(call.shape[1:]), counted.taps
    outputs = int(np.prod(call.shape))
    if taps is None:
        bits = max((value.bits for value in call.inputs if value is not None and not value.constant), default=0)
        work = LayerWork(node.name, node.op, "other", shape, 0, 0, outputs, bits, 0, 0, +tally, PaperCount())
        return [Layer(work)] if counted.after is None else [Layer(work), Layer(_output_of(work, counted.after))]
    kinds = ("fmul", "fadd") if taps.floating else ("mul", "add")
    widths = (taps.input_bits,) if taps.floating else (taps.input_bits, taps.weight_bits)
    events = Tally({event(kinds[0], *widths): taps.count, event(kinds[1], taps.accumulator_bits): taps.count})
    work = LayerWork(
        node.name, node.op, "mac", shape, taps.count, taps.reduction, outputs, taps.input_bits, taps.weight_bits,
        taps.accumulator_bits, events, PaperCount(mul=taps.count, add=taps.count),
    )  # fmt: skip
    floats = str(call.dtype or "floats") if taps.floating else ""
    whole = bool(floats) and _whole(call.arrays.get(1))
    weights = constant_operands(node, call.inputs)
    return [Layer(work, taps.operands, weights, floats, whole), Layer(_output_of(work, tally))]


def _whole(weight):
    """Whether a constant weight (None: it is none) holds whole numbers alone, as integer networks in floats do."""
    if weight is None or not weight.size:
        return False
    values = np.asarray(weight, np.float64)
    return bool(np.all(values == np.rint(values)))


def _output_of(work, tally):
    """The record of what becomes of a node's sums."""
    return LayerWork(
        f"{work.name}.output", "Requantize", "other", work.output_shape, 0, 0, work.outputs, work.accumulator_bits,
        0, 0, +tally, PaperCount(),
    )  # fmt: skip
