"""Whole integer adder networks, exact, against their int8 CNN twins in onnxruntime: equal threads and batches.

    python -m benchmarks.networks

Both take float32 images and have random weights. Ours goes the whole way: PyTorch, export, quantisation, simulator,
with statistics of every accumulator. Every row says what it should reach at least: ResNet-20 1.5 times onnxruntime's
images per second for one image and 1.2 times for 128; ResNet-18 and ResNet-50 (224×224) as many; ResNet-20 at 4 bits
1.1 times its own 8 bits; and a whole pass at most 1/0.85 of the time of its kernels alone.
"""

import argparse
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from adderhw.plan import Plan
from benchmarks import ceiling
from benchmarks.onnxruntime_cnn import float_network, int8_cnn_session
from benchmarks.timing import SETTLE, cpu_name, median_ratio, paired, print_table, write_json
from quant import Settings, quantise
from training.taps import INPUTS

TARGETS = {  # (model, batch): images per second over those of onnxruntime, at least
    ("resnet20", 1): 1.5,
    ("resnet20", 128): 1.2,
    ("resnet18", 1): 1.0,
    ("resnet18", 8): 1.0,
    ("resnet50", 1): 1.0,
    ("resnet50", 8): 1.0,
}
OF_OWN_8_BITS = 1.1
OF_KERNELS = 0.85
SECONDS = 8  # about so long one row of pairs takes, with at least LEAST_RUNS of them
LEAST_RUNS, MOST_RUNS = 9, 301


@cache
def adder_network(model, bits=8):
    """The integer Graph of an adder network with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        shape = float_network(model, "ann", path)
        images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
        return quantise(path, images, Settings(bits=bits, range="max", bias_correction=False))


def images_of(model, batch):
    """float32 (N, C, H, W), standard normal."""
    return np.random.default_rng(batch).normal(size=(batch, *INPUTS[model][1])).astype(np.float32)


def call_of(graph, images, path, threads, timed=False):
    """(Plan, a call that runs it on the images)."""
    plan = Plan(graph, path=path, threads=threads, timed=timed)
    return plan, lambda: plan.run({graph.inputs[0].name: images})


def runs_for(calls, wanted):
    """How many paired runs: those wanted, or as many as take about SECONDS."""
    if wanted:
        return wanted
    (once,) = zip(*paired(calls, 1), strict=True)
    return int(min(max(SECONDS / sum(once), LEAST_RUNS), MOST_RUNS))


def against_onnxruntime(model, batch, threads, path, runs):
    """(row, share of time by layer) of a network beside its twin in onnxruntime."""
    graph, x = adder_network(model), images_of(model, batch)
    session = int8_cnn_session(model, threads)
    _, ours_call = call_of(graph, x, path, threads)
    calls = [ours_call, lambda: session.run(None, {"image": x})]
    runs = runs_for(calls, runs)
    ours, theirs = paired(calls, runs, SETTLE if threads > 1 else 0)
    row = {
        "network": model, "batch": batch, "threads": threads, "runs": runs, "adder images/s": batch / median(ours),
        "onnxruntime images/s": batch / median(theirs), "ratio": median_ratio(theirs, ours),
        "best/best": min(theirs) / min(ours), "target": TARGETS[model, batch],
    }  # fmt: skip
    timed, call = call_of(graph, x, path, threads, timed=True)
    for _ in range(3 + 100 // batch if model == "resnet20" else 3):
        call()
    return row, shares(timed)


def against_8_bits(batch, threads, path, runs):
    """A row of ResNet-20 at 4 bits beside itself at 8."""
    x = images_of("resnet20", batch)
    calls = [call_of(adder_network("resnet20", bits), x, path, threads)[1] for bits in (4, 8)]
    runs = runs_for(calls, runs)
    four, eight = paired(calls, runs)
    return {
        "batch": batch, "threads": threads, "runs": runs, "4 bits images/s": batch / median(four),
        "8 bits images/s": batch / median(eight), "ratio": median_ratio(eight, four), "target": OF_OWN_8_BITS,
    }  # fmt: skip


def against_its_kernels(model, batch, path, runs):
    """A row of a whole pass on one thread beside the sum of its kernels, each timed alone inside a pass."""
    graph, x = adder_network(model), images_of(model, batch)
    timed, timed_call = call_of(graph, x, path, 1, timed=True)
    sums = []

    def kernels():
        before = sum(timed.seconds())
        timed_call()
        sums.append(sum(timed.seconds()) - before)

    calls = [call_of(graph, x, path, 1)[1], kernels]
    runs = runs_for(calls, runs)
    whole, _ = paired(calls, runs)
    alone = sums[-runs:]
    return {
        "network": model, "batch": batch, "runs": runs, "kernels alone ms": 1e3 * median(alone),
        "whole pass ms": 1e3 * median(whole), "kernels/whole": median_ratio(alone, whole), "target": OF_KERNELS,
    }  # fmt: skip


def shares(plan):
    """Share of the simulator's time by kind of layer."""
    spent = Counter()
    for step, seconds in zip(plan.steps, plan.seconds(), strict=True):
        node = step.nodes[0]
        outputs = plan.graph.tensors[node.output].shape[1]
        name = f"{node.op} {outputs}ch" if node.op == "AdderConvInteger" else node.op
        spent[name] += seconds
    return {name: seconds / spent.total() for name, seconds in spent.most_common()}


def main():
    """Measures every network, batch size and thread count and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="kernel path: vnni, avx512, avx2 or portable (default: the best)")
    parser.add_argument("--model", nargs="+", choices=("resnet20", "resnet18", "resnet50"), default=["resnet20"],
                        help="networks to measure (default resnet20)")  # fmt: skip
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--runs", type=int, default=0, help=f"paired runs (default: {LEAST_RUNS} to {MOST_RUNS})")
    parser.add_argument("--json", help="also write the result to this file")
    arguments = parser.parse_args()
    path = Plan(adder_network("resnet20"), path=arguments.path).options.path
    print(f"{cpu_name()}, path {path}, medians of paired runs; int8 CNNs by onnxruntime (QDQ, per channel)")
    result = {"cpu": cpu_name(), "path": path, **measure(arguments, path)}
    write_json(arguments.json, result)


def measure(arguments, path):
    """Prints each table as soon as it is measured; returns them by name."""
    rows, layers = [], []
    for model, batch in TARGETS:
        for threads in arguments.threads if model in arguments.model else ():
            row, share = against_onnxruntime(model, batch, threads, path, arguments.runs)
            rows.append(row)
            layers.append({"network": model, "batch": batch, "threads": threads, **share})
    print_table(rows)
    for threads in arguments.threads:
        rate = ceiling.rate(path, threads)
        print(f"machine's ceiling on {threads} threads, registers only: {rate / 1e9:.0f} G absolute differences/s")
    print("share of the simulator's time")
    for layer in layers:
        text = ", ".join(f"{name} {value:.1%}" for name, value in layer.items() if isinstance(value, float))
        print(f"{layer['network']}, batch {layer['batch']}, {layer['threads']} threads: {text}")
    own = [against_8_bits(batch, threads, path, arguments.runs) for batch in (1, 128) for threads in arguments.threads]
    print("ResNet-20 at 4 bits beside 8 bits")
    print_table(own)
    kernels = [against_its_kernels(m, batch, path, arguments.runs) for m, batch in TARGETS if m in arguments.model]
    print("whole passes beside their kernels alone, one thread")
    print_table(kernels)
    return {"rows": rows, "shares": layers, "bits": own, "kernels": kernels}


if __name__ == "__main__":
    main()
