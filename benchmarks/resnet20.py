"""A whole int8 adder ResNet-20, exact, against an int8 CNN ResNet-20 in onnxruntime: equal threads and batches.

    python -m benchmarks.resnet20

Both take float32 images and have random weights. Ours goes the whole way: PyTorch, export, quantisation, simulator,
with statistics of every accumulator. Target: at least 1.0 times onnxruntime's images per second.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
import torch

from adderhw.plan import Plan
from benchmarks import ceiling
from benchmarks.onnxruntime_cnn import int8_cnn_session
from benchmarks.timing import cpu_name, median_ratio, paired, print_table, write_json
from export.from_torch import export_module
from quant import quantise
from training import networks


def adder_resnet20():
    """The integer Graph of a ResNet-20 of adder layers with random weights, quantised to 8 bits."""
    torch.manual_seed(0)
    network = networks.build("resnet20", "ann", classes=10, in_channels=3)
    images = np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        export_module(network, torch.zeros(1, 3, 32, 32), path)
        return quantise(path, images)


def measure(graph, batch, threads, path, runs):
    """(row, share of time by layer) of one batch size on one thread count."""
    x = np.random.default_rng(batch).normal(size=(batch, 3, 32, 32)).astype(np.float32)
    session = int8_cnn_session(threads)
    plan, timed = (Plan(graph, path=path, threads=threads, timed=timed) for timed in (False, True))
    calls = [lambda: plan.run({graph.inputs[0].name: x}), lambda: session.run(None, {"x": x})]
    ours, theirs = paired(calls, runs)
    row = {
        "batch": batch, "threads": threads, "adder images/s": batch / median(ours),
        "onnxruntime images/s": batch / median(theirs), "ratio": median_ratio(theirs, ours),
        "best/best": min(theirs) / min(ours),
    }  # fmt: skip
    for _ in range(3 + 100 // batch):
        timed.run({graph.inputs[0].name: x})
    return row, shares(timed)


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
    """Measures every batch size and thread count and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="kernel path: vnni, avx512, avx2 or portable (default: the best)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 128], help="batch sizes (default 1 128)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--runs", type=int, default=0, help="paired runs (default: 301 for one image, 25 for more)")
    parser.add_argument("--json", help="also write the result to this file")
    arguments = parser.parse_args()
    graph, rows, layers = adder_resnet20(), [], []
    for threads in arguments.threads:
        for batch in arguments.batch:
            runs = arguments.runs or (301 if batch == 1 else 25)
            row, share = measure(graph, batch, threads, arguments.path, runs)
            rows.append(row)
            layers.append({"batch": batch, "threads": threads, **share})
    path = Plan(graph, path=arguments.path).options.path
    print(f"{cpu_name()}, path {path}, medians of paired runs; int8 CNN by onnxruntime (QDQ, per channel)")
    print_table(rows)
    for threads in arguments.threads:
        if rate := ceiling.rate(path, threads):
            print(f"machine's ceiling on {threads} threads, registers only: {rate / 1e9:.0f} G absolute differences/s")
    print("share of the simulator's time")
    for layer in layers:
        text = ", ".join(f"{name} {value:.1%}" for name, value in layer.items() if name not in ("batch", "threads"))
        print(f"batch {layer['batch']}, {layer['threads']} threads: {text}")
    write_json(arguments.json, {"cpu": cpu_name(), "path": path, "rows": rows, "shares": layers})


if __name__ == "__main__":
    main()
