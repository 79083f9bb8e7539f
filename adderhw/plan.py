"""Plan, then run: a Graph becomes a flat list of compiled steps over numbered slots."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from adderhw.errors import ModelError
from adderhw.kernels import Accumulator, choose_path
from adderhw.ops import BY_NAME
from adderhw.ops.base import Node, RunOptions
from adderhw.ops.requantize import requant_of

IMAGES_PER_PASS = 32
"""Images that go through the whole network together: activations of a pass stay in the cache."""


@dataclass(frozen=True)
class Step:
    """One call of a kernel: run(inputs…, dtype, result) writes slot `output`; `nodes` names what it computes."""

    run: Callable
    inputs: tuple[int, ...]
    output: int
    dtype: np.dtype
    nodes: tuple[Node, ...]
    dead: tuple[int, ...]


class Plan:
    """A graph made ready to run. Results do not depend on the path, the batch size or the number of threads.

    path: kernel path, None for the fastest here. accumulator: the adder layers' Accumulator (of every layer
    with accumulate_all). keep_all: every tensor is computed and kept, so nothing is fused.
    """

    def __init__(self, graph, *, path=None, accumulator=None, accumulate_all=False, keep_all=False):
        self.graph = graph
        self.options = RunOptions(choose_path(path), accumulator or Accumulator(0, False), accumulate_all)
        self.keep_all = keep_all
        self.stats = {node.name: np.zeros(stats_size(node), np.int64) for node in graph.nodes if BY_NAME[node.op].sums}
        self._slots = {}
        self.steps = tuple(self._steps())
        self.seconds = np.zeros(len(self.steps))

    def _slot(self, name):
        return self._slots.setdefault(name, len(self._slots))

    def _steps(self):
        fused = self._fused()
        jobs = [job for node in self.graph.nodes if (job := self._job(node, fused))]
        last = {name: i for i, (_, names, _, _) in enumerate(jobs) for name in names}
        for i, (run, names, output, nodes) in enumerate(jobs):
            free = {self._slot(name) for name in names if last[name] == i and name not in self._kept()}
            dtype = self.graph.tensors[output].dtype
            yield Step(run, tuple(map(self._slot, names)), self._slot(output), dtype, nodes, tuple(free))

    def _kept(self):
        return self.graph.tensors.keys() if self.keep_all else set(self.graph.outputs)

    def _fused(self):
        """Name of a summing node → the Requantize that alone reads its sums."""
        pairs = {}
        for node in self.graph.nodes:
            readers = self.graph.consumers.get(node.output, ())
            if BY_NAME[node.op].sums and node.output not in self._kept() and len(readers) == 1:
                (reader,) = readers
                if reader.op == "Requantize":
                    pairs[node.name] = reader
        return pairs

    def _job(self, node, fused):
        """(run, activation names, output name, nodes) of one step, or None for a node that another step computes."""
        if any(node is reader for reader in fused.values()):
            return None
        reader = fused.get(node.name)
        args, out = self.graph.args(node), self.graph.tensors[node.output]
        requant = requant_of(reader, self.graph.args(reader)) if reader else None
        stats = self.stats.get(node.name)
        run = BY_NAME[node.op].compile(node, args, out, self.options, requant, stats)
        names = tuple(tensor.name for tensor in args if tensor is not None and tensor.value is None)
        return run, names, (reader or node).output, (node, reader) if reader else (node,)

    def run(self, inputs):
        """Output name → array in ONNX layout (every tensor's with keep_all), for `inputs` name → array (N, …).

        Raises ModelError for a missing input or an array of another shape or dtype.
        """
        arrays = [checked(tensor, inputs) for tensor in self.graph.inputs]
        count = len(arrays[0])
        parts = [
            self._pass([array[start : start + IMAGES_PER_PASS] for array in arrays])
            for start in range(0, count, IMAGES_PER_PASS)
        ]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _pass(self, arrays):
        slots = [None] * len(self._slots)
        for tensor, array in zip(self.graph.inputs, arrays, strict=True):
            slots[self._slots[tensor.name]] = channels_last(array)
        for i, step in enumerate(self.steps):
            start = perf_counter()
            slots[step.output] = step.run(*[slots[j] for j in step.inputs], step.dtype)
            for j in step.dead:
                slots[j] = None
            self.seconds[i] += perf_counter() - start
        names = [name for name in self._slots if name in self._kept()]
        return {name: channels_first(slots[self._slots[name]]) for name in names}


def stats_size(node):
    """[largest, overflows] of a sum that is never negative, [largest, smallest, overflows] of a signed one."""
    return 2 if node.op.startswith("Adder") else 3


def checked(tensor, inputs):
    """The array for the input `tensor`; raises ModelError where it is missing or does not fit."""
    if tensor.name not in inputs:
        raise ModelError(f"input {tensor.name!r}: found only {sorted(inputs)}, expected an array for it")
    array = np.asarray(inputs[tensor.name])
    if array.shape[1:] != tensor.shape[1:] or not len(array):
        raise ModelError(
            f"input {tensor.name!r}: found shape {list(array.shape)}, expected [N, {str([*tensor.shape[1:]])[1:]}"
        )
    if array.dtype != tensor.dtype:
        raise ModelError(f"input {tensor.name!r}: found dtype {array.dtype}, expected {tensor.dtype}")
    if tensor.is_float:
        if not np.isfinite(array).all():
            raise ModelError(f"input {tensor.name!r}: found NaN or infinity, expected finite numbers")
    elif array.min() < tensor.lowest or array.max() > tensor.highest:
        raise ModelError(
            f"input {tensor.name!r}: found integers from {array.min()} to {array.max()}, "
            f"expected {tensor.lowest} to {tensor.highest}"
        )
    return array


def channels_last(array):
    """(N, C, H, W) → (N, H, W, C), contiguous; other ranks as they are."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1) if array.ndim == 4 else array)


def channels_first(array):
    """(N, H, W, C) → (N, C, H, W), contiguous; other ranks as they are."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1) if array.ndim == 4 else array)
