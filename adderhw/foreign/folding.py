"""Computes what depends on no input of a network: by ops of a list, each with a bound on its output, and no other.

An op that is not listed is left in the network and counted or refused there: nothing that reads files, draws random
numbers or repeats a body as often as the file likes is ever run.
"""

from math import ceil, prod
from time import monotonic

import numpy as np
from onnx import TensorProto, helper

from adderhw.errors import ModelError
from adderhw.onnx_reader import ONNX_DOMAINS, name_of

MOST_ELEMENTS = 1 << 26  # that constants may hold which are computed, beside twice those that the file holds
MOST_SECONDS = 60.0


def moved(raw, arrays):
    """Elements of an output that holds no more than the inputs together."""
    return sum(array.size for array in arrays)


def broadcast(raw, arrays):
    """Elements of an output of the shape that the inputs broadcast to."""
    return prod(np.broadcast_shapes(*(array.shape for array in arrays)))


def filled(raw, arrays):
    """Elements of the shape that the first input states."""
    return prod(sizes(arrays[0]))


def expanded(raw, arrays):
    """Elements of the first input broadcast to the shape that the second one states."""
    return prod(np.broadcast_shapes(arrays[0].shape, tuple(sizes(arrays[1]))))


def tiled(raw, arrays):
    """Elements of the first input repeated as often as the second one says."""
    return arrays[0].size * prod(sizes(arrays[1]))


def ranged(raw, arrays):
    """Elements from the first input to the second in steps of the third."""
    start, limit, step = (float(array.reshape(-1)[0]) for array in arrays)
    return max(0, ceil((limit - start) / step)) if step else 0


def padded(raw, arrays):
    """Elements of the first input with pads on every side that has any."""
    stated = arrays[1] if len(arrays) > 1 else np.array(attribute_of(raw, "pads", ()))
    widest = max(map(abs, sizes(stated)), default=0)
    return prod(size + 2 * widest for size in arrays[0].shape)


def gathered(raw, arrays):
    """Elements of a slice of the first input for each index in the second."""
    axis = attribute_of(raw, "axis", 0)
    return arrays[1].size * (arrays[0].size // max(1, arrays[0].shape[axis]))


def indexed(raw, arrays):
    """Elements of an index along every axis for each element of the input."""
    return arrays[0].ndim * arrays[0].size


def multiplied(raw, arrays):
    """Elements of a matrix product, counted by its multiplications, for these take the time."""
    return prod(arrays[0].shape) * max(arrays[1].shape, default=1)


def sizes(array):
    """The entries of a constant that states sizes, as Python integers."""
    return [int(size) for size in np.asarray(array).reshape(-1)]


def attribute_of(raw, name, default):
    """The value of an attribute of a NodeProto, or `default`."""
    return next((helper.get_attribute_value(each) for each in raw.attribute if each.name == name), default)


_MOVED = (
    *("Cast", "CastLike", "Concat", "Constant", "Flatten", "Identity", "Reshape", "Shape", "Size", "Slice", "Split"),
    *("Squeeze", "Transpose", "Unsqueeze", "DepthToSpace", "SpaceToDepth", "ScatterND", "ScatterElements"),
    *("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"),
    *("ArgMax", "ArgMin", "CumSum", "Softmax", "BatchNormalization", "Trilu", "GatherElements"),
)
_ELEMENTWISE = (
    *("Abs", "Add", "And", "BitShift", "Ceil", "Clip", "Div", "Equal", "Erf", "Exp", "Floor", "Greater", "HardSigmoid"),
    *("GreaterOrEqual", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Not"),
    *("Or", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sqrt", "Sub", "Sum", "Tanh", "Where", "Xor"),
)
FOLDED = {
    **dict.fromkeys(_MOVED, moved),
    **dict.fromkeys(_ELEMENTWISE, broadcast),
    **dict.fromkeys(("MatMul", "Gemm"), multiplied),
    "ConstantOfShape": filled,
    "EyeLike": moved,
    "Expand": expanded,
    "Gather": gathered,
    "NonZero": indexed,
    "Pad": padded,
    "Range": ranged,
    "Tile": tiled,
}


class Folding:
    """The folding of one model: what it may still hold and how long it may still take."""

    def __init__(self, model, constants):
        self.model = model
        self.elements = MOST_ELEMENTS + 2 * sum(array.size for array in constants.values())
        self.end = monotonic() + MOST_SECONDS

    def fold(self, constants, known):
        """Computes every node that depends on constants or known shapes alone; whether there were any.

        constants: arrays by name, which it adds to. known: {tensor name: its TypeProto.Tensor}, as far as inferred.
        Raises ModelError, naming the node, beyond the bounds of size and time.
        """
        folded = False
        for raw in self.model.graph.node:
            if raw.op_type not in FOLDED or raw.domain not in ONNX_DOMAINS or set(raw.output) <= constants.keys():
                continue
            feeds = inputs_of(raw, constants, known)
            if feeds is not None and not narrows(raw, feeds):
                constants.update(zip(raw.output, self.computed(raw, feeds), strict=True))
                folded = True
        return folded

    def computed(self, raw, feeds):
        """The outputs of one node."""
        where = f"node {name_of(raw)!r} ({raw.op_type})"
        if monotonic() > self.end:
            raise ModelError(f"{where}: found constants that take more than {MOST_SECONDS:.0f} s, expected less")
        try:
            wanted = FOLDED[raw.op_type](raw, [feeds[name] for name in raw.input if name])
        except (IndexError, ValueError, OverflowError, TypeError) as error:
            raise unfit(where, error) from None
        if wanted > self.elements:
            raise ModelError(
                f"{where}: found a constant of {wanted:,} elements computed from others, expected at most "
                f"{self.elements:,} in all"
            )
        arrays = evaluate(self.model, raw, feeds, where)
        self.elements -= sum(array.size for array in arrays)
        return arrays


def narrows(raw, feeds):
    """Whether the node is a Clip of codes: it stays in the network, where it says how wide they are."""
    codes = any("int" in str(array.dtype) and array.dtype.itemsize <= 2 for array in feeds.values())
    return raw.op_type == "Clip" and codes


def inputs_of(raw, constants, known):
    """{name: array} of the node's inputs where they are constants (for Shape and Size: of known shape), else None."""
    if raw.op_type in ("Shape", "Size") and raw.input:
        found = sizes_of(known.get(raw.input[0]), constants.get(raw.input[0]))
        return None if found is None else {raw.input[0]: np.broadcast_to(np.float32(0), found)}
    feeds = {name: constants.get(name) for name in raw.input if name}
    return None if any(array is None for array in feeds.values()) else feeds


def sizes_of(kind, array):
    """The sizes of a tensor, or None where one is unknown."""
    if array is not None:
        return array.shape
    if kind is None or not kind.HasField("shape"):
        return None
    found = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return None if None in found else found


def evaluate(model, raw, feeds, where):
    """The outputs of one node on arrays, by ONNX's reference implementation."""
    from onnx.reference import ReferenceEvaluator  # 0.1 s of import that only constants need

    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in raw.output]
    graph = helper.make_graph([raw], "constant", inputs, outputs)
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        return [np.asarray(array) for array in ReferenceEvaluator(single).run(None, feeds)]
    except Exception as error:  # each op of the reference implementation raises what it likes
        raise unfit(where, error) from None


def unfit(where, error):
    """The ModelError of constants that an op cannot take."""
    reason = " ".join(str(error).split())[:300]
    return ModelError(f"{where}: found constants it cannot compute with ({reason}), expected a valid model")
