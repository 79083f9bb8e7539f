"""Models made to harm: chains and nests without end, and tensors that point out of the model's folder."""

import onnx
from onnx import TensorProto, helper

OUTSIDE = b"read outside of the model's folder".ljust(65_536, b"\xa5")
PLACES = (
    "inside.bin", "./inside.bin", "linked/inside/inside.bin", "../secret.bin", "../inside/inside.bin", "link.bin",
    "linked/secret.bin", "inside/../../secret.bin", "/etc/hostname", "/dev/zero", "/proc/self/environ", "pipe",
    "linked", "..", ".", "", "none.bin", "inside.bin/", "model.onnx", "é.bin", "a" * 5000,
)  # fmt: skip
NUMBERS = ("0", "1", "36", "-1", "65536", "9223372036854775807", "1e9", "x", "")
MOST_DEEP = 30
"""Graphs inside each other that protobuf, which stops at 100 messages inside each other, still reads."""


def move_outside(rng, data):
    """One to three tensors of an ONNX model lie in other files."""
    model = onnx.ModelProto.FromString(data)
    tensors = model.graph.initializer
    for _ in range(int(rng.integers(1, 4))):
        tensor = tensors[rng.integers(len(tensors))]
        del tensor.external_data[:]
        fields = {"location": PLACES[rng.integers(len(PLACES))]}
        if rng.integers(2):
            fields["length"] = str(len(tensor.raw_data)) if rng.integers(4) else NUMBERS[rng.integers(len(NUMBERS))]
        if rng.integers(3) == 0:
            fields["offset"] = NUMBERS[rng.integers(len(NUMBERS))]
        if rng.integers(8) == 0:
            fields["basepath"] = ("..", "/", "/etc")[rng.integers(3)]
        for key, value in fields.items():
            tensor.external_data.add(key=key, value=value)
        tensor.data_location = TensorProto.EXTERNAL
        if rng.integers(4):
            tensor.ClearField("raw_data")
    return model.SerializeToString()


def prolong(rng, data):
    """Up to 500 nodes, or now and then 100,000, more behind the first node of an ONNX model, or beside each other."""
    model = onnx.ModelProto.FromString(data)
    count, first = int(10 ** rng.uniform(1, 2.7 if rng.integers(40) else 5)), model.graph.node[0].output[0]
    op = ("Relu", "Identity", "Relu", "Add")[rng.integers(4)]
    chained, last = rng.integers(4) > 0, first
    for i in range(count):
        inputs = [last, first] if op == "Add" else [last]
        model.graph.node.append(helper.make_node(op, inputs, [f"more_{i}"], f"more_{i}"))
        last = f"more_{i}" if chained else first
    new = [model.graph.node.pop() for _ in range(count)][::-1]
    later = list(model.graph.node)[1:]
    for node in later:
        node.input[:] = [f"more_{count - 1}" if name == first else name for name in node.input]
    nodes = [model.graph.node[0], *new, *later]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def nest(rng, data):
    """The first node of an ONNX model lies in graphs inside graphs, or in functions that call functions."""
    model = onnx.ModelProto.FromString(data)
    first = model.graph.node[0]
    (in_functions if rng.integers(4) else in_graphs)(rng, model, first)
    return model.SerializeToString()


def in_graphs(rng, model, first):
    """The node becomes an If of Ifs."""
    output, inner = first.output[0], onnx.NodeProto()
    inner.CopyFrom(first)
    inner.output[0] = "inner_0"
    for depth in range(int(rng.integers(1, MOST_DEEP))):
        end = helper.make_tensor_value_info(f"inner_{depth}", TensorProto.FLOAT, None)
        body = helper.make_graph([inner], "body", [], [end])
        name = f"inner_{depth + 1}"
        inner = helper.make_node("If", ["always"], [name], name, then_branch=body, else_branch=body)
        if inner.ByteSize() > 1 << 19:
            break
    inner.output[0] = output
    first.CopyFrom(inner)
    model.graph.initializer.append(helper.make_tensor("always", TensorProto.BOOL, [], [True]))


def in_functions(rng, model, first):
    """The node becomes a call of a function that calls the next one or more times, up to 1,000 deep; or itself."""
    calls, depth = int(rng.integers(1, 4)), int(10 ** rng.uniform(0, 3))
    opsets = [*model.opset_import, helper.make_opsetid("calls", 1)]
    loops = rng.integers(8) == 0
    for i in range(depth):
        inner = f"f{(i + 1) % depth if loops else i + 1}"
        op, domain = (inner, "calls") if loops or i + 1 < depth else ("Identity", "")
        names = ["a0", *[f"a{k + 1}" for k in range(calls)]]
        nodes = [helper.make_node(op, [names[k]], [names[k + 1]], domain=domain) for k in range(calls)]
        model.functions.append(helper.make_function("calls", f"f{i}", ["a0"], [names[-1]], nodes, opsets))
    call = helper.make_node("f0", [first.output[0]], [f"{first.output[0]}_called"], "call", domain="calls")
    for node in list(model.graph.node)[1:]:
        node.input[:] = [call.output[0] if name == first.output[0] else name for name in node.input]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([nodes[0], call, *nodes[1:]])
    model.opset_import.append(opsets[-1])
