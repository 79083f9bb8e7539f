"""An exact int8 adder ResNet-20 against an int8 CNN ResNet-20 in onnxruntime, equal threads and batches.

    python -m benchmarks.resnet20

Target: at least 1.0 times onnxruntime's images per second.
"""

import argparse
from statistics import median

import numpy as np

from adderhw.kernels import choose_path
from benchmarks.adder_resnet20 import AdderResNet20
from benchmarks.onnxruntime_cnn import int8_cnn_session
from benchmarks.timing import cpu_name, median_ratio, paired, print_table, write_json
from benchmarks.workers import Workers

PIECE = 16  # images that go through all layers together: their activations stay in the second-level cache


def _measure(batch, threads, path, runs):
    """(row, share of time by layer) of one batch size on one thread count."""
    rng = np.random.default_rng(batch)
    x = rng.integers(0, 256, (batch, 32, 32, 3)).astype(np.uint8)
    floats = np.ascontiguousarray(x.transpose(0, 3, 1, 2).astype(np.float32) / 64 - 2)
    session = int8_cnn_session(threads)
    workers = min(threads, batch)
    piece = min(PIECE, -(-batch // workers))
    with Workers(lambda: AdderResNet20(threads // workers, path), workers, piece) as adder:
        adder(x)
        adder.start_counting()
        ours, theirs = paired([lambda: adder(x), lambda: session.run(None, {"x": floats})], runs)
        spent = adder.spent()
    row = {
        "batch": batch, "threads": threads, "adder images/s": batch / median(ours),
        "onnxruntime images/s": batch / median(theirs), "ratio": median_ratio(theirs, ours),
        "best/best": min(theirs) / min(ours),
    }  # fmt: skip
    total = sum(spent.values())
    return row, {name: seconds / total for name, seconds in spent.items()}


def main():
    """Measures every batch size and thread count and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="kernel path: avx512, avx2 or portable (default: the best)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 128], help="batch sizes (default 1 128)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--runs", type=int, default=0, help="paired runs (default: 301 for one image, 15 for more)")
    parser.add_argument("--json", help="also write the result to this file")
    arguments = parser.parse_args()
    path, rows, shares = choose_path(arguments.path), [], []
    for threads in arguments.threads:
        for batch in arguments.batch:
            row, share = _measure(batch, threads, path, arguments.runs or (301 if batch == 1 else 15))
            rows.append(row)
            shares.append({"batch": batch, "threads": threads, **share})
    print(f"{cpu_name()}, path {path}, medians of paired runs; int8 CNN by onnxruntime (QDQ, per channel)")
    print_table(rows)
    print("share of the adder network's time")
    print_table(shares)
    write_json(arguments.json, {"cpu": cpu_name(), "path": path, "rows": rows, "shares": shares})


if __name__ == "__main__":
    main()
