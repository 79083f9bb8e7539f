"""The Python API: load an integer model, run it on arrays, simulate it on a data set with tallies and energies."""

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from adderhw.accuracy import accuracy
from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.cnn_weights import cnn_weights
from adderhw.cost.energy import load_table
from adderhw.cost.operands import operands_of
from adderhw.errors import AdderHwError, ModelError
from adderhw.fixed import bits_for
from adderhw.foreign.run import Running
from adderhw.foreign.tally import (
    ForeignModel,
    check_as,
    foreign_document,
    is_foreign,
    load_foreign,
    repriced_document,
)
from adderhw.graph import Graph
from adderhw.kernels import Accumulator
from adderhw.onnx_reader import load_proto, read_graph
from adderhw.ops import BY_NAME
from adderhw.ops.base import DOMAIN_VERSION
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from adderhw.report.document import OWN_WEIGHTS, AccumulatorStats, LayerResult, build_document
from adderhw.samples import open_samples
from adderhw.trace import Trace

DEFAULT_TABLES = ("horowitz45", "qtools45")
SHIPPED_MODEL = Path(__file__).parent / "models" / "digits_int8.onnx"
OVERFLOWS = ("wrap", "saturate")


@dataclass(frozen=True)
class Model:
    """An integer model as read from a file: its Graph, path and SHA-256."""

    graph: Graph
    path: Path
    sha256: str

    def run(self, x, *, path=None):
        """The first output for the batch `x` (N, …) in ONNX layout, of the input's dtype."""
        outputs = Plan(self.graph, path=path).run({self.graph.inputs[0].name: x})
        return outputs[self.graph.outputs[0]]


def open_model(path):
    """The Model in the ONNX file `path`, or the ForeignModel where no op in it is this toolkit's."""
    if not is_foreign(load_proto(path)):
        return load(path)
    try:
        return load(path)
    except ModelError:
        return load_foreign(path)


def load(path=SHIPPED_MODEL):
    """The Model in the integer ONNX file `path` (default: the digits network that ships). Raises ModelError."""
    graph = read_graph(path)
    return Model(graph, Path(path), hashlib.sha256(Path(path).read_bytes()).hexdigest())


def simulate(
    model=SHIPPED_MODEL,
    *,
    data=None,
    split="test",
    limit=None,
    leave_out=None,
    batch_size=128,
    threads=None,
    path=None,
    energy=DEFAULT_TABLES,
    cnn=None,
    accelerator=None,
    check=None,
    trace=None,
    accumulator_bits=0,
    overflow="wrap",
    accumulate_all=False,
    arithmetic=None,
    bits=None,
    progress=None,
    command=None,
):
    """Runs `model` (a path or a Model) on `data` and returns the schema 2 document (docs/energy.md) as a dict.

    A file without ops of this toolkit is simulated where its integers are determined and `data` is given; else it is
    tallied and priced only, and the document says why. So is a topology that `arithmetic` ('adder', 'cnn' or 'bnn')
    prices with other layers. bits: width of the integer networks beside a float file's, None for 8.

    data: a data set's name or a .npy/.npz file; None: digits, and no run of a file of other tools. split, limit: which
    of its images; leave_out: an .npz whose array named as the split has indices of images not to take.
    batch_size: images per call.
    threads: None for all cores; results do not depend on it. path: kernel path ('vnni', 'avx512', 'avx2', 'portable').
    energy: names or paths of energy tables. cnn: ONNX file of a CNN of the same topology, whose weights the
    hard-wired CNN of the comparison takes instead of this network's.
    accelerator: name or path of a described accelerator, whose memory traffic is counted and priced too.
    check: 'ort' compares every tensor with onnxruntime. trace: folder for every tensor as .npy.
    accumulator_bits, overflow: simulate adder accumulators of that width that 'wrap' or 'saturate' (0: wide enough);
    accumulate_all: also those of convolutions.
    progress: called with (images done, images in all). command: how to reproduce, for the report.
    Raises AdderHwError subclasses for everything that does not fit.
    """
    check_call(batch_size, threads, check, accumulator_bits, overflow)
    check_as(arithmetic, bits)
    model = model if isinstance(model, Model) else open_model(model)
    tables = [load_table(table) for table in energy]
    described = load_accelerator(accelerator) if accelerator else None
    options = {"arithmetic": arithmetic, "bits": bits, "tables": tables, "accelerator": described, "command": command}
    only_simulated = {"trace": trace, "cnn": cnn, "accumulator_bits": accumulator_bits or None}
    if isinstance(model, ForeignModel):
        running = Running(data, split, limit, leave_out, batch_size, threads, check, progress)
        return foreign_document(model, running=running, refused=only_simulated, **options)
    if arithmetic:
        return repriced_document(model, refused={"check": check, "leave_out": leave_out, **only_simulated}, **options)
    if bits is not None:
        raise AdderHwError(f"bits: found {bits} for an integer model, expected none (the file states its widths)")
    operands, cnn_operands = layer_operands(model.graph, cnn)
    samples = open_samples(model.graph, data or "digits", split, limit, leave_out)
    threads = threads or available_threads()
    accumulator = Accumulator(accumulator_bits, overflow == "saturate")
    started = perf_counter()
    plan = Plan(
        model.graph,
        path=path,
        accumulator=accumulator,
        accumulate_all=accumulate_all,
        keep_all=bool(check or trace),
        threads=threads,
    )
    warm_up(plan, samples)
    compile_seconds = perf_counter() - started
    checker = OrtCheck(load_proto(model.path), model.graph, threads) if check else None
    with ExitStack() as stack:
        tracer = stack.enter_context(Trace(trace, model.graph, len(samples))) if trace else None
        logits, seconds = run_batches(plan, samples, batch_size, checker, tracer, progress)
    return build_document(
        model={
            "path": str(model.path),
            "name": model.graph.name,
            "sha256": model.sha256,
            "domain_version": DOMAIN_VERSION,
            "parameters": model.graph.parameter_count,
        },
        data={"name": samples.name, "split": samples.split, "count": len(samples)},
        accuracy=accuracy(logits, samples.labels),
        layers=layer_results(plan, operands, cnn_operands),
        tables=tables,
        timing={
            "threads": threads,
            "images": len(samples),
            "seconds": seconds,
            "images_per_second": len(samples) / seconds,
            "compile_seconds": compile_seconds,
            "path": plan.options.path,
            "fused": plan.fused,
        },
        check=checker.result() if checker else None,
        command=command,
        cnn_source=f"the weights of {cnn}, rounded to the weights' width" if cnn else OWN_WEIGHTS,
        accelerator=described,
    )


