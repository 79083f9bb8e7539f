"""What is fuzzed: whole valid files of every kind that the project reads, and the command that reads each."""

import gzip
import io
import struct
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import onnx

from tests import models
from tests.fuzz.mutations import mutate_bytes, mutate_model


class Target(NamedTuple):
    """One kind of file. share: of all mutated files, in percent. name: of the mutated file.

    seeds(): valid files' bytes; mutations: functions (rng, bytes) → bytes; run(path, folder): reads the file at `path`,
    writes what it writes into `folder`, and ends in SystemExit or AdderHwError, or returns.
    """

    share: int
    name: str
    seeds: Callable
    mutations: tuple
    run: Callable


def command(main, *arguments):
    """Runs a command line's main() in this process with these arguments."""
    sys.argv = ["fuzz", *map(str, arguments)]
    main()


def outputs(folder):
    return [
        "--report",
        folder / "r.html",
        "--json",
        folder / "r.json",
        "--csv",
        folder / "r.csv",
        "--trace",
        folder / "t",
    ]


def simulate(path, folder):
    """The simulator on a model, with every kind of output."""
    from adderhw.cli import main

    command(main, path, "--data", images(folder), "--threads", "1", *outputs(folder))


def simulate_with(option):
    """The simulator on a valid model with the mutated file as `option`."""

    def run(path, folder):
        from adderhw.cli import main

        model = folder / "model.onnx"
        model.write_bytes(valid_models()[0])
        data = [] if option == "--data" else ["--data", images(folder)]
        command(main, model, *data, option, path, "--threads", "1", "--json", folder / "r.json")

    return run


def images(folder):
    """Path of a file with two images of 8×8."""
    path = folder / "images.npy"
    np.save(path, np.random.default_rng(0).random((2, 1, 8, 8), np.float32))
    return path


def quantise(path, folder):
    """Quantisation of a float model."""
    from quant.__main__ import main

    command(main, path, "--calibrate", images(folder), "--samples", "2", "-o", folder / "int.onnx")


def export(path, folder):
    """Export of a checkpoint."""
    from export.__main__ import main

    command(main, path, "-o", folder / "float.onnx")


def convert(path, folder):
    """Conversion of a state dictionary of another project."""
    from training.convert import main

    command(main, path, "-o", folder / "converted.pt")


def load_data(name, place):
    """Loading of the data set `name`, whose file at `place` in its folder is the mutated one."""

    def run(path, folder):
        from adderhw import datasets

        target = folder / place
        target.parent.mkdir(parents=True)
        path.rename(target)
        if name == "mnist":
            (target.parent / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(3, dtype=np.uint8))))
        datasets.load(name, "test", root=str(folder))

    return run


def valid_models():
    """Integer models in bytes: the tests' digits network, and the same with narrower activations."""
    return [models.digits_model().SerializeToString()]


def float_models():
    """A float model with an adder convolution, a batch norm, a ReLU, a pool and a linear layer."""
    rng = np.random.default_rng(0)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("AdderConv", ["x", "w"], ["s"], "adder", domain="adderhw", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["s", "one", "one", "mean", "one"], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "v", "b"], ["y"], "linear", transB=1),
    ]
    parameters = {
        "w": rng.normal(size=(2, 1, 3, 3)),
        "one": np.ones(2),
        "mean": np.full(2, -9.0),
        "v": rng.normal(size=(10, 2)),
        "b": rng.normal(size=10),
    }
    initializers = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in parameters.items()]
    ends = [helper.make_tensor_value_info(*each) for each in (("x", kind, ["N", 1, 8, 8]), ("y", kind, ["N", 10]))]
    graph = helper.make_graph(nodes, "float", ends[:1], ends[1:], initializers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("adderhw", 1)]
    return [helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()]


def shipped(*names):
    """The text files of adderhw.cost in a folder, as bytes."""

    def read():
        return [files("adderhw.cost").joinpath(name).read_bytes() for name in names]

    return read


def idx(array):
    """An IDX file of bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_images():
    """Three images of 28×28 in IDX, compressed and not."""
    data = idx(np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8))
    return [data, gzip.compress(data, mtime=0)]


def cifar():
    """Two records of CIFAR-10's binary version."""
    rng = np.random.default_rng(0)
    return [b"".join(bytes([label]) + rng.bytes(3072) for label in (3, 9))]


def array_files():
    """Images and labels as .npy and .npz."""
    x, y = np.random.default_rng(0).random((2, 1, 8, 8), np.float32), np.arange(2)
    plain, both = io.BytesIO(), io.BytesIO()
    np.save(plain, x)
    np.savez(both, x=x, y=y)
    return [plain.getvalue(), both.getvalue()]


def checkpoints():
    """A best.pt of the digits network with random weights."""
    import torch

    from training import networks

    torch.manual_seed(0)
    description = {"name": "digits_resnet", "kind": "ann", "classes": 10, "in_channels": 1}
    options = {key: description[key] for key in ("classes", "in_channels")}
    content = {
        "format": "adderhw-checkpoint",
        "version": 1,
        "network": description,
        "input_shape": [1, 8, 8],
        "preprocess": {"dataset": "digits", "mean": [0.0], "std": [16.0]},
        "state_dict": networks.build("digits_resnet", "ann", **options).state_dict(),
        "training": {},
        "metrics": {},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return [buffer.getvalue()]


ONNX = (mutate_bytes, mutate_model, mutate_model, mutate_model)
BYTES = (mutate_bytes,)
TARGETS = {
    "model": Target(40, "model.onnx", valid_models, ONNX, simulate),
    "float model": Target(10, "float.onnx", float_models, ONNX, quantise),
    "energy table": Target(
        15, "table.toml", shipped("tables/horowitz45.toml", "tables/qtools45.toml"), BYTES, simulate_with("--energy")
    ),
    "accelerator": Target(
        10, "machine.toml", shipped("accelerators/eyeriss_like.toml"), BYTES, simulate_with("--accelerator")
    ),
    "array file": Target(10, "x.npz", array_files, BYTES, simulate_with("--data")),
    "idx": Target(5, "images", idx_images, BYTES, load_data("mnist", "mnist/t10k-images-idx3-ubyte.gz")),
    "cifar": Target(5, "test_batch.bin", cifar, BYTES, load_data("cifar10", "cifar-10-batches-bin/test_batch.bin")),
    "checkpoint": Target(3, "best.pt", checkpoints, BYTES, export),
    "state dictionary": Target(2, "state.pt", checkpoints, BYTES, convert),
}
