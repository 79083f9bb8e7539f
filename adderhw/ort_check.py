"""The independent check: stock onnxruntime runs the same file, and every tensor must agree bit for bit."""

from dataclasses import dataclass

import numpy as np
from onnx import helper

from adderhw.errors import ModelError
from adderhw.ort_session import OrtSession


@dataclass(frozen=True)
class Mismatch:
    """The first value that differs: the tensor's name, the index in the run's images, found here, expected."""

    tensor: str
    index: tuple[int, ...]
    found: object
    expected: object

    def __str__(self):
        return f"tensor {self.tensor!r} at {list(self.index)}: found {self.found}, onnxruntime says {self.expected}"


class Counts:
    """How much was compared so far. images, values, mismatches: numbers. first: the first Mismatch, or None."""

    def __init__(self):
        self.images = self.values = self.mismatches = 0
        self.first = None

    def add(self, name, found, expected):
        """Adds a tensor of the images from `self.images` on; raises ModelError for another shape or dtype."""
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise ModelError(
                f"tensor {name!r}: onnxruntime gives {expected.dtype} {list(expected.shape)}, "
                f"expected {found.dtype} {list(found.shape)}"
            )
        differs = found != expected
        self.values += found.size
        self.mismatches += int(differs.sum())
        if self.first is None and differs.any():
            at = tuple(int(i) for i in np.argwhere(differs)[0])
            self.first = Mismatch(name, (self.images + at[0], *at[1:]), found[at], expected[at])

    def result(self):
        """The check section of the report document."""
        return {
            "backend": "onnxruntime",
            "images": self.images,
            "values": self.values,
            "mismatches": self.mismatches,
            "first": None if self.first is None else str(self.first),
        }


class OrtCheck(Counts):
    """Compares every tensor of a Graph with that of onnxruntime running its file `proto`, batch after batch."""

    def __init__(self, proto, graph, threads):
        super().__init__()
        self.names = [node.output for node in graph.nodes]
        self.session = OrtSession(with_outputs(proto, graph, self.names), threads)

    def compare(self, inputs, tensors):
        """Adds one batch: `inputs` as fed, `tensors` name → array as simulated."""
        for name, expected in zip(self.names, self.session.run(self.names, inputs), strict=True):
            self.add(name, tensors[name], expected)
        self.images += len(next(iter(inputs.values())))


def with_outputs(proto, graph, names):
    """A copy of the model in which every tensor of `names` is an output."""
    model = type(proto)()
    model.CopyFrom(proto)
    del model.graph.output[:]
    for name in names:
        tensor = graph.tensors[name]
        code = helper.np_dtype_to_tensor_dtype(tensor.dtype)
        shape = ["N", *tensor.shape[1:]]
        model.graph.output.append(helper.make_tensor_value_info(name, code, shape))
    return model
