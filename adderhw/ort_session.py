"""Sessions of stock onnxruntime on the CPU: what they are told, what they run, and batches that a file fixes."""

import os
import tempfile
from collections import Counter
from contextlib import nullcontext

import numpy as np
import onnx

from adderhw.errors import ModelError

X64 = "session.x64quantprecision"
PAIRS = "DoubleQDQPairsRemover"
PLAIN = {}
EXACT = {X64: "1", "disabled_optimizers": PAIRS}
"""What makes a quantised file's integers those that ONNX defines.

On x86 without VNNI, onnxruntime's sums of unsigned by signed products saturate at 16 bits unless it is told to be
exact. And everywhere it replaces two quantisers in a row by one, which rounds once where ONNX rounds twice.
"""


class OrtSession:
    """A session of `model` (a ModelProto) with these options; raises ModelError where onnxruntime cannot load it.

    kernels: Counter of the ops that are run after onnxruntime's optimisations, if `look`.
    """

    def __init__(self, model, threads, options=EXACT, look=False):
        self.told = dict(options)
        try:
            self._open(model, threads, look)
        except Exception as error:  # onnxruntime raises types of its own, one per status code
            if X64 not in options or "NotImplemented" not in type(error).__name__:
                raise unloadable(error) from None
            self.told.pop(X64)  # then it has no kernel for QLinearMatMul of signed activations
            try:
                self._open(model, threads, look)
            except Exception as again:
                raise unloadable(again) from None

    def _open(self, model, threads, look):
        import onnxruntime  # 0.2 s of import that only a check needs

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4 if look else 3
        for key, value in self.told.items():
            if key.startswith("session."):
                options.add_session_config_entry(key, value)
        disabled = self.told.get("disabled_optimizers")
        with tempfile.TemporaryDirectory() if look else nullcontext() as folder:
            if look:
                options.optimized_model_filepath = path = os.path.join(folder, "optimised.onnx")
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"],
                disabled_optimizers=[disabled] if disabled else None,
            )  # fmt: skip
            graph = onnx.load(path, load_external_data=False).graph if look else None
        self.kernels = Counter(node.op_type for node in graph.node) if look else None

    def run(self, names, inputs):
        """The tensors `names` for arrays by name (N, …), also where the file fixes another batch size.

        Raises ModelError, in one line, for whatever onnxruntime raises.
        """
        count = len(next(iter(inputs.values())))
        fixed = [value.shape[0] for value in self.session.get_inputs() if value.shape and value.name in inputs]
        size = next((each for each in fixed if isinstance(each, int)), count)
        try:
            parts = [self.session.run(names, _piece(inputs, at, size)) for at in range(0, count, size)]
        except Exception as error:
            raise ModelError(f"check ort: onnxruntime cannot run the model ({reason_of(error)})") from None
        if len(parts) == 1:
            return [array[:count] if array.ndim and len(array) == size else array for array in parts[0]]
        return [np.concatenate(arrays)[:count] for arrays in zip(*parts, strict=True)]


def _piece(inputs, start, size):
    """`size` images from `start` on; the last one again where there are fewer."""
    pieces = {}
    for name, array in inputs.items():
        piece = array[start : start + size]
        missing = size - len(piece)
        pieces[name] = np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)]) if missing else piece
    return pieces


def reason_of(error):
    """What an exception of onnxruntime says, in one short line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def unloadable(error):
    """The ModelError of a model that onnxruntime does not load."""
    return ModelError(
        f"check ort: onnxruntime cannot load the model ({reason_of(error)}), expected function bodies in the file"
    )
