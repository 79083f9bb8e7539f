"""Plan, then run: a Graph becomes a flat list of compiled steps over buffers that are laid out once."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from time import perf_counter

import numpy as np

from adderhw.errors import ModelError
from adderhw.fixed import storage_dtype
from adderhw.fusion import find_fusions
from adderhw.kernels import Program, choose_path
from adderhw.layouts import channels_first, channels_last_shape
from adderhw.memory_limit import memory_limit
from adderhw.ops import BY_NAME
from adderhw.ops.base import EXACT, Node, RunOptions

IMAGES_PER_PASS = 16  # images that go through all layers together: their activations stay in the second-level cache
ALIGNMENT = 64  # bytes: a cache line, and a vector of AVX-512


@dataclass(frozen=True)
class Step:
    """One call of a kernel, made by bind (see Op.compile); `nodes` names what it computes.

    inputs, output: tensor names. dtype, shape: of the output as it is stored here, NHWC without the batch.
    """

    bind: Callable
    inputs: tuple[str, ...]
    output: str
    dtype: np.dtype
    shape: tuple[int, ...]
    nodes: tuple[Node, ...]


class Plan:
    """A graph made ready to run. Results do not depend on path, batch size or threads.

    path: kernel path, None for the fastest here. accumulator: the adder layers' Accumulator (of every layer
    with accumulate_all). keep_all: every tensor is computed and kept, so nothing is fused. threads: images are
    shared between so many threads; a batch of fewer images shares the rows of each layer. timed: steps are run one
    by one from Python and their times kept (see seconds), which costs about a microsecond a step. max_memory: bytes
    that activations may take, this machine's memory if None; a pass that needs more raises ModelError beforehand.
    """

    def __init__(
        self,
        graph,
        *,
        path=None,
        accumulator=EXACT,
        accumulate_all=False,
        keep_all=False,
        threads=1,
        timed=False,
        max_memory=None,
    ):
        self.graph = graph
        self.options = RunOptions(choose_path(path), accumulator, accumulate_all)
        self.kept = tuple(graph.tensors if keep_all else graph.outputs)
        self.kept = tuple(name for name in self.kept if graph.tensors[name].value is None)
        self.fused = not keep_all
        self.threads, self.timed = threads, timed
        self.max_memory = memory_limit() if max_memory is None else max_memory
        self.steps = tuple(self._steps())
        self.offsets, self.image_bytes = lay_out(self.steps, self.kept)
        self.workers = [Worker(self) for _ in range(threads)]
        self.pool, self.pool_process = None, None

    def _steps(self):
        fusions = find_fusions(self.graph, self.kept)
        narrow = {name for fusion in fusions.values() for name in fusion.narrow}
        absorbed = {node.name for fusion in fusions.values() for node in fusion.absorbed}
        for node in self.graph.nodes:
            if node.name not in absorbed:
                yield self._step(node, fusions.get(node.name), narrow)

    def _step(self, node, fusion, narrow):
        args = self.graph.args(node)
        check_layouts(node, args)
        bind = BY_NAME[node.op].compile(node, args, self.graph.tensors[node.output], self.options, fusion)
        inputs = fusion.inputs if fusion else tuple(t.name for t in args if t is not None and t.value is None)
        output = fusion.output if fusion else node.output
        nodes = (node, *fusion.absorbed) if fusion else (node,)
        tensor = self.graph.tensors[output]
        dtype = storage_dtype(min(tensor.lowest, -129), tensor.highest) if output in narrow else tensor.dtype
        return Step(bind, inputs, output, dtype, channels_last_shape(tensor.shape[1:]), nodes)

    def run(self, inputs):
        """Output name → array in ONNX layout (every tensor's with keep_all), for `inputs` name → array (N, …).

        Raises ModelError for a missing input or an array of another shape or dtype.
        """
        arrays = {tensor.name: checked(tensor, inputs) for tensor in self.graph.inputs}
        count = len(next(iter(arrays.values())))
        sharing = min(self.threads, count) if count >= self.threads else 1
        size = min(IMAGES_PER_PASS, -(-count // sharing))
        pieces = [{name: array[at : at + size] for name, array in arrays.items()} for at in range(0, count, size)]
        if sharing == 1:
            parts = self.workers[0].run(pieces, self.threads)
        else:
            shares = [pieces[worker::sharing] for worker in range(sharing)]
            done = list(self._threads_here().map(Worker.run, self.workers, shares, [1] * sharing))
            parts = [done[at % sharing][at // sharing] for at in range(len(pieces))]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _threads_here(self):
        """The pool of threads, made when it is first needed; a forked process has none of its parent's threads."""
        if self.pool_process != os.getpid():
            self.pool, self.pool_process = ThreadPoolExecutor(self.threads), os.getpid()
        return self.pool

    def check_memory(self, images):
        """Raises ModelError where the activations of passes of so many images, one a thread, exceed max_memory."""
        needed = images * self.image_bytes * len(self.workers)
        if needed > self.max_memory:
            raise ModelError(
                f"activations of {images} image(s) in {len(self.workers)} thread(s): found {needed:,} bytes, "
                f"expected at most {self.max_memory:,} (fewer threads, a smaller batch, or --max-memory)"
            )

    def stats(self, node):
        """[largest, overflows] of an adder layer's exact sums so far; [largest, smallest, overflows] of signed ones."""
        return merged_statistics(np.concatenate([worker.stats[node.name] for worker in self.workers]))

    def seconds(self):
        """Seconds spent in each of `steps` so far, all workers together; zeros unless the plan is timed."""
        return [sum(times) for times in zip(*(worker.seconds for worker in self.workers), strict=True)]

    def forget(self):
        """Sets statistics and times back to nothing."""
        for worker in self.workers:
            worker.forget()


class Worker:
    """One thread's buffers, statistics and times."""

    def __init__(self, plan):
        self.plan, self.bound = plan, {}
        self.arena = np.empty(0, np.uint8)
        self.stats = {
            step.nodes[0].name: np.zeros((plan.threads, stats_size(step.nodes[0])), np.int64) for step in plan.steps
        }
        self.forget()

    def forget(self):
        """Sets statistics and times back to nothing."""
        self.seconds = [0.0] * len(self.plan.steps)
        for stats in self.stats.values():
            stats[:] = 0

    def run(self, pieces, threads):
        """The kept tensors of each piece (a dict of input arrays), in ONNX layout; kernels use `threads` threads."""
        return [self._pass(piece, threads) for piece in pieces]

    def _pass(self, piece, threads):
        images = len(next(iter(piece.values())))
        key = images, threads
        if key not in self.bound:
            self.bound[key] = self._bind(images, threads)
        inputs, programs, kept = self.bound[key]
        for name, array in piece.items():
            np.copyto(inputs[name], array)
        for i, program in enumerate(programs):
            start = perf_counter()
            program.run()
            self.seconds[i] += perf_counter() - start
        return {name: np.array(array, order="C") for name, array in kept.items()}

    def _bind(self, images, threads):
        """(inputs, programs, kept) of a pass: views in ONNX layout to write and to read, and what runs between."""
        plan = self.plan
        plan.check_memory(images)
        if len(self.arena) < images * plan.image_bytes + ALIGNMENT:
            self.arena = np.empty(images * plan.image_bytes + ALIGNMENT, np.uint8)
            self.bound.clear()
        base = -self.arena.ctypes.data % ALIGNMENT
        arrays, inputs = {}, {}
        for tensor in plan.graph.inputs:
            shape = tensor.shape[1:] if tensor.planar else channels_last_shape(tensor.shape[1:])
            arrays[tensor.name] = np.empty((images, *shape), tensor.dtype)
            inputs[tensor.name] = arrays[tensor.name] if tensor.planar else channels_first(arrays[tensor.name])
        views = dict(inputs)
        for step in plan.steps:
            arrays[step.output] = self._view(step, base + images * plan.offsets[step.output], images)
            views[step.output] = channels_first(arrays[step.output])
        steps = [
            step.bind(
                [arrays[name] for name in step.inputs], arrays[step.output], threads,
                self.stats[step.nodes[0].name][:threads],
            )
            for step in plan.steps
        ]  # fmt: skip
        programs = [Program([step], threads) for step in steps] if plan.timed else [Program(steps, threads)]
        return inputs, programs, {name: views[name] for name in plan.kept}

    def _view(self, step, start, images):
        shape = (images, *step.shape)
        stop = start + prod(shape) * step.dtype.itemsize
        return self.arena[start:stop].view(step.dtype).reshape(shape)


def check_layouts(node, args):
    """Raises ModelError where the node would read an activation that lies in memory otherwise than its op takes."""
    for tensor in args:
        if tensor is not None and tensor.planar and not BY_NAME[node.op].reads_planar:
            node.fail(f"input {tensor.name!r} in memory as (N, C, H, W)", "(N, H, W, C), or an op that reads both")


def lay_out(steps, kept):
    """(tensor name → offset, bytes) for one image: tensors that live at the same time never overlap."""
    last = {name: i for i, step in enumerate(steps) for name in step.inputs} | dict.fromkeys(kept, len(steps))
    offsets, live = {}, []
    for i, step in enumerate(steps):
        live = [entry for entry in live if entry[2] >= i]
        size = -(-prod(step.shape) * step.dtype.itemsize // ALIGNMENT) * ALIGNMENT
        start = 0
        for other_start, other_stop, _ in sorted(live):
            if start + size <= other_start:
                break
            start = max(start, other_stop)
        offsets[step.output] = start
        live.append((start, start + size, max(last.get(step.output, i), i)))
    most = max(offsets[step.output] + prod(step.shape) * step.dtype.itemsize for step in steps)
    return offsets, -(-most // ALIGNMENT) * ALIGNMENT


def merged_statistics(rows):
    """One row of Plan.stats of several, int64 (rows, 2 or 3): the extremes, and the sum of the overflows."""
    merged = rows.max(axis=0)
    merged[-1] = rows[:, -1].sum()
    if len(merged) == 3:
        merged[1] = rows[:, 1].min()
    return merged


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
