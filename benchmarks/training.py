"""A training step of the adder ResNet-20 against torch's step of its CNN twin: one script, one run, paired.

    python -m benchmarks.training

Images are random; weights, losses and steps are those of training (SGD with momentum; for the adder network Chen
2020's rate). PKKD is the step of both networks together. Targets: ANN step at most 2.5 times the CNN's and PKKD
step at most 4.5 times, at two threads and batch 128; at least 250 times the published adder.py; peak memory of the
ANN step at most 1.5 times the CNN's, in fresh processes; on a GPU at least half of its float32 issue limit and a
PKKD epoch of at most 8 s on an H100. Threads that wait spin: on a machine whose cores others use, figures of two
threads say little. On a GPU torch's convolutions have their default precision.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch.nn import functional

from benchmarks.timing import cpu_name, median_ratio, paired, print_table, write_json
from training import learners
from training.adder_op import adder_conv2d
from training.data import Batch
from training.parallel import Place
from training.recipe import Recipe

ADDER_PY_SECONDS_PER_IMAGE = 0.59 + 0.78
"""huawei-noah/AdderNet's adder.py at 2fb8aad, ResNet-20, forward + backward, as measured on a 2-core Zen 4."""
ADDER_PY = {"threads": 2, "batch": 8}

LAYERS = {  # ResNet-20's adder layers: (in channels, out channels, kernel, stride, image side), how many there are
    "16ch 32x32": ((16, 16, 3, 1, 32), 6),
    "16->32ch /2": ((16, 32, 3, 2, 32), 1),
    "32ch 16x16": ((32, 32, 3, 1, 16), 5),
    "32->64ch /2": ((32, 64, 3, 2, 16), 1),
    "64ch 8x8": ((64, 64, 3, 1, 8), 5),
    "1x1 16->32ch /2": ((16, 32, 1, 2, 32), 1),
    "1x1 32->64ch /2": ((32, 64, 1, 2, 16), 1),
}
TRAINING_IMAGES = 50_000
GPU_BATCH = 256
LANES_PER_SM, INSTRUCTIONS_PER_TAP = 128, 2


class Images(NamedTuple):
    """What the networks are sized for."""

    classes: int = 10
    input_shape: tuple[int, int, int] = (3, 32, 32)


def step_of(method, device="cpu"):
    """A call that trains ResNet-20 by `method` on (images, labels), as a run of python -m training does."""
    recipe = Recipe(model="resnet20", data="cifar10", method=method)
    run = learners.start(recipe, Images(), Place(torch.device(device)))
    return lambda images, labels: learners.train_batch(run, Batch(images, labels, len(labels)))


def steps(device="cpu"):
    """{name: step} of the three that are compared."""
    return {name: step_of(name.lower(), device) for name in ("CNN", "ANN", "PKKD")}


