"""Ops that leave codes as they are: in another place or shape, bounded, or one chosen among several.

What moves codes is run once by ONNX's own reference implementation, on the numbers of the elements of two images in
place of codes. So it is known where each element comes from, whatever the op and its attributes; and an op that mixes
images, or makes something else than a batch of the first axis, shows.
"""

from math import prod

import numpy as np
import onnx
from onnx import helper

from adderhw.errors import ModelError
from adderhw.foreign.exact.builder import UNSTATED, View
from adderhw.foreign.folding import evaluate
from adderhw.foreign.integers import Sums, held

REFERENCE_OPSET = 19  # the first that ONNX's reference implementation has QuantizeLinear of; it meant the same before
SCALES = "scales of the Resize"
FOLLOWED = ("Dropout", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Ops behind a DequantizeLinear that onnxruntime 1.32 looks through when it takes a layer for a quantised one."""
MANY = 7  # images beside one that an op is tried with: few enough to be quick, more than constants name
PADDING = 0  # in place of an element's number, the first of which is 1: a value that the op brings itself


def max_pool(builder, node):
    """The largest code of each 2-D window."""
    if len(node.attributes["kernel_shape"]) != 2:
        builder.refuse(node, "is no 2-D window")
    builder.check_pads(node)
    _choosing(builder, node, lambda array: Sums.pooled(node, array))


def global_max_pool(builder, node):
    """The largest code of each channel."""
    axes = tuple(range(2, len(builder.shapes[node.inputs[0]])))
    _choosing(builder, node, lambda array: array.max(axis=axes, keepdims=True))


def relu(builder, node):
    """Of sums that wait for their grid, where its clip does the same; of codes, which are at least the zero point."""
    source = node.inputs[0]
    if source in builder.pending:
        if not builder.only_reader(source):
            builder.refuse(node, f"reads {source!r}, a sum in floating point that other nodes read too")
        builder.pending[node.outputs[0]] = (builder.pending[source][0], True)
        return
    if source not in builder.views:
        builder.refuse(node, UNSTATED)
    zero = builder.views[source].grid.zero_point
    _choosing(builder, node, lambda array: np.maximum(array, array.dtype.type(zero)))


def drop_nothing(builder, node):
    """Dropout as inference has it: the input."""
    training = builder.optional(node, 2)
    if training is not None and np.any(training):
        builder.refuse(node, "is in training mode, which draws random numbers")
    _choosing(builder, node, lambda array: array)


def clip(builder, node):
    """Integer codes between two constants."""
    if node.inputs[0] in builder.constants:
        folded(builder, node)
        return
    if not builder.are_codes(node.inputs[0]):
        builder.refuse(node, UNSTATED)
    ends = [builder.optional(node, position) for position in (1, 2)]
    low, high = (None if end is None else held(end) for end in ends)
    name = node.inputs[0]
    builder.step(node.outputs[0], lambda tensors: np.clip(tensors[name], low, high))


def move(builder, node):
    """The same numbers in another place: of tensors on one grid, of integers, or of floats that are known."""
    names = [name for name in node.inputs if name in builder.views or name in builder.known]
    if names and all(name in builder.views for name in names):
        _move_views(builder, node, names)
    elif names and not any(name in builder.views for name in names):
        _move_codes(builder, node, names, node.outputs, None)
    else:
        builder.refuse(node, UNSTATED)


def _move_views(builder, node, names):
    views = [builder.views[name] for name in names]
    grid = views[0].grid
    for view in views:
        view.grid.single(builder.refusal(node))
        if not view.grid.same(grid):
            builder.refuse(node, "brings codes of several grids together, which are not simulated here")
    made = [f"{name} (codes)" if name else "" for name in node.outputs]
    for output, name in zip(node.outputs, made, strict=True):
        if output:
            fused = len(views) == 1 and views[0].fused and node.op in FOLLOWED
            builder.views[output] = View(name, grid, fused)
            builder.shapes[name] = builder.shapes[output]
    sources = [view.name for view in views]
    if all(name in builder.constants for name in sources):
        feeds = {name: held(builder.constants[view.name]) for name, view in zip(names, views, strict=True)}
        builder.constants.update(zip(made, _evaluated(builder, node, feeds), strict=True))
        return
    _move_codes(builder, node, names, made, grid, sources)


def _move_codes(builder, node, names, outputs, grid, sources=None):
    """Steps that give the outputs, codes, by where each of their elements comes from.

    names: of the node's inputs that move; sources: of the codes that they stand for. grid: theirs, None of integers.
    """
    sources = names if sources is None else sources
    if any(name in builder.constants for name in sources):
        builder.refuse(node, "brings a constant beside activations, which is not simulated here")
    filling = _filling(builder, node, grid)
    for output, origin in zip(outputs, _origins(builder, node, names), strict=True):
        if node.op != "Pad" and np.any(origin == PADDING):
            builder.refuse(node, "brings numbers of its own, which are not simulated here")
        if output:
            builder.step(output, lambda tensors, origin=origin: _taken(tensors, sources, origin, filling))


def _taken(tensors, names, origin, filling):
    """The elements numbered `origin` of each image's tensors laid end to end; the code `filling` for PADDING."""
    parts = [tensors[name].reshape(len(tensors[name]), -1) for name in names]
    images = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    out = images[:, np.maximum(origin - 1, 0).reshape(-1)].reshape(len(images), *origin.shape)
    out[:, origin == PADDING] = filling
    return out


def _origins(builder, node, names):
    """For each output of an image, the number of the element that lies at each place; refuses what mixes images."""
    elements = sum(prod(builder.shapes[name][1:]) for name in names)
    one, many = (_numbered(builder, node, names, images) for images in (1, MANY))
    if one is not None and many is None and _fixed_batch(builder):
        many = [_images(each, elements) for each in one]
    if one is None or many is None:
        builder.refuse(node, "takes no batch of several images along its first axis")
    for first, all_of_them in zip(one, many, strict=True):
        if first.shape[:1] != (1,) or not np.array_equal(all_of_them, _images(first, elements)):
            builder.refuse(node, "moves numbers into the batch, or between images")
    return [each[0] for each in one]


def _images(numbers, elements):
    """The numbers of the first image and of those behind it."""
    return np.concatenate([np.where(numbers == PADDING, PADDING, numbers + image * elements) for image in range(MANY)])


def _numbered(builder, node, names, images):
    """The outputs of the node on the numbers of its inputs' elements; None where it does not take so many images."""
    feeds, start = {}, PADDING + 1
    elements = sum(prod(builder.shapes[name][1:]) for name in names)
    for name in dict.fromkeys(names):
        shape = builder.shapes[name][1:]
        numbers = np.arange(start, start + prod(shape)).reshape(shape)
        feeds[name] = np.stack([numbers + image * elements for image in range(images)])
        start += prod(shape)
    try:
        return [np.asarray(array).astype(np.int64) for array in _evaluated(builder, node, feeds)]
    except ModelError:
        return None


def _fixed_batch(builder):
    """Whether the file fixes the batch at one image, so that its constants may hold that number."""
    value = next(value for value in builder.graph.proto.graph.input if value.name == builder.graph.inputs[0])
    dims = value.type.tensor_type.shape.dim
    return bool(dims) and dims[0].dim_value == 1


def _evaluated(builder, node, feeds):
    """The node's outputs by ONNX's reference implementation, on `feeds` and constants; pads are PADDING."""
    raw, constants = (
        node.proto,
        {name: builder.constant(node, name) for name in node.inputs if name and name not in feeds},
    )
    if node.op == "Pad":
        raw = without(raw, "value")
        if len(node.inputs) > 2 and node.inputs[2]:
            constants[node.inputs[2]] = np.array(PADDING, next(iter(feeds.values())).dtype)
    where, model = f"node {node.name!r} ({node.op})", builder.graph.proto
    if node.op == "Upsample":
        model = reference_model(builder)
        raw, constants = _as_resize(node), {SCALES: _scales(builder, node)}
    return evaluate(model, raw, {**feeds, **constants}, where)


def _as_resize(node):
    """The Resize that an Upsample to nearest neighbours is, which ONNX's reference implementation has."""
    return helper.make_node(
        "Resize", [node.inputs[0], "", SCALES], [node.outputs[0]], mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def _scales(builder, node):
    """float32 scales of an Upsample, an attribute before opset 9 and an input since."""
    stated = builder.optional(node, 1)
    return np.asarray(node.attributes.get("scales", ()) if stated is None else stated, np.float32)


def reference_model(builder):
    """A ModelProto of an opset for which ONNX's reference implementation has every op of ONNX's that is run here."""
    model = onnx.ModelProto(ir_version=builder.graph.proto.ir_version)
    model.opset_import.append(helper.make_opsetid("", max(builder.opset(""), REFERENCE_OPSET)))
    return model


def without(raw, name):
    """A copy of a NodeProto without the attribute `name`."""
    copy = onnx.NodeProto()
    copy.CopyFrom(raw)
    kept = [attribute for attribute in raw.attribute if attribute.name != name]
    del copy.attribute[:]
    copy.attribute.extend(kept)
    return copy


def _filling(builder, node, grid):
    """The code that a Pad brings; refuses a value between two codes. PADDING for other ops, which bring none."""
    if node.op != "Pad" or node.attributes.get("mode", "constant") != "constant":
        return PADDING
    stated = builder.optional(node, 2)
    value = float(node.attributes.get("value", 0.0) if stated is None else np.asarray(stated).reshape(-1)[0])
    if grid is None:
        return value if np.dtype(builder.graph.dtypes[node.inputs[0]]).kind == "f" else int(value)
    code = np.rint(value / float(grid.scale)) + grid.zero_point
    if not grid.low <= code <= grid.high or grid.real(np.array(code, grid.dtype)) != np.float32(value):
        builder.refuse(node, f"pads with {value}, which is no code of its input's grid")
    return int(code)


def folded(builder, node):
    """Adds what the node makes of constants to the constants."""
    if node.domain:
        builder.refuse(node, "computes a constant, which is not done here for this domain")
    feeds = {name: builder.constant(node, name) for name in node.inputs if name}
    arrays = evaluate(reference_model(builder), node.proto, feeds, f"node {node.name!r} ({node.op})")
    builder.constants.update(zip(node.outputs, arrays, strict=True))


def _choosing(builder, node, change):
    """Codes chosen among the input's: of a quantised tensor, or of a float one that stands for it."""
    source, output = node.inputs[0], node.outputs[0]
    if source in builder.views:
        view, made = builder.views[source], f"{output} (codes)"
        view.grid.single(builder.refusal(node))
        if view.name in builder.constants:
            builder.constants[made] = change(held(builder.constants[view.name]))
        else:
            builder.step(made, lambda tensors: change(tensors[view.name]))
        builder.views[output] = View(made, view.grid, view.fused and node.op in FOLLOWED)
        builder.shapes[made] = builder.shapes[output]
    elif builder.are_codes(source):
        builder.step(output, lambda tensors: change(tensors[source]))
    else:
        builder.refuse(node, UNSTATED)
