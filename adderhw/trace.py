"""Writes every tensor of a run as DIR/NAME.npy, with an index that maps files back to tensors."""

import json
import os
import re
import secrets
import shutil
from pathlib import Path

import numpy as np

from adderhw.errors import AdderHwError

INDEX = "index.json"


class Trace:
    """A folder of arrays that takes its name only when all of them are whole.

    Use as a context: `with Trace(folder, graph, count) as trace: trace.add(tensors)`, tensors name → (n, …).
    Raises AdderHwError unless `folder` is free (or an empty folder) and can be written.
    """

    def __init__(self, folder, graph, count):
        self.folder, self.graph, self.count, self.done = Path(folder), graph, count, 0
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise AdderHwError(f"{folder}: cannot write a trace: found something there, expected a new or empty folder")
        self.files = file_names(graph.tensors)
        self.partial = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(4)}.tmp")
        self.arrays = {}
        try:
            self.partial.mkdir()
        except OSError as error:
            raise AdderHwError(
                f"{folder}: cannot write a trace: {error.strerror}, expected a writable folder"
            ) from None

    def __enter__(self):
        return self

    def add(self, tensors):
        """Appends the next images' tensors."""
        for name, array in tensors.items():
            if name not in self.arrays:
                path = self.partial / self.files[name]
                shape = (self.count, *array.shape[1:])
                self.arrays[name] = np.lib.format.open_memmap(path, "w+", array.dtype, shape)
            self.arrays[name][self.done : self.done + len(array)] = array
        self.done += len(next(iter(tensors.values())))

    def __exit__(self, kind, error, trace):
        self.arrays.clear()
        if kind is None:
            for name, array in self.graph.parameters.items():
                np.save(self.partial / self.files[name], array)
            (self.partial / INDEX).write_text(json.dumps(self._index(), indent=1))
            if self.folder.exists():
                self.folder.rmdir()
            os.replace(self.partial, self.folder)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)

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
