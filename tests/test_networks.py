"""Random integer networks: simulator, onnxruntime and the oracle agree on every tensor, and the tally is what ran."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from adderhw.kernels import paths
from adderhw.onnx_reader import graph_of
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from export.writer import model_of
from tests.kernels.wide import emulated_avx512
from tests.naive import CountingInt
from tests.networks import evaluate, networks

MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def same(found, expected):
    """Whether two maps of tensors hold the same integers in the same dtypes."""
    return all(
        found[name].dtype == expected[name].dtype and np.array_equal(found[name], expected[name]) for name in found
    )


@MANY
@given(networks())
def test_every_tensor_equals_the_oracle_and_onnxruntime_on_every_kernel_path(case):
    graph, x = case
    expected = evaluate(graph, x)
    model = model_of(graph)
    again = graph_of(model, "again")
    for path in paths():
        tensors = Plan(again, path=path, keep_all=True).run({"x": x})
        assert same(tensors, expected)
        fused = Plan(again, path=path, threads=2).run({"x": x})
        assert same(fused, expected)
    if "avx512" not in paths():
        for vnni in (False, True):
            with emulated_avx512(vnni):
                assert same(Plan(again, path="portable", keep_all=True).run({"x": x}), expected)
    check = OrtCheck(model, again, threads=1)
    check.compare({"x": x}, tensors)
    assert check.mismatches == 0, str(check.first)
    assert check.values == sum(expected[node.output].size for node in graph.nodes)


@MANY
@given(networks())
def test_the_tally_is_what_the_counting_oracle_executed(case):
    graph, x = case
    CountingInt.executed = Counter()
    evaluate(graph, x[:1], CountingInt)
    tally = Counter()
    for work in graph.work():
        for event, count in work.events.items():
            tally[event.kind] += count
    assert tally == CountingInt.executed


@pytest.mark.parametrize("path", paths())
def test_the_paths_are_known(path):
    assert path in ("vnni", "avx512", "avx2", "portable")
