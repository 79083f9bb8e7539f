"""Writes a Graph as an integer ONNX file that a stock onnxruntime executes with identical integers.

The file: IR 10, opset 21, domain adderhw version 1, every attribute on every node, and the functions of the custom
ops that occur. Formats travel as quantization annotations, in the encoding of adderhw/annotations.py.
"""

from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from adderhw.annotations import add_formats
from adderhw.errors import AdderHwError
from adderhw.files import write_atomic
from adderhw.fixed import Rounding
from adderhw.ops import BY_NAME
from adderhw.ops.base import DOMAIN, DOMAIN_VERSION
from adderhw.ops.bodies import COMPUTE_LIMITS, OPSET, function_of

IR_VERSION = 10
BATCH = "N"


def write_graph(graph, path):
    """Writes `graph` (adderhw.graph.Graph) to the file `path`, whole or not at all.

    Raises ModelError where a sum is too large for the function bodies (2^53), AdderHwError where `path` cannot
    be written.
    """
    write_atomic(path, model_of(graph).SerializeToString(deterministic=True))


def model_of(graph) -> ModelProto:
    """The ModelProto of `graph`; raises ModelError where a sum is too large for the function bodies (2^53)."""
    proto = helper.make_graph(
        [node_of(graph, node) for node in graph.nodes],
        graph.name,
        [value_info(tensor) for tensor in graph.inputs],
        [value_info(graph.tensors[name]) for name in graph.outputs],
        initializers(graph),
        value_info=[value_info(graph.tensors[name]) for name in intermediate_names(graph)],
    )
    model = helper.make_model(
        proto,
        ir_version=IR_VERSION,
        producer_name=DOMAIN,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        functions=functions_of(graph),
    )
    helper.set_model_props(model, dict(graph.metadata))
    add_formats(model, formats_of(graph))
    return model


def value_info(tensor):
    """The ValueInfoProto of an activation, its batch axis called N."""
    shape = [BATCH if size is None else size for size in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, helper.np_dtype_to_tensor_dtype(tensor.dtype), shape)


def intermediate_names(graph):
    """The names of the activations between the graph's inputs and outputs, in order."""
    return [node.output for node in graph.nodes if node.output not in graph.outputs]


def node_of(graph, node) -> NodeProto:
    """The NodeProto of a Node with every attribute; the name of the rounding mode goes along for the reader's eye."""
    op = BY_NAME[node.op]
    proto = helper.make_node(
        op.name, input_names(graph, node), [node.output], name=node.name, domain=op.domain, **node.attributes
    )
    if "rounding" in node.attributes:
        helper.set_model_props(proto, {"adderhw.rounding": Rounding(node.attributes["rounding"]).name.lower()})
    return proto


def input_names(graph, node):
    """The node's inputs; a custom op, whose function reads all of them, gets a zero for each one left out."""
    op = BY_NAME[node.op]
    if not op.domain:
        return list(node.inputs)
    given = dict(zip(op.inputs, node.inputs, strict=False))
    return [given.get(name) or zero_name(graph, zero_dtype(graph, node, name)) for name in op.inputs]


def zero_dtype(graph, node, left_out):
    """The dtype of the zero point that `node` leaves out: that of the input with the same type variable."""
    op = BY_NAME[node.op]
    given = zip(op.inputs, node.inputs, strict=False)
    partner = next(tensor for name, tensor in given if op.types[name] == op.types[left_out])
    return graph.tensors[partner].dtype


def zero_name(graph, dtype):
    """The name of the scalar zero of `dtype`, one that no tensor of the graph has."""
    name = f"zero_{dtype}"
    while name in graph.tensors:
        name += "_"
    return name


def initializers(graph):
    """The TensorProtos of the parameters that a node reads, and of the zeros that stand for left-out inputs."""
    used = {name for node in graph.nodes for name in input_names(graph, node)} | set(graph.outputs)
    zeros = {zero_name(graph, dtype): np.zeros((), dtype) for dtype in map(np.dtype, ("u1", "i1", "u2", "i2"))}
    arrays = graph.parameters | zeros
    return [numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used]


def formats_of(graph):
    """{tensor name: Format} of every integer activation, every weight and every tensor whose format is stated."""
    weights = {node.inputs[1] for node in graph.nodes if BY_NAME[node.op].sums}
    return {
        name: tensor.format
        for name, tensor in graph.tensors.items()
        if tensor.format is not None and (tensor.value is None or name in graph.formats or name in weights)
    }


def functions_of(graph):
    """The functions of the custom ops that occur, all adding in the narrowest type that is exact for every node."""
    compute = compute_type(graph)
    names = dict.fromkeys(node.op for node in graph.nodes if BY_NAME[node.op].domain)
    return [function_of(BY_NAME[name], compute) for name in names]


def compute_type(graph):
    """FLOAT where every sum of the bodies stays below 2^24, else DOUBLE; raises ModelError from 2^53 on."""
    compute = TensorProto.FLOAT
    for node in graph.nodes:
        largest = BY_NAME[node.op].float_exact(node, graph.args(node))
        if largest >= COMPUTE_LIMITS[TensorProto.DOUBLE]:
            node.fail(f"a sum of up to {largest}", "sums below 2^53, which the ONNX functions carry exactly")
        if largest >= COMPUTE_LIMITS[TensorProto.FLOAT]:
            compute = TensorProto.DOUBLE
    return compute


def write_test_data(folder, inputs, outputs):
    """Writes golden arrays as ONNX test data: folder/test_data_set_0/input_0.pb, …, output_0.pb, ….

    inputs, outputs: arrays by tensor name, in the model's order. Raises AdderHwError where the folder cannot be made.
    """
    target = Path(folder) / "test_data_set_0"
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AdderHwError(f"{target}: cannot make the folder: {error.strerror or error}") from error
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for at, (name, array) in enumerate(arrays.items()):
            write_atomic(target / f"{kind}_{at}.pb", numpy_helper.from_array(array, name).SerializeToString())
