"""The simulator as its users call it: command line, Python API, check, trace, narrow accumulators."""

import csv
import json
import sys

import numpy as np
import pytest

import adderhw
from adderhw import cli, datasets
from adderhw.graph import Graph
from adderhw.ops.base import Node
from adderhw.ort_check import OrtCheck
from adderhw.simulation import Model
from adderhw.tensor import integer_tensor
from tests import models, naive
from tests.networks import evaluate


@pytest.fixture
def tiny(tmp_path):
    """Path of the tiny digits model."""
    return models.save(models.digits_model(), tmp_path / "tiny.onnx")


def call(monkeypatch, capsys, *arguments):
    """(exit code, stdout, stderr) of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["simulate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


def test_the_api_gives_the_logits_of_the_oracle(tiny):
    model = adderhw.load(tiny)
    images = datasets.load("digits", "test", limit=3).images
    x = images.astype(np.float32) / np.float32(16)
    integers = np.rint(x / np.float32(1 / 255)).astype(np.uint8)
    sums = naive.adder_conv(integers, model.graph.parameters["w"], pads=(1, 1, 1, 1))
    tensors = adderhw_tensors(model, x)
    assert np.array_equal(tensors["x"], integers)
    assert np.array_equal(tensors["sums"], sums)
    assert np.array_equal(model.run(x), tensors["output"])


def adderhw_tensors(model, x):
    """Every tensor of the model on `x`."""
    from adderhw.plan import Plan

    return Plan(model.graph, keep_all=True).run({"image": x})


def test_a_run_writes_report_json_and_csv_and_prints_a_summary(monkeypatch, capsys, tmp_path, tiny):
    names = {option: tmp_path / f"out{option}" for option in ("--report", "--json", "--csv")}
    arguments = [text for pair in names.items() for text in pair]
    code, out, err = call(monkeypatch, capsys, tiny, "--limit", "20", "--check", "ort", *arguments)
    assert code == 0, err
    assert "20 images" in out
    assert "top-1 accuracy" in out
    assert "\x1b" not in out, "no colours in a pipe"
    document = json.loads(names["--json"].read_text())
    assert document["schema"] == 3
    assert document["data"] == {"name": "digits", "split": "test", "count": 20}
    assert document["check"]["mismatches"] == 0
    assert document["check"]["images"] == 20
    assert document["accuracy"]["count"] == 20
    assert len(document["layers"]) == 8
    assert document["model"]["sha256"] == adderhw.load(tiny).sha256
    assert names["--report"].read_text().startswith("<!DOCTYPE html>")
    assert len(list(csv.reader(names["--csv"].read_text().splitlines()))) == 9


def test_results_do_not_depend_on_batch_size_threads_or_path(tiny):
    runs = [
        adderhw.simulate(tiny, limit=40, batch_size=batch_size, threads=threads, path=path)
        for batch_size, threads, path in ((128, 1, None), (7, 2, None), (1, 1, "portable"))
    ]
    for run in runs:
        for volatile in ("timing", "command"):
            run.pop(volatile)
    assert runs[0] == runs[1] == runs[2]


def test_images_that_are_named_are_left_out(tmp_path, tiny):
    left = tmp_path / "left.npz"
    np.savez(left, test=np.array([0, 3, 3, 354], np.int32))
    labels = datasets.load("digits", "test").labels
    every, some = (adderhw.simulate(tiny, leave_out=path)["accuracy"] for path in (None, left))
    predicted = adderhw.load(tiny).run(datasets.load("digits", "test").images / np.float32(16)).argmax(axis=1)
    assert some["count"] == every["count"] - 3
    assert some["correct"] == every["correct"] - (predicted == labels)[[0, 3, 354]].sum()
    assert adderhw.simulate(tiny, limit=20, leave_out=left)["data"]["count"] == 18


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": np.arange(5)}, "expected an .npz with an array 'test'"),
        ({"test": np.array([355])}, "found other indices in 'test', expected whole numbers from 0 to 354"),
        ({"test": np.array([-1])}, "found other indices in 'test', expected whole numbers from 0 to 354"),
        ({"test": np.array([0.5])}, "found other indices in 'test'"),
    ],
)
def test_bad_indices_are_one_line(monkeypatch, capsys, tmp_path, tiny, arrays, message):
    np.savez(tmp_path / "left.npz", **arrays)
    code, _, err = call(monkeypatch, capsys, tiny, "--leave-out", tmp_path / "left.npz")
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_a_model_whose_functions_differ_is_refused_before_any_image(monkeypatch, capsys, tmp_path):
    model = models.digits_model()
    body = next(f for f in model.functions if f.name == "AdderConvInteger")
    scan = next(node for node in body.node if node.op_type == "Scan")
    channel = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    absolute = next(node for node in channel.node if node.op_type == "Abs")
    absolute.op_type = "Neg"
    path = models.save(model, tmp_path / "wrong.onnx")
    code, _, err = call(monkeypatch, capsys, path, "--limit", "2", "--check", "ort")
    assert code == 2
    assert "(AdderConvInteger): found a function in the file that computes " in err


def test_the_check_finds_an_integer_that_onnxruntime_does_not_compute(monkeypatch, capsys, tmp_path):
    path = models.save(models.digits_model(), tmp_path / "model.onnx")
    compare = OrtCheck.compare

    def compare_with_a_fault(self, inputs, tensors):
        sums = tensors["sums"].copy()
        sums[1, 0, 0, 0] += 1
        compare(self, inputs, {**tensors, "sums": sums})

    monkeypatch.setattr(OrtCheck, "compare", compare_with_a_fault)
    code, _, err = call(monkeypatch, capsys, path, "--limit", "2", "--check", "ort")
    assert code == 1
    assert "check failed: tensor 'sums' at [1, 0, 0, 0]" in err


def test_a_trace_holds_every_tensor_and_an_index_that_maps_back(tmp_path, tiny):
    adderhw.simulate(tiny, limit=5, batch_size=2, trace=tmp_path / "trace")
    index = json.loads((tmp_path / "trace" / "index.json").read_text())
    model = adderhw.load(tiny)
    assert {entry["tensor"] for entry in index} == set(model.graph.tensors)
    images = datasets.load("digits", "test", limit=5).images.astype(np.float32) / np.float32(16)
    expected = {**adderhw_tensors(model, images), **model.graph.parameters, "image": images}
    for entry in index:
        assert np.array_equal(np.load(tmp_path / "trace" / entry["file"]), expected[entry["tensor"]])
    (mean,) = (entry for entry in index if entry["tensor"] == "mean:out")
    assert mean["file"] == "mean_out.npy"
    (x,) = (entry for entry in index if entry["tensor"] == "x")
    assert x["format"] == {"bits": 8, "signed": False, "scale": 1 / 255, "zero_point": 0, "name": "uint8"}


def adder_only(rng):
    """A graph of one adder convolution whose sums are its output."""
    w = rng.integers(0, 256, (5, 3, 3, 3)).astype(np.uint8)
    node = Node("AdderConvInteger", "adder", ("x", "w", "z"), "s", {"kernel_shape": (3, 3)})
    x = integer_tensor("x", (None, 3, 6, 6), np.uint8, 0, 255)
    return Graph("g", (x,), ("s",), (node,), {"w": w, "z": np.asarray(0, np.uint8)})


@pytest.mark.parametrize("bits", [4, 8, 11, 12, 20])
@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_a_narrow_accumulator_wraps_or_saturates_the_exact_sum(tmp_path, bits, overflow):
    rng = np.random.default_rng(bits)
    graph = adder_only(rng)
    x = rng.integers(0, 256, (4, 3, 6, 6)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x)
    exact = evaluate(graph, x)["s"].astype(np.int64)
    expected = exact % (1 << bits) if overflow == "wrap" else np.minimum(exact, (1 << bits) - 1)
    model = Model(graph, tmp_path / "none", "0")
    document = adderhw.simulate(
        model, data=tmp_path / "data.npz", accumulator_bits=bits, overflow=overflow, trace=tmp_path / "trace"
    )
    assert np.array_equal(np.load(tmp_path / "trace" / "s.npy"), expected)
    (layer,) = document["layers"]
    assert layer["accumulator"]["overflows"] == int((exact >> bits > 0).sum())
    assert layer["accumulator"]["observed_max"] == int(exact.max())
    assert layer["bits"]["accumulator"] == bits
    assert document["accuracy"] is None


def test_help_shows_examples(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "--help")
    assert code == 0
    assert "--check ort" in out
