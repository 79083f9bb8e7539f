"""Whether the functions that a file brings for this toolkit's ops compute what the ops mean.

A function that is word for word the one that `export` writes needs no look. Any other (of an older version, rewritten
by a tool, or wrong) is run by onnxruntime on directed integers, node by node, and compared with the op's own kernel.
"""

import numpy as np
import onnx
from onnx import helper

from adderhw.errors import ModelError
from adderhw.kernels import Program, choose_path
from adderhw.layouts import channels_first, channels_last
from adderhw.ops import BY_NAME
from adderhw.ops.base import DOMAIN, RunOptions
from adderhw.ops.bodies import COMPUTE_LIMITS, function_of
from adderhw.plan import stats_size

IMAGES = 2
ONNX_DOMAINS = ("", "ai.onnx")
ENDLESS = (("", "Loop"),)  # a loop of a file's own length could hold the reader up; a Scan ends with its input
EDGE_SHARE = 0.1


def check_functions(proto, graph):
    """Raises ModelError, naming node and function, where a function of `proto` computes something else than its op.

    proto: the ModelProto that the Graph `graph` was read from. Nothing is compared where the file has no functions.
    """
    functions = {function.name: function for function in proto.functions if function.domain == DOMAIN}
    raws = {raw.output[0]: raw for raw in proto.graph.node}
    for node in graph.nodes:
        function = functions.get(node.op) if BY_NAME[node.op].domain == DOMAIN else None
        if function is not None and not is_known(function, node, graph):
            check_control(function, proto)
            compare(node, graph, raws[node.output], proto)


def is_known(function, node, graph):
    """Whether the function is one that is written for the op; raises ModelError where it cannot carry the sums."""
    op = BY_NAME[node.op]
    limits = [limit for compute, limit in COMPUTE_LIMITS.items() if same_body(function, function_of(op, compute))]
    largest = op.float_exact(node, graph.args(node))
    if limits and largest >= max(limits):
        node.fail(f"sums of up to {largest}", f"sums below {max(limits)}, which the file's function carries exactly")
    return bool(limits)


def same_body(a, b):
    """Whether two FunctionProtos compute the same way: all but their documentation and the names of nodes."""
    return bare(a) == bare(b)


def bare(function):
    """A copy of a FunctionProto without what no runtime reads."""
    copy = onnx.FunctionProto()
    copy.CopyFrom(function)
    for field in ("doc_string", "value_info", "metadata_props"):
        copy.ClearField(field)
    for node in copy.node:
        for field in ("name", "doc_string", "metadata_props"):
            node.ClearField(field)
    return copy


def check_control(function, proto):
    """Raises ModelError where the function, or one that it calls, has a loop that only its own numbers end."""
    bodies = {("" if f.domain in ONNX_DOMAINS else f.domain, f.name): f for f in proto.functions}
    waiting, seen = [function], set()
    while waiting:
        for call in calls_of(waiting.pop()):
            if call in ENDLESS:
                raise ModelError(
                    f"function {function.name!r}: found a {call[1]} in it, expected ops that end with their input"
                )
            if call in bodies and call not in seen:
                seen.add(call)
                waiting.append(bodies[call])


def calls_of(body):
    """(domain, op) of every node of a graph or function, those of graphs inside nodes too."""
    found = []
    for node in body.node:
        found.append(("" if node.domain in ONNX_DOMAINS else node.domain, node.op_type))
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                found += calls_of(graph)
    return found


def compare(node, graph, raw, proto):
    """Raises ModelError where onnxruntime's answer of the node's function is not that of the op's kernel."""
    feeds = sampled(node, graph)
    expected = by_kernel(node, graph, feeds)
    found = by_function(node, graph, raw, proto, feeds)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        node.fail(
            f"a function in the file that gives {found.dtype} {list(found.shape)}",
            f"{expected.dtype} {list(expected.shape)}",
        )
    differs = np.argwhere(found != expected)
    if len(differs):
        at = tuple(int(i) for i in differs[0])
        node.fail(
            f"a function in the file that computes {found[at]} at {list(at)} of a test",
            f"{expected[at]}, as the op is defined",
        )


