"""The adder convolution against the core's own ceiling and against torch.cdist, one thread.

    python -m benchmarks.kernels

Targets: at least 0.9 of the ceiling of vnni and avx512, 0.8 of that of avx2 (--path); 100 times torch.cdist(p=1).
"""

import argparse
from statistics import median

import numpy as np

from adderhw.kernels import Geometry, Program, choose_path, conv_step, pack_adder_conv
from benchmarks import ceiling
from benchmarks.timing import cpu_name, median_ratio, paired, print_table, write_json

LAYERS = (  # channels, image side, kernel, stride
    (16, 32, 3, 1), (32, 16, 3, 1), (64, 8, 3, 1), (64, 32, 3, 1), (128, 16, 3, 1), (256, 14, 3, 1), (512, 7, 3, 1),
    (16, 32, 3, 2), (64, 32, 3, 2), (256, 14, 3, 2),
    (16, 32, 1, 1), (64, 32, 1, 1), (256, 14, 1, 1), (512, 7, 1, 1),
    (16, 32, 1, 2), (64, 32, 1, 2), (256, 14, 1, 2),
)  # fmt: skip
DIFFERENCES = 20e6  # per timing: about 0.15 ms, short enough to run uninterrupted on a busy machine
WORKING_SET = 256 * 1024  # bytes of a batch's input and sums: they stay in the second-level cache, as in a network


def layer_name(layer):
    """What a row of a table calls one of LAYERS."""
    channels, side, size, stride = layer
    return f"{size}x{size} {channels}ch {side}x{side}" + ("" if stride == 1 else f" /{stride}")


def kernel_call(layer, path):
    """(call, absolute differences, tile, images) of one of LAYERS, on images that stay in the second-level cache."""
    channels, side, kernel, stride = layer
    rng = np.random.default_rng(channels)
    batch = max(1, WORKING_SET // (side * side * channels * 5))
    x = rng.integers(0, 256, (batch, side, side, channels)).astype(np.uint8)
    w = rng.integers(0, 256, (channels, channels, kernel, kernel)).astype(np.uint8)
    packed = pack_adder_conv(w, Geometry(strides=(stride,) * 2, pads=(kernel // 2,) * 4), path)
    out = np.empty((batch, -(-side // stride), -(-side // stride), channels), np.int32)
    work = out.size * channels * kernel**2
    calls = max(1, round(DIFFERENCES / work))
    program = Program([conv_step(packed, x, 0, out)] * calls)
    return program.run, calls * work, packed.kind, batch


def _cdist_call(layer, rng):
    """(call, absolute differences) of torch.cdist on the unfolded windows of one image."""
    import torch

    torch.set_num_threads(1)
    channels, side, kernel, stride = layer
    x = torch.from_numpy(rng.integers(0, 256, (1, channels, side, side)).astype(np.float32))
    windows = torch.nn.functional.unfold(x, kernel, padding=kernel // 2, stride=stride)[0].T.contiguous()
    w = torch.from_numpy(rng.integers(0, 256, (channels, channels * kernel**2)).astype(np.float32))
    return lambda: torch.cdist(windows, w, p=1), len(windows) * channels * w.shape[1]


def _measure(layer, path, runs, with_cdist):
    channels, _, size, _ = layer
    kernel, work, kind, batch = kernel_call(layer, path)
    rounds = round(DIFFERENCES / ceiling.differences_per_round(kind))
    calls = [kernel, lambda: ceiling.run(kind(), rounds)]
    works = [work, rounds * ceiling.differences_per_round(kind)]
    if with_cdist:
        call, cdist_work = _cdist_call(layer, np.random.default_rng(channels))
        calls.append(call)
        works.append(cdist_work)
    per_difference = [[t / work for t in times] for times, work in zip(paired(calls, runs), works, strict=True)]
    row = {"layer": layer_name(layer), "batch": batch, "tile": kind.__name__}
    row["G/s"], row["ceiling G/s"] = (1e-9 / median(times) for times in per_difference[:2])
    row["of ceiling"] = median_ratio(per_difference[1], per_difference[0])
    best, best_ceiling = (min(times) for times in per_difference[:2])
    row["best/best"] = best_ceiling / best
    tile = kind.positions * kind.vectors * kind.lanes * channels * size**2
    row["steps"] = tile // ceiling.differences_per_round(kind)
    row["ns beside"] = 1e9 * tile * (best - best_ceiling)
    if with_cdist:
        row["cdist G/s"] = 1e-9 / median(per_difference[-1])
        row["x cdist"] = median_ratio(per_difference[-1], per_difference[0])
    return row


def main():
    """Measures every layer and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="kernel path: vnni, avx512, avx2 or portable (default: the best)")
    parser.add_argument("--runs", type=int, default=101, help="paired runs, of which medians are taken (default 101)")
    parser.add_argument("--no-cdist", action="store_true", help="leave torch.cdist out (most of the time)")
    parser.add_argument("--json", help="also write the rows to this file")
    arguments = parser.parse_args()
    path = choose_path(arguments.path)
    rows = [_measure(layer, path, arguments.runs, not arguments.no_cdist) for layer in LAYERS]
    print(f"{cpu_name()}, path {path}, 1 thread, median of {arguments.runs} paired runs")
    print_table(rows)
    write_json(arguments.json, {"cpu": cpu_name(), "path": path, "threads": 1, "rows": rows})


if __name__ == "__main__":
    main()
