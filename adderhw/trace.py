"""Writes every tensor of a run as DIR/NAME.npy, with an index that maps files back to tensors."""

import contextlib
import json
import re

import numpy as np

from adderhw.files import new_folder

INDEX = "index.json"


@contextlib.contextmanager
def trace_to(folder, graph, count):
    """Gives a Trace; the folder takes its name only when all arrays in it are whole. Raises as new_folder does."""
    with new_folder(folder, "a trace") as partial:
        trace = Trace(partial, graph, count)
        yield trace
        trace.finish()


class Trace:
    """The arrays of `count` images in the folder `partial`: `add` takes tensors, name → (n, …), as they come."""

    def __init__(self, partial, graph, count):
        self.partial, self.graph, self.count = partial, graph, count
        self.files = file_names(graph.tensors)

    def add(self, tensors):
        """Appends the next images' tensors."""
        for name, array in tensors.items():
            with open(self.partial / self.files[name], "ab") as file:
                if not file.tell():
                    described = np.lib.format.header_data_from_array_1_0(array)
                    np.lib.format.write_array_header_1_0(file, {**described, "shape": (self.count, *array.shape[1:])})
                file.write(np.ascontiguousarray(array).tobytes())

    def finish(self):
        """Adds the parameters and the index."""
        for name, array in self.graph.parameters.items():
            np.save(self.partial / self.files[name], array)
        (self.partial / INDEX).write_text(json.dumps(self._index(), indent=1), encoding="utf-8")

    def _index(self):
        makers = {node.output: node for node in self.graph.nodes}
        return [self._entry(name, makers.get(name)) for name in self.files]

    def _entry(self, name, node):
        tensor = self.graph.tensors[name]
        fmt = tensor.format
        return {
            "file": self.files[name],
            "tensor": name,
            "kind": "parameter" if tensor.value is not None else "activation" if node else "input",
            "node": node.name if node else None,
            "op": node.op if node else None,
            "dtype": str(tensor.dtype),
            "format": None if fmt is None else {**vars(fmt), "name": fmt.name},
        }


def file_names(names):
    """Tensor name → file name safe on every file system, unique also where letter case does not count."""
    files, taken = {}, set()
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:100] or "tensor"
        unique, number = stem, 2
        while unique.lower() in taken:
            unique, number = f"{stem}-{number}", number + 1
        taken.add(unique.lower())
        files[name] = f"{unique}.npy"
    return files
