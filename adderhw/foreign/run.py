"""Runs a network of other tools whose integers are determined on a data set, and checks them with onnxruntime."""

import os
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from adderhw.foreign.check import ForeignCheck
from adderhw.foreign.exact import exact_network
from adderhw.inference import accuracy
from adderhw.samples import batches, check_labels, open_samples


class Running(NamedTuple):
    """What a run depends on, as adderhw.simulation.simulate takes it."""

    data: str | None
    split: str
    limit: int | None
    leave_out: object
    batch_size: int
    threads: int | None
    check: str | None
    progress: Callable | None


def run_exact(graph, running):
    """The document's data, accuracy, timing and check of a determined ForeignGraph; raises InexactError for others."""
    threads = running.threads or len(os.sched_getaffinity(0))
    started = perf_counter()
    network = exact_network(graph, threads)
    samples = open_samples(network, running.data, running.split, running.limit, running.leave_out)
    name, output = network.inputs[0].name, network.outputs[0]
    check_labels(samples, network.run({name: samples.batch(0, 1)})[output])
    compiled = perf_counter() - started
    checker = ForeignCheck(graph.proto, network, threads) if running.check else None
    scores, seconds = [], 0.0
    for start, values in batches(samples, running.batch_size):
        inputs = {name: values}
        before = perf_counter()
        tensors = network.run(inputs)
        seconds += perf_counter() - before
        if checker:
            checker.compare(inputs, tensors)
        scores.append(tensors[output])
        if running.progress:
            running.progress(min(start + running.batch_size, len(samples)), len(samples))
    return {
        "data": {"name": samples.name, "split": samples.split, "count": len(samples)},
        "accuracy": accuracy(np.concatenate(scores), samples.labels),
        "timing": {
            "threads": threads,
            "images": len(samples),
            "seconds": seconds,
            "images_per_second": len(samples) / seconds,
            "compile_seconds": compiled,
        },
        "check": checker.result() if checker else None,
    }