def random_batch(batch, device="cpu"):
    """Normal images in channels-last memory and labels."""
    images = torch.randn(batch, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    return images, torch.randint(10, (batch,), device=device)


def measure_steps(batch, threads, runs):
    """One row: milliseconds per image of each step, and the paired ratios."""
    torch.set_num_threads(threads)
    images, labels = random_batch(batch)
    calls = steps()
    times = dict(zip(calls, paired([lambda s=s: s(images, labels) for s in calls.values()], runs), strict=True))
    row = {"threads": threads, "batch": batch}
    row |= {f"{name} ms/image": 1e3 * median(values) / batch for name, values in times.items()}
    row |= {f"{name}/CNN": median_ratio(times[name], times["CNN"]) for name in ("ANN", "PKKD")}
    return row


def layer_operands(name, batch, device="cpu"):
    """(x, weight, options of a convolution) of one of LAYERS, channels-last as in a network."""
    (channels, outputs, kernel, stride, side), _ = LAYERS[name]
    x = torch.randn(batch, channels, side, side, device=device).relu().to(memory_format=torch.channels_last)
    weight = torch.randn(outputs, channels, kernel, kernel, device=device).to(memory_format=torch.channels_last)
    return x, weight, stride, kernel // 2


def adder(x, weight, stride, padding):
    """The adder layer."""
    return adder_conv2d(x, weight, stride=(stride,) * 2, pads=(padding,) * 4)


def convolution(x, weight, stride, padding):
    """Its twin."""
    return functional.conv2d(x, weight, stride=stride, padding=padding)


def parts(layer, x, weight, stride, padding):
    """Calls of the forward pass, of the input's gradient and of the weight's, of a layer on its own."""
    options = (stride, padding)
    grad = torch.randn_like(layer(x, weight, *options))
    of_x, of_weight = (tensor.clone().requires_grad_() for tensor in (x, weight))
    outputs = {of_x: layer(of_x, weight, *options), of_weight: layer(x, of_weight, *options)}
    gradients = [lambda of=of, y=y: torch.autograd.grad(y, of, grad, retain_graph=True) for of, y in outputs.items()]
    return [lambda: layer(x, weight, *options), *gradients]


def taps(name, batch):
    """|x − w| of one forward pass."""
    (channels, outputs, kernel, stride, side), _ = LAYERS[name]
    return batch * outputs * (side // stride) ** 2 * channels * kernel**2


def measure_layer(name, batch, threads, runs):
    """One row: G taps/s of the adder layer's three parts, and time over the convolution's."""
    torch.set_num_threads(threads)
    operands = layer_operands(name, batch)
    ours, theirs = parts(adder, *operands), parts(convolution, *operands)
    times = paired([*ours, *theirs], runs)
    row = {"threads": threads, "layer": name, "times": LAYERS[name][1]}
    for index, part in enumerate(("forward", "dX", "dF")):
        row[f"{part} G/s"] = taps(name, batch) / median(times[index]) / 1e9
        row[f"{part}/conv"] = median_ratio(times[index], times[index + 3])
    return row


def peak_memory(kind, batch):
    """MiB of a fresh process: before the step, at the step's peak. A step of two images compiles and warms up."""
    command = [sys.executable, "-m", "benchmarks.training", "--peak", kind, "--batch", str(batch)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_own_peak(kind, batch):
    """What peak_memory reads: this process's resident memory, its high-water mark reset before the steps."""
    torch.set_num_threads(2)
    step = step_of(kind)
    step(*random_batch(2))
    images, labels = random_batch(batch)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    for _ in range(3):
        step(images, labels)
    print(json.dumps({"before": before, "peak": _status("VmHWM")}))


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1024


def measure_memory(batch):
    """Rows of both kinds, and the ratios of the step's own memory and of the whole process."""
    peaks = {kind: peak_memory(kind, batch) for kind in ("cnn", "ann")}
    rows = [{"network": kind, **peak, "step": peak["peak"] - peak["before"]} for kind, peak in peaks.items()]
    cnn, ann = rows
    return rows, {name: ann[name] / cnn[name] for name in ("step", "peak")}


def measure_gpu(runs):
    """(rows of layers, row of steps) on the GPU: taps/s, share of the issue limit, ratios, seconds of a PKKD epoch."""
    limit = issue_limit()
    layers = [_gpu_layer(name, limit, runs) for name in LAYERS]
    images, labels = random_batch(GPU_BATCH, "cuda")
    calls = [_finished(lambda s=s: s(images, labels)) for s in steps("cuda").values()]
    cnn, ann, pkkd = paired(calls, runs)
    epoch = median(pkkd) * -(-TRAINING_IMAGES // GPU_BATCH)
    row = {"batch": GPU_BATCH, "ANN/CNN": median_ratio(ann, cnn), "PKKD/CNN": median_ratio(pkkd, cnn)}
    return layers, row | {"PKKD epoch s": epoch}


def issue_limit():
    """Taps per second that the GPU could issue: its float32 lanes at their highest clock, two instructions a tap."""
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    megahertz = float(subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()[0])
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    return multiprocessors * LANES_PER_SM * megahertz * 1e6 / INSTRUCTIONS_PER_TAP


def _gpu_layer(name, limit, runs, batch=1024):
    operands = layer_operands(name, batch, "cuda")
    ours, theirs = (parts(layer, *operands) for layer in (adder, convolution))
    times = paired([_finished(call) for call in (*ours, *theirs)], runs)
    rate = taps(name, batch) / median(times[0])
    row = {"layer": name, "forward T taps/s": rate / 1e12, "share of limit": rate / limit}
    names = ("forward", "dX", "dF")
    return row | {f"{part}/conv": median_ratio(times[i], times[i + 3]) for i, part in enumerate(names)}


def _finished(call):
    """The call, waited for."""

    def run():
        call()
        torch.cuda.synchronize()

    return run


def main():
    """Measures steps, layers, memory and, where there is one, the GPU; prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts (default 1 2)")
    parser.add_argument("--batch", type=int, default=128, help="images of a step (default 128)")
    parser.add_argument("--runs", type=int, default=9, help="paired runs (default 9)")
    parser.add_argument("--peak", choices=("cnn", "ann"), help="only print the peak memory of this process's steps")
    parser.add_argument("--json", help="also write the result to this file")
    arguments = parser.parse_args()
    if arguments.peak:
        print_own_peak(arguments.peak, arguments.batch)
        return
    result = {"cpu": cpu_name(), **_measure_cpu(arguments), **_measure_any_gpu(arguments.runs)}
    write_json(arguments.json, result)


def _measure_cpu(arguments):
    print(f"{cpu_name()}, torch {torch.__version__}, medians of {arguments.runs} paired runs; ResNet-20, random images")
    rows = [measure_steps(arguments.batch, threads, arguments.runs) for threads in arguments.threads]
    print_table(rows)
    row = measure_steps(**ADDER_PY, runs=arguments.runs)
    speedup = ADDER_PY_SECONDS_PER_IMAGE * 1e3 / row["ANN ms/image"]
    print(f"{row['threads']} threads, batch {row['batch']}: {speedup:.0f} times the speed of the published adder.py")
    layers = [measure_layer(n, arguments.batch, t, arguments.runs) for t in arguments.threads for n in LAYERS]
    print("layers, batch as above: taps per second, and time over that of torch's convolution")
    print_table(layers)
    memory, ratios = measure_memory(arguments.batch)
    print(
        f"peak memory in fresh processes, MiB; ANN/CNN: step {ratios['step']:.2f}, whole process {ratios['peak']:.2f}"
    )
    print_table(memory)
    return {"steps": rows, "adder_py": row | {"speedup": speedup}, "layers": layers, "memory": memory}


def _measure_any_gpu(runs):
    if not torch.cuda.is_available():
        print("GPU part: did not run, PyTorch finds no GPU here")
        return {"gpu": None}
    layers, row = measure_gpu(runs)
    print(f"{torch.cuda.get_device_name()}: issue limit {issue_limit() / 1e12:.1f} T taps/s, two instructions a tap")
    print_table(layers)
    print_table([row])
    return {"gpu": {"name": torch.cuda.get_device_name(), "layers": layers, "steps": row}}


if __name__ == "__main__":
    main()
