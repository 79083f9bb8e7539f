"""The whole way on CIFAR networks with random weights: exact taps, and integers that onnxruntime confirms."""

import numpy as np
import pytest
import torch

from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from export.from_torch import export_module
from export.writer import model_of
from quant import quantise
from training import networks

TAPS = {"resnet20": 40_813_184, "resnet32": 69_124_736}
FIRST_AND_LAST = 32 * 32 * 16 * 27 + 64 * 10


@pytest.mark.slow
@pytest.mark.parametrize("name", TAPS)
def test_a_cifar_resnet_has_the_taps_of_its_definition_and_runs_exactly(tmp_path, name):
    torch.manual_seed(0)
    network = networks.build(name, "ann", classes=10, in_channels=3)
    path = tmp_path / "float.onnx"
    export_module(network, torch.zeros(1, 3, 32, 32), path)
    images = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    graph = quantise(path, images)
    works = graph.work()
    assert sum(work.taps for work in works) == TAPS[name]
    adders = sum(work.taps for work in works if work.kind == "adder")
    assert adders == TAPS[name] - FIRST_AND_LAST
    paper = sum(work.paper.add for work in works), sum(work.paper.mul for work in works)
    assert paper == (2 * adders + FIRST_AND_LAST, FIRST_AND_LAST)
    check = OrtCheck(model_of(graph), graph, threads=1)
    inputs = {graph.inputs[0].name: images[:1]}
    check.compare(inputs, Plan(graph, keep_all=True).run(inputs))
    assert check.mismatches == 0, str(check.first)