def sampled(node, graph):
    """Arrays by name for the node's activations, in ONNX layout: random, with ends and ties of rounding among them."""
    rng, feeds = np.random.default_rng(0), {}
    for tensor in graph.args(node):
        if tensor is not None and tensor.value is None:
            shape, rest = (IMAGES, *tensor.shape[1:]), (1,) * (len(tensor.shape) - 2)
            low, high = (per_image(end, rest, shape) for end in (tensor.low, tensor.high))
            values, edges = rng.integers(low, high, endpoint=True), rng.random(shape)
            values = np.where(edges < EDGE_SHARE, low, np.where(edges > 1 - EDGE_SHARE, high, values))
            feeds[tensor.name] = values
    if node.op == "Requantize":
        ((name, values),) = feeds.items()
        constants = [graph.parameters[name] for name in node.inputs[1:]]
        feeds[name] = with_ties(values, graph.tensors[name], *constants)
    return {name: values.astype(graph.tensors[name].dtype) for name, values in feeds.items()}


def per_image(bound, rest, shape):
    """A bound of shape () or (C,) as int64 of the shape of images."""
    bound = np.asarray(bound, np.int64)
    return np.broadcast_to(bound.reshape(-1, *rest) if bound.ndim else bound, shape)


def with_ties(values, tensor, m, c, n):
    """The values of `tensor`, every other one changed, where one exists, to one whose S·M + C lies on a tie."""
    flat, parts = values.copy(), np.broadcast_arrays(values, m, c, n)
    for at in np.ndindex(values.shape):
        if sum(at) % 2:
            s, factor, constant, shift = (int(part[at]) for part in parts)
            flat[at] = tie_near(s, factor, constant, shift, tensor.lowest, tensor.highest)
    return flat


def tie_near(s, m, c, n, low, high):
    """An S in [low, high] near `s` with S·m + c ≡ 2^(n−1) modulo 2^n, a tie; `s` where there is none."""
    if n == 0 or m == 0:
        return s
    common = min((m & -m).bit_length() - 1, n)
    wanted, modulus = (1 << (n - 1)) - c, 1 << (n - common)
    if wanted % (1 << common):
        return s
    root = (wanted >> common) * pow(m >> common, -1, modulus) % modulus if modulus > 1 else 0
    above = s + (root - s) % modulus
    nearest = above if above <= high else above - modulus
    return nearest if low <= nearest <= high else s


def by_kernel(node, graph, feeds):
    """The node's output on the arrays by its op's kernel, in ONNX layout."""
    args, out = graph.args(node), graph.tensors[node.output]
    bind = BY_NAME[node.op].compile(node, args, out, RunOptions(choose_path(None)))
    arrays = [np.ascontiguousarray(channels_last(array)) for array in feeds.values()]
    target = np.ascontiguousarray(channels_last(np.empty((IMAGES, *out.shape[1:]), out.dtype)))
    Program([bind(arrays, target, 1, np.zeros((1, stats_size(node)), np.int64))]).run()
    return np.ascontiguousarray(channels_first(target))


def by_function(node, graph, raw, proto, feeds):
    """The node's output on the arrays by the file's function in onnxruntime; raises ModelError where that fails."""
    from adderhw.ort_session import OrtSession  # onnxruntime is needed for unknown functions only

    constants = [tensor for tensor in proto.graph.initializer if tensor.name in raw.input]
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    output = helper.make_empty_tensor_value_info(node.output)
    single = helper.make_model(
        helper.make_graph([raw], "node", values, [output], constants),
        functions=proto.functions, opset_imports=proto.opset_import, ir_version=proto.ir_version,
    )  # fmt: skip
    try:
        return OrtSession(single, 1).run([node.output], feeds)[0]
    except Exception as error:  # onnxruntime raises types of its own, one per status code
        reason = " ".join(str(error).split())[:300]
        node.fail(f"a function in the file that onnxruntime cannot run ({reason})", "one that computes the op")
