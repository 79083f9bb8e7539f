"""Runs a graph over all samples, here or on a cluster: logits, what the sums showed, and how long it took."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from adderhw.fixed import bits_for
from adderhw.onnx_reader import graph_of, load_proto
from adderhw.ops import BY_NAME
from adderhw.ops.base import RunOptions
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan, merged_statistics
from adderhw.report.document import AccumulatorStats, LayerResult
from adderhw.samples import batches, check_labels
from adderhw.trace import trace_to

CLUSTER_IMAGES = 1024  # images of a task on a cluster


@dataclass(frozen=True)
class Inference:
    """logits: (N, …) of the first output. statistics: summing node → int64 row, as Plan.stats gives it.

    options: RunOptions that the work is counted by. timing: the document's section. check: its section, or None.
    """

    logits: np.ndarray
    statistics: dict[str, np.ndarray]
    options: RunOptions
    timing: dict
    check: dict | None = None


def infer(graph, samples, batch_size, threads, plan_options, *, check_path=None, trace=None, progress=None):
    """The Inference of a Graph over Samples on this machine.

    plan_options: path, accumulator and accumulate_all of Plan. check_path: the model's file, to compare every tensor
    with onnxruntime. trace: folder for every tensor. progress: called with (images done, images in all).
    """
    started = perf_counter()
    plan = Plan(graph, keep_all=bool(check_path or trace), threads=threads, **plan_options)
    check_labels(samples, warm_up(plan, samples))
    compile_seconds = perf_counter() - started
    checker = OrtCheck(load_proto(check_path), graph, threads) if check_path else None
    with ExitStack() as stack:
        tracer = stack.enter_context(trace_to(trace, graph, len(samples))) if trace else None
        logits, seconds = run_batches(plan, samples, batch_size, checker, tracer, progress)
    timing = timing_section(threads, len(samples), seconds, compile_seconds) | {
        "path": plan.options.path,
        "fused": plan.fused,
    }
    return Inference(logits, statistics_of(plan), plan.options, timing, checker.result() if checker else None)


def infer_on_cluster(address, model_bytes, name, samples, batch_size, plan_options, progress=None):
    """The Inference of the ONNX model in `model_bytes` over Samples, in tasks of CLUSTER_IMAGES on a Dask cluster.

    Each task counts once: a task whose worker dies runs again elsewhere. Seconds are those from the first task to the
    last. Raises AdderHwError where there is no cluster, ClusterError where it is lost.
    """
    from adderhw.cluster import on_cluster

    starts = range(0, len(samples), CLUSTER_IMAGES)
    tasks = (
        replace(samples, values=np.asarray(samples.values[at : at + CLUSTER_IMAGES]), labels=None) for at in starts
    )
    shared, started, parts, done = (model_bytes, name, batch_size, plan_options), perf_counter(), {}, 0
    for index, part in on_cluster(address, infer_part, shared, tasks):
        parts[index] = part
        done += len(part.logits)
        if progress:
            progress(done, len(samples))
    ordered = [parts[index] for index in range(len(starts))]
    statistics = {
        node: merged_statistics(np.stack([part.statistics[node] for part in ordered])) for node in ordered[0].statistics
    }
    threads = sum({part.timing["host"]: part.timing["threads"] for part in ordered}.values())
    timing = timing_section(threads, len(samples), perf_counter() - started, 0.0)
    return Inference(np.concatenate([part.logits for part in ordered]), statistics, ordered[0].options, timing)


def infer_part(shared, samples):
    """A worker's part of infer_on_cluster: an Inference of its Samples, on one thread."""
    import onnx

    model_bytes, name, batch_size, plan_options = shared
    graph = graph_of(onnx.load_model_from_string(model_bytes), name)
    part = infer(graph, samples, batch_size, 1, plan_options)
    return replace(part, timing=part.timing | {"host": f"{os.uname().nodename}/{os.getpid()}"})


def timing_section(threads, images, seconds, compile_seconds):
    """The document's `timing`."""
    return {
        "threads": threads,
        "images": images,
        "seconds": seconds,
        "images_per_second": images / seconds,
        "compile_seconds": compile_seconds,
    }


def warm_up(plan, samples):
    """The scores of the first image; compiles (or loads from the cache) what the plan calls, and forgets the run."""
    scores = plan.run({plan.graph.inputs[0].name: samples.batch(0, 1)})[plan.graph.outputs[0]]
    plan.forget()
    return scores


def run_batches(plan, samples, batch_size, checker, tracer, progress):
    """(logits of all samples, seconds inside the simulator)."""
    logits, seconds, name = [], 0.0, plan.graph.inputs[0].name
    for start, values in batches(samples, batch_size):
        inputs = {name: values}
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


def statistics_of(plan):
    """{name: Plan.stats} of every node that sums."""
    return {node.name: plan.stats(node) for node in plan.graph.nodes if BY_NAME[node.op].sums}


def accuracy(logits, labels):
    """top1, top5 and counts, None without labels; the lower class wins a tie, and top5 needs more than 5 classes."""
    if labels is None or logits.ndim != 2:
        return None
    ranked = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")
    correct = int((ranked[:, 0] == labels).sum())
    top5 = float((ranked[:, :5] == labels[:, None]).any(axis=1).mean()) if logits.shape[1] > 5 else None
    return {"top1": correct / len(labels), "top5": top5, "correct": correct, "count": len(labels)}


def layer_results(graph, inference, operands, cnn_operands):
    """A LayerResult per node: its work, what its accumulator showed over the images that ran, what it works on."""
    return [
        LayerResult(
            work,
            accumulator_stats(graph, node, inference.statistics.get(node.name)),
            operands.get(node.name),
            cnn_operands.get(node.name),
        )
        for node, work in zip(graph.nodes, graph.work(inference.options), strict=True)
    ]


def accumulator_stats(graph, node, stats):
    """The AccumulatorStats of a node with its row of statistics; None without one."""
    if stats is None:
        return None
    out = graph.tensors[node.output]
    high, low = int(stats[0]), 0 if len(stats) == 2 else int(stats[1])
    return AccumulatorStats(
        bound_bits=bits_for(out.lowest, out.highest)[0],
        observed_bits=bits_for(low, high)[0],
        observed_max=max(high, -low),
        overflows=int(stats[-1]),
    )
