"""The independent check of a file of other tools: stock onnxruntime runs the file as it is.

What onnxruntime fuses depends on which tensors leave the network. So the outputs are compared with those of the file
untouched; tensors inside with a copy that gives them too, if the same kernels run in it, else each with a copy of the
network that ends behind it. A session with default options runs as well, and what it does otherwise is said.
"""

import onnx
from onnx import helper

from adderhw.foreign.exact import checked_tensors
from adderhw.ort_check import Counts
from adderhw.ort_session import PLAIN, OrtSession

MOST_CUTS = 64
WIRING = ("Transpose", "Reshape", "Identity", "Cast")  # that onnxruntime adds or drops beside the kernels


class ForeignCheck(Counts):
    """Compares an ExactNetwork with onnxruntime on its file `proto`, batch after batch."""

    def __init__(self, proto, network, threads):
        super().__init__()
        self.network, self.plainly = network, Counts()
        model = with_own_initializers(proto)
        self.whole = OrtSession(model, threads, look=True)
        self.plain = OrtSession(proto, threads, PLAIN, look=True)
        named = {name for node in proto.graph.node for name in node.output}  # not those in functions and branches
        inner = [name for name in checked_tensors(network) if name not in network.outputs]
        self.tapped, self.cuts, self.unseen = None, {}, [name for name in inner if name not in named]
        inner = [name for name in inner if name in named]
        if inner:
            tapped = OrtSession(with_names(model, inner), threads, look=True)
            if computing(tapped.kernels) == computing(self.whole.kernels):
                self.tapped = tapped
            else:
                self._cut(model, inner, threads)
        self.inner = inner if self.tapped else []

    def _cut(self, model, names, threads):
        for name in names:
            leaving = reader_of(model, name)
            ended = leaving and len(self.cuts) < MOST_CUTS and name in self.network.grids
            session = OrtSession(ending_at(model, leaving.output[0]), threads, look=True) if ended else None
            if session and not computing(session.kernels) - computing(self.whole.kernels):
                self.cuts[name] = leaving.output[0], session
            else:
                self.unseen.append(name)

    def compare(self, inputs, tensors):
        """Adds one batch: `inputs` as fed, `tensors` name → array as simulated."""
        outputs = list(self.network.outputs)
        for name, expected in zip(outputs, self.whole.run(outputs, inputs), strict=True):
            self.add(name, tensors[name], expected)
        if self.inner:
            for name, expected in zip(self.inner, self.tapped.run(self.inner, inputs), strict=True):
                self.add(name, tensors[name], expected)
        for name, (end, session) in self.cuts.items():
            self.add(name, self.network.grids[name].real(tensors[name]), session.run([end], inputs)[0])
        for name, expected in zip(outputs, self.plain.run(outputs, inputs), strict=True):
            self.plainly.add(name, tensors[name], expected)
        self.plainly.images = self.images = self.images + len(next(iter(inputs.values())))

    def result(self):
        """The check section of the report document."""
        return {
            **super().result(),
            "session": self.whole.told,
            "kernels": dict(sorted(self.whole.kernels.items())),
            "tensors": {
                "outputs": len(self.network.outputs), "inside": len(self.inner), "cut": len(self.cuts),
                "unseen": len(self.unseen),
            },
            "plain": {key: self.plainly.result()[key] for key in ("values", "mismatches", "first")},
        }  # fmt: skip


def computing(kernels):
    """The kernels that compute, without those that only move or rename."""
    return type(kernels)({op: count for op, count in kernels.items() if op not in WIRING})


def with_names(proto, names):
    """A copy of the model in which every tensor of `names` is an output, of whatever type onnxruntime finds."""
    model = copied(proto)
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in present)
    return model


def with_own_initializers(proto):
    """A copy of the model in which each use of an initializer has one of its own, with the same values.

    With session.x64quantprecision onnxruntime changes the zero points of weights in place, and does not load a file in
    which two nodes share one.
    """
    model, arrays, used = copied(proto), {tensor.name: tensor for tensor in proto.graph.initializer}, set()
    taken = {name for node in proto.graph.node for name in (*node.input, *node.output)} | set(arrays)
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name in arrays and name in used:
                own = onnx.TensorProto()
                own.CopyFrom(arrays[name])
                own.name = next(f"{name}_{number}" for number in range(2, 1 << 30) if f"{name}_{number}" not in taken)
                taken.add(own.name)
                model.graph.initializer.append(own)
                node.input[at] = own.name
            used.add(name)
    return model


def reader_of(proto, name):
    """A DequantizeLinear that reads the tensor, or None."""
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == name:
            return node
    return None


def ending_at(proto, name):
    """A copy of the model that ends with the tensor `name`, its only output."""
    model, wanted, kept = copied(proto), {name}, []
    for node in reversed(proto.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    del model.graph.output[:]
    model.graph.output.append(helper.make_empty_tensor_value_info(name))
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    return model


def copied(proto):
    """A copy of a protobuf message."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    return copy
