"""The independent check: stock onnxruntime runs the same file, and every tensor must agree bit for bit."""

from dataclasses import dataclass

import numpy as np
from onnx import helper

from adderhw.errors import ModelError


@dataclass(frozen=True)
class Mismatch:
    """The first value that differs: the tensor's name, the index in the run's images, found here, expected."""

    tensor: str
    index: tuple[int, ...]
    found: object
    expected: object

    def __str__(self):
        return f"tensor {self.tensor!r} at {list(self.index)}: found {self.found}, onnxruntime says {self.expected}"


class OrtCheck:
    """Compares tensors with those of onnxruntime running `proto`, batch after batch.

    graph: the Graph whose tensors are compared, or names: those tensors of a file of other tools.
    images, values, mismatches: how much was compared. first: the first Mismatch, or None.
    """

    def __init__(self, proto, graph, threads, names=None):
        self.names = names or [node.output for node in graph.nodes]
        model = with_names(proto, names) if names else with_outputs(proto, graph, self.names)
        self.session = ort_session(model, threads)
        self.images = self.values = self.mismatches = 0
        self.first = None

    def compare(self, inputs, tensors):
        """Adds one batch: `inputs` as fed, `tensors` name → array as simulated."""
        first_image = self.images
        for name, expected in zip(self.names, self.session.run(self.names, inputs), strict=True):
            found = tensors[name]
            differs = found != expected if found.shape == expected.shape and found.dtype == expected.dtype else None
            if differs is None:
                raise ModelError(
                    f"tensor {name!r}: onnxruntime gives {expected.dtype} {list(expected.shape)}, "
                    f"expected {found.dtype} {list(found.shape)}"
                )
            self.values += found.size
            self.mismatches += int(differs.sum())
            if self.first is None and differs.any():
                at = tuple(int(i) for i in np.argwhere(differs)[0])
                self.first = Mismatch(name, (first_image + at[0], *at[1:]), found[at], expected[at])
        self.images += len(next(iter(inputs.values())))

    def result(self):
        """The check section of the report document."""
        return {
            "backend": "onnxruntime",
            "images": self.images,
            "values": self.values,
            "mismatches": self.mismatches,
            "first": None if self.first is None else str(self.first),
        }


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


def with_names(proto, names):
    """A copy of the model in which every tensor of `names` is an output, of whatever type onnxruntime finds."""
    model = type(proto)()
    model.CopyFrom(proto)
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in present)
    return model


def ort_session(model, threads):
    """A stock onnxruntime CPU session; raises ModelError where it cannot load the model.

    Where x86 has no VNNI, onnxruntime's sums of unsigned by signed products saturate at 16 bits unless it is told to be
    exact; then it has no kernel for QLinearMatMul of signed activations, and runs such a file as it is.
    """
    import onnxruntime  # 0.2 s of import that only a check needs

    def session(exact):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    try:
        try:
            return session(exact=True)
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            return session(exact=False)
    except Exception as error:  # onnxruntime raises types of its own, one per status code
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"check ort: onnxruntime cannot load the model ({reason}), expected function bodies in the file"
        ) from None
