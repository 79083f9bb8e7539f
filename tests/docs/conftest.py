"""The files that the pages' commands take for granted, small: networks, runs, data, documents of earlier runs."""

import json
import os
import shutil

import numpy as np
import onnx
import pytest
import torch

from tests.docs.pages import ROOT, command_of
from tests.docs.running import run
from tests.foreign.models import plain_cnn, quantised
from tests.quant.networks import Network, adder_layer
from tests.test_cifar import write_cifar10
from tests.training.test_convert import outside
from training import checkpoint, networks
from training.data import PREPROCESS

PER_FILE = 40  # images in each of the six files of the synthetic CIFAR-10
CLASS = 3  # of every one of them
MADE = """
python -m quant ann20.onnx --calibrate cifar10 -o ann20_int8.onnx
python -m quant ann20.onnx --calibrate cifar10 --bits 4 -o ann20_int4.onnx
python -m quant ann.onnx --calibrate digits -o ann_int8.onnx
python -m adderhw.simulate ann_int8.onnx --limit 8 --json int8.json
python -m adderhw.vectors --layers blocks.1.conv1 --out vectors
python -m training --method cnn --output runs/cnn
python -m training --method pkkd --output runs/pkkd
"""
SWEEP = """
model = "{model}"
data = "digits"
samples = 8
limit = 4
[settings]
range = "max"
[axes]
bits = [8, 4]
realisation = ["multiplier"]
accumulator = ["exact"]
accelerator = ["none"]
energy = ["horowitz45"]
"""


def adder_network(path, shape, dataset):
    """Writes a float network of two adder layers, called as two of ANN-20's; its answer is always CLASS."""
    net = Network(shape, seed=1)
    channels = shape[0]
    x = net.relu(net.batch_norm(net.conv("image", "stem", channels, 4), "stem_bn", 4))
    x = net.relu(adder_layer(net, x, "blocks.1.conv1", 4, 8, strides=[2, 2]))
    x = net.relu(adder_layer(net, x, "blocks.7.conv2", 8, 8, strides=[2, 2]))
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x], "pooled")], "flat")
    preprocess = {"dataset": dataset, "mean": [100.0] * channels, "std": [50.0] * channels}
    logits = net.gemm(x, "logits", 8, 10)
    model = net.model(logits, metadata={"adderhw.preprocess": json.dumps(preprocess)})
    for node in model.graph.node:
        node.name = node.name.removesuffix("_adder_node").removesuffix("_node")
    bias = next(each for each in model.graph.initializer if each.name == "logits_b")
    bias.CopyFrom(onnx.numpy_helper.from_array(100 * np.eye(10, dtype=np.float32)[CLASS], "logits_b"))
    onnx.save(model, path)


def write_untrained(path, kind):
    """Writes the checkpoint of a ResNet-20 as it starts."""
    description = {"name": "resnet20", "kind": kind, "classes": 10, "in_channels": 3}
    path.parent.mkdir(parents=True)
    checkpoint.write_network(
        path, networks.build(**description), description=description, preprocess=PREPROCESS["cifar10"],
        dataset="cifar10", input_shape=(3, 32, 32), training={"method": kind}, metrics={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    """A folder with all of them; `data` in it is ADDERHW_DATA."""
    folder = tmp_path_factory.mktemp("given")
    write_cifar10(folder / "data", PER_FILE, CLASS)
    adder_network(folder / "ann20.onnx", (3, 32, 32), "cifar10")
    adder_network(folder / "ann.onnx", (1, 8, 8), "digits")
    for name in ("digits.onnx", "digits_int8.onnx"):
        shutil.copy(ROOT / "adderhw" / "models" / name, folder)
    onnx.save(plain_cnn(), folder / "cnn.onnx")
    shutil.copy(folder / "cnn.onnx", folder / "cnn20.onnx")
    (folder / "made").mkdir()
    shutil.copy(quantised(plain_cnn(), folder / "made", "QOperator", reduce_range=True), folder / "cnn_int8.onnx")
    images = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "x.npz", x=images, y=np.arange(4))
    np.savez(folder / "images.npz", x=np.zeros((4, 1, 8, 8), np.float32), y=np.arange(4))
    torch.save(outside()[0], folder / "resnet20.pt")
    (folder / "docs").mkdir()
    for name, model in (("docs/sweep.toml", "../ann.onnx"), ("sweep.toml", "ann.onnx")):
        (folder / name).write_text(SWEEP.format(model=model))
    (folder / "adderhw").symlink_to(ROOT / "adderhw")
    shutil.copy(ROOT / "adderhw" / "rtl" / "adder_pe.sv", folder / "my_pe.sv")
    (folder / "mine.toml").write_text((ROOT / "adderhw/cost/tables/qtools45.toml").read_text())
    before = os.getcwd()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ADDERHW_DATA", str(folder / "data"))
        os.chdir(folder)
        try:
            for line in MADE.split("\n")[1:-1]:
                run(monkeypatch, command_of(line))
        finally:
            os.chdir(before)
    for name, source in (("int4.json", "int8.json"), ("int6.json", "int8.json"), ("runs/ann", "runs/cnn")):
        copy = shutil.copytree if (folder / source).is_dir() else shutil.copy
        copy(folder / source, folder / name)
    shutil.copytree(folder / "runs/pkkd", folder / "runs/digits")
    shutil.copy(folder / "ann20_int8.onnx", folder / "cifar10_ann20_int8.onnx")
    for name, kind in (("ann20/best.pt", "ann"), ("cnn20/best.pt", "cnn"), ("pkkd20/teacher.pt", "cnn")):
        write_untrained(folder / "runs" / name, kind)
    return folder


@pytest.fixture
def workshop(given, tmp_path, monkeypatch):
    """A copy of `given` to work in."""
    shutil.copytree(given, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("ADDERHW_DATA", str(given / "data"))
    return tmp_path / "work"
