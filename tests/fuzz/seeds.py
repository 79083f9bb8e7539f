"""Whole valid files of every kind that the project reads, small ones, for the fuzzer to break; equal in every run."""

import contextlib
import gzip
import io
import json
import pickle
import struct
import sys
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnx

from tests import models
from tests.foreign.models import float_cnn, plain_cnn, quantised

SWEEP = """model = "float.onnx"
data = "images.npz"
limit = 2
samples = 2
[settings]
range = "max"
guard_bits = 4
[axes]
bits = [8, 5]
realisation = ["multiplier"]
accumulator = ["exact", "saturate:12"]
accelerator = ["none"]
energy = ["horowitz45"]
"""
TIMING = {"threads": 1, "images": 2, "seconds": 0.5, "images_per_second": 4.0, "compile_seconds": 0.0}


def command(main, *arguments):
    """Runs a command line's main() in this process with these arguments."""
    sys.argv = ["fuzz", *map(str, arguments)]
    main()


def sweep(config, store):
    """python -m adderhw.sweep, its points measured in this process."""
    from adderhw.sweep import main

    with patch("quant.sweep_run.on_processes", on_this_process):
        command(main, config, "--store", store, "--workers", 1)


def on_this_process(workers, function, shared, tasks):
    """As adderhw.processes.on_processes, without the processes."""
    return ((index, function(shared, task)) for index, task in enumerate(tasks))


def mixed(folder, *outputs):
    """python -m quant mixed on the float model, the images and the store in `folder`."""
    from quant.__main__ import main

    with contextlib.chdir(folder):
        command(
            main, "mixed", "float.onnx", "--calibrate", "images.npz", "--store", "store.jsonl", "--samples", 2,
            "--selection", 2, "--fewest-bits", 4, "--most-bits", 5, *outputs,
        )  # fmt: skip


def place(folder):
    """Puts images, a float and an integer model into `folder`, where commands of several targets take them."""
    place_images(folder)
    (folder / "float.onnx").write_bytes(float_models()[0])
    (folder / "integer.onnx").write_bytes(integer_model())


def place_images(folder):
    """Path of a new file with four images of 8×8 and their labels."""
    path = folder / "images.npz"
    np.savez(path, x=np.random.default_rng(0).random((4, 1, 8, 8), np.float32), y=np.arange(4))
    return path


@contextlib.contextmanager
def quiet_folder():
    """Makes a new folder the current one; commands that run in it print nothing, and must end in exit code 0."""
    said = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as name,
        contextlib.chdir(name),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        yield Path(name)


def done(run, *arguments):
    """Runs a command that must succeed."""
    try:
        run(*arguments)
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"no seeds: {run.__name__} ended with exit code {stop.code}") from None


def valid_models():
    """An integer model in bytes: the tests' digits network."""
    return [models.digits_model().SerializeToString()]


@cache
def float_models():
    """A float model with an adder convolution, a batch norm, a ReLU, a pool and a linear layer; with functions too."""
    from quant.float_graph import with_functions

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
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return [each.SerializeToString() for each in (model, with_functions(model))]


@cache
def integer_model():
    """The first float model, quantised."""
    from quant.__main__ import main

    with quiet_folder() as folder:
        place_images(folder)
        (folder / "float.onnx").write_bytes(float_models()[0])
        done(command, main, "float.onnx", "--calibrate", "images.npz", "--samples", 2, "-o", "integer.onnx")
        return (folder / "integer.onnx").read_bytes()


def integer_models():
    """The integer model in a list."""
    return [integer_model()]


def foreign_models():
    """Models of other tools: a float CNN, and a CNN quantised in both of onnxruntime's formats."""
    rng = np.random.default_rng(0)
    plain = plain_cnn(rng)
    with quiet_folder() as folder:
        both = [quantised(plain, folder, form).read_bytes() for form in ("QDQ", "QOperator")]
    return [float_cnn(rng).SerializeToString(), *both]


def cnns():
    """A CNN with the integer model's topology."""
    model = onnx.ModelProto.FromString(float_models()[0])
    model.graph.node[0].CopyFrom(
        onnx.helper.make_node("Conv", ["x", "w"], ["s"], "conv", kernel_shape=[3, 3], pads=[1] * 4)
    )
    del model.opset_import[1:]
    return [model.SerializeToString()]


def shipped(package, *names):
    """The text files of a package in a folder, as bytes."""

    def read():
        return [files(package).joinpath(name).read_bytes() for name in names]

    return read


def sweep_configurations():
    """A sweep of eight points."""
    return [SWEEP.encode()]


@cache
def vectors():
    """Path in a folder of golden vectors → bytes: those of the adder layers of the integer model on two images."""
    import adderhw
    from adderhw.hardware.vector_files import write_vectors

    with quiet_folder() as folder:
        place(folder)
        write_vectors(adderhw.load(folder / "integer.onnx"), folder / "v", data=str(folder / "images.npz"), limit=2)
        files = (path for path in (folder / "v").rglob("*") if path.is_file())
        return {path.relative_to(folder / "v"): path.read_bytes() for path in files}


def manifests():
    """The manifest of those vectors."""
    return [contents for path, contents in vectors().items() if path.name == "manifest.json"]


def sweep_stores():
    """The store of that sweep."""
    with quiet_folder() as folder:
        place(folder)
        (folder / "sweep.toml").write_text(SWEEP)
        done(sweep, folder / "sweep.toml", folder / "store.jsonl")
        return [(folder / "store.jsonl").read_bytes()]


def mixed_stores():
    """The store of a search for the bits of the float model's tensors; what measuring took is half a second."""
    with quiet_folder() as folder:
        place(folder)
        done(mixed, folder)
        records = [json.loads(line) for line in (folder / "store.jsonl").read_text().splitlines()]
    records = [{**each, "seconds": 0.5} if "seconds" in each else each for each in records]
    return ["".join(f"{json.dumps(each)}\n" for each in records).encode()]


@cache
def documents():
    """The document of a run of the integer model with an accelerator, as if it took half a second."""
    from adderhw.cli import main

    with quiet_folder() as folder:
        place(folder)
        done(
            command, main, "integer.onnx", "--data", "images.npz", "--threads", 1, "--accelerator", "eyeriss_like",
            "--energy", "horowitz45", "--json", "r.json",
        )  # fmt: skip
        document = json.loads((folder / "r.json").read_text())
    document |= {"timing": {**document["timing"], **TIMING}, "command": "python -m adderhw.simulate"}
    return [json.dumps(document).encode()]


def comparisons():
    """The JSON of a comparison of the integer model with the float one."""
    from quant.__main__ import main

    with quiet_folder() as folder:
        place(folder)
        done(command, main, "compare", "float.onnx", "integer.onnx", "--data", "images.npz", "--json", "r.json")
        return [(folder / "r.json").read_bytes()]


def widths():
    """Bits for two of the float model's tensors."""
    return [b'{"x": 5, "n": 3}\n']


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


def cifar_pickles():
    """Two records of CIFAR-10's python version."""
    data = np.random.default_rng(0).integers(0, 256, (2, 3072), np.uint8)
    return [pickle.dumps({b"data": data, b"labels": [3, 9]}, protocol=2)]


def array_files():
    """Images and labels as .npy and .npz."""
    x, y = np.random.default_rng(0).random((2, 1, 8, 8), np.float32), np.arange(2)
    plain, both = io.BytesIO(), io.BytesIO()
    np.save(plain, x)
    np.savez(both, x=x, y=y)
    return [plain.getvalue(), both.getvalue()]


@cache
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
