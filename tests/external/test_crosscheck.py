"""This toolkit's taps equal QONNX's multiply-accumulates, and ZigZag's operations, layer by layer."""

import os
import re
import sys
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from onnx import helper

from adderhw import crosscheck
from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.memory_table import load_memory_table
from adderhw.external.alias import conv_alias
from adderhw.external.qonnx_macs import qonnx_macs
from adderhw.external.subject import subject_of
from adderhw.external.zigzag_files import hardware
from adderhw.onnx_reader import read_graph
from adderhw.simulation import SHIPPED_MODEL
from export.writer import write_graph
from tests.export.networks import every_op
from tests.foreign.models import float_cnn, model_of, quantised


def needs(package):
    """Skips where an optional package is missing; in CI, where the test extras are installed, that is a failure."""
    if find_spec(package) is None:
        assert "CI" not in os.environ, f"{package} is missing in CI"
        pytest.skip(f"{package} is not installed: pip install adderhw[{package}]")


def random_network(seed):
    """A float network of convolutions of random shapes, groups, strides and dilations, with a product at its end."""
    rng = np.random.default_rng(seed)
    channels, nodes, constants, name = 2 * int(rng.integers(1, 4)), [], {}, "x"
    shape = ["N", channels, int(rng.integers(14, 20)), int(rng.integers(14, 20))]
    for i in range(3):
        group, kernel = int(rng.choice([1, 2])), int(rng.integers(1, 4))
        outputs = 2 * int(rng.integers(1, 5))
        constants[f"w{i}"] = rng.standard_normal((outputs, channels // group, kernel, kernel)).astype(np.float32)
        geometry = {"strides": [int(rng.integers(1, 3))] * 2, "dilations": [int(rng.integers(1, 3))] * 2}
        nodes.append(
            helper.make_node("Conv", [name, f"w{i}"], [f"c{i}"], f"conv{i}", group=group, pads=[1] * 4,
                             kernel_shape=[kernel] * 2, **geometry)
        )  # fmt: skip
        name, channels = f"c{i}", outputs
    constants["v"] = rng.standard_normal((channels, 7)).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [name], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "v"], ["y"], "product"),
    ]
    return model_of(nodes, {"x": shape}, {"y": ["N", 7]}, constants)


def both(path):
    subject = subject_of(path)
    return {work.name: work.taps for work in subject.works}, qonnx_macs(subject.model)


@pytest.mark.parametrize("name", ["digits_int8.onnx", "cifar10_ann20_int8.onnx"])
def test_the_networks_that_ship_have_qonnxs_counts(name):
    needs("qonnx")
    ours, theirs = both(SHIPPED_MODEL.parent / name)
    assert ours == theirs
    assert sum(ours.values()) == {"digits_int8.onnx": 1_123_648, "cifar10_ann20_int8.onnx": 40_813_184}[name]


@pytest.mark.parametrize("seed", range(5))
def test_random_networks_have_qonnxs_counts(tmp_path, seed):
    needs("qonnx")
    onnx.save(random_network(seed), tmp_path / "m.onnx")
    ours, theirs = both(tmp_path / "m.onnx")
    assert ours == theirs
    assert len(ours) == 4


def test_a_network_of_every_op_and_a_quantised_one_have_qonnxs_counts(tmp_path):
    needs("qonnx")
    write_graph(every_op(np.random.default_rng(0)), tmp_path / "every.onnx")
    for path in (tmp_path / "every.onnx", quantised(float_cnn(), tmp_path, "QDQ")):
        ours, theirs = both(path)
        assert ours == theirs


def test_the_alias_is_a_valid_model_of_the_same_shapes():
    graph = read_graph(SHIPPED_MODEL)
    model = conv_alias(graph)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in inferred.graph.value_info}
    for name, shape in shapes.items():
        assert shape == (1, *graph.tensors[name].shape[1:])


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["crosscheck", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        crosscheck.main()
    return stop.value.code, *capsys.readouterr()


def test_the_command_prints_a_row_a_network(monkeypatch, capsys):
    needs("qonnx")
    code, out, _ = run(monkeypatch, capsys, SHIPPED_MODEL)
    assert code == 0
    assert re.search(r"digits_int8.onnx +11 +1,123,648 +1,123,648 +0", out)


def test_a_layer_that_differs_is_named_and_fails(monkeypatch, capsys):
    needs("qonnx")
    counted = crosscheck.qonnx_macs
    monkeypatch.setattr(crosscheck, "qonnx_macs", lambda model: {**counted(model), "stem": 1})
    code, _, err = run(monkeypatch, capsys, SHIPPED_MODEL)
    assert code == 1
    assert err == f"check failed: {SHIPPED_MODEL}: QONNX: stem\n"


def test_zigzags_hardware_has_the_accelerators_sizes_and_prices():
    accelerator = load_accelerator("eyeriss_like")
    table = load_memory_table("horowitz45")
    words = {"activations": 8, "weights": 8, "partial_sums": 16}
    made = hardware(accelerator, table, 0.25, words)
    assert made["operational_array"]["sizes"] == [12, 14]
    assert made["operational_array"]["unit_energy"] == 0.25
    buffer = made["memories"]["buffer_weights"]
    assert (buffer["size"], buffer["r_cost"]) == (8 * 8192, pytest.approx(10 / 64 * 8 * 12 * 14))
    assert made["memories"]["register_weights"]["size"] == 224 * 8
    assert made["memories"]["dram"]["r_cost"] == pytest.approx(1300)


def test_zigzag_counts_the_same_operations_and_searches_a_mapping(monkeypatch, capsys, tmp_path):
    needs("zigzag")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "v"], ["y"], "fc", transB=1),
    ]
    constants = {"w": np.ones((8, 4, 3, 3), np.float32), "v": np.ones((5, 8), np.float32)}
    onnx.save(model_of(nodes, {"x": ["N", 4, 8, 8]}, {"y": ["N", 5]}, constants), tmp_path / "m.onnx")
    code, out, err = run(monkeypatch, capsys, tmp_path / "m.onnx", "--zigzag", "output_like", "--depth", 3)
    assert code == 0, err
    assert re.search(r"m.onnx +2 +18,472 +18,472 +18,472 +0", out)
    assert re.search(r"m.onnx by ZigZag on output_like: array [\d.]+ µJ \(horowitz45\), memories [\d.]+ µJ", out)