def layer_operands(graph, cnn=None):
    """({node name: Operands}, the same with the weights of the CNN in the file `cnn`, empty without one)."""
    operands = operands_of(graph)
    if cnn is None:
        return operands, {}
    bits = {work.name: work.weight_bits for work in graph.work()}
    weights = cnn_weights(cnn, {name: (known, bits[name]) for name, known in operands.items()})
    return operands, {name: replace(known, weight=weights[name]) for name, known in operands.items()}


def check_call(batch_size, threads, check, accumulator_bits, overflow):
    """Raises AdderHwError for an argument out of its range."""
    if batch_size < 1:
        raise AdderHwError(f"batch size: found {batch_size}, expected at least 1")
    if threads is not None and not 1 <= threads <= available_threads():
        raise AdderHwError(f"threads: found {threads}, expected 1 to {available_threads()}")
    if check not in (None, "ort"):
        raise AdderHwError(f"check: found {check!r}, expected 'ort'")
    if not 0 <= accumulator_bits <= 63 or accumulator_bits == 1:
        raise AdderHwError(f"accumulator bits: found {accumulator_bits}, expected 2 to 63, or 0 for wide enough")
    if overflow not in OVERFLOWS:
        raise AdderHwError(f"overflow: found {overflow!r}, expected one of {', '.join(OVERFLOWS)}")
    if check and accumulator_bits:
        raise AdderHwError(
            "check: found a narrowed accumulator, expected exact sums (onnxruntime has no such accumulator)"
        )


def available_threads():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def warm_up(plan, samples):
    """Compiles (or loads from the cache) what the plan calls, and forgets what the run left behind."""
    plan.run({plan.graph.inputs[0].name: samples.batch(0, 1)})
    plan.forget()


def run_batches(plan, samples, batch_size, checker, tracer, progress):
    """(logits of all samples, seconds inside the simulator)."""
    logits, seconds, name = [], 0.0, plan.graph.inputs[0].name
    for start in range(0, len(samples), batch_size):
        inputs = {name: samples.batch(start, start + batch_size)}
        before = perf_counter()
        tensors = plan.run(inputs)
        seconds += perf_counter() - before
        if checker:
            checker.compare(inputs, tensors)
        if tracer:
            tracer.add({**inputs, **tensors})
        logits.append(tensors[plan.graph.outputs[0]])
        if progress:
            progress(min(start + batch_size, len(samples)), len(samples))
    return np.concatenate(logits), seconds


def layer_results(plan, operands, cnn_operands):
    """A LayerResult per node: its work, what its accumulator showed over the images that ran, what it works on."""
    return [
        LayerResult(
            work,
            accumulator_stats(plan, node) if BY_NAME[node.op].sums else None,
            operands.get(node.name),
            cnn_operands.get(node.name),
        )
        for node, work in zip(plan.graph.nodes, plan.graph.work(plan.options), strict=True)
    ]


def accumulator_stats(plan, node):
    """The AccumulatorStats of a summing node."""
    stats, out = plan.stats(node), plan.graph.tensors[node.output]
    high, low = int(stats[0]), 0 if len(stats) == 2 else int(stats[1])
    return AccumulatorStats(
        bound_bits=bits_for(out.lowest, out.highest)[0],
        observed_bits=bits_for(low, high)[0],
        observed_max=max(high, -low),
        overflows=int(stats[-1]),
    )
