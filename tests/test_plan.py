"""Plans: buffers never overlap while they live, and threads, batches and fusion do not change an integer."""

import multiprocessing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adderhw.errors import ModelError
from adderhw.onnx_reader import graph_of
from adderhw.plan import Plan, lay_out
from tests import models
from tests.networks import networks

FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(networks(), st.booleans())
def test_tensors_that_live_at_the_same_time_never_share_bytes(case, keep_all):
    graph, _ = case
    plan = Plan(graph, path="portable", keep_all=keep_all)
    offsets, total = lay_out(plan.steps, plan.kept)
    made = {step.output: i for i, step in enumerate(plan.steps)}
    read = {name: i for i, step in enumerate(plan.steps) for name in step.inputs}
    sizes = {step.output: int(np.prod(step.shape)) * step.dtype.itemsize for step in plan.steps}
    end = {name: len(plan.steps) if name in plan.kept else read.get(name, made[name]) for name in made}
    for a in made:
        assert offsets[a] + sizes[a] <= total
        for b in made:
            if a != b and made[a] <= made[b] <= end[a]:
                assert offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a], (a, b)


@FEW
@given(networks(), st.integers(1, 40))
def test_threads_and_batch_sizes_do_not_change_an_integer(case, images):
    graph, x = case
    many = np.resize(x, (images, *x.shape[1:]))
    output = graph.outputs[0]
    one_by_one = np.concatenate([Plan(graph).run({"x": image[None]})[output] for image in many])
    shared = Plan(graph, threads=2)
    assert np.array_equal(shared.run({"x": many})[output], one_by_one)
    assert np.array_equal(shared.run({"x": many[::-1]})[output][::-1], one_by_one), "a second run on the same buffers"


def test_results_are_the_callers_own():
    plan = Plan(models.digits_graph())
    x = np.zeros((2, 1, 8, 8), np.float32)
    first = plan.run({"image": x})["output"]
    copy = first.copy()
    plan.run({"image": x + 1})
    assert np.array_equal(first, copy)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "expected an array for it"),
        ({"image": np.zeros((1, 1, 8, 9), np.float32)}, r"expected \[N, 1, 8, 8\]"),
        ({"image": np.zeros((0, 1, 8, 8), np.float32)}, r"expected \[N, 1, 8, 8\]"),
        ({"image": np.zeros((1, 1, 8, 8))}, "expected float32"),
        ({"image": np.full((1, 1, 8, 8), np.inf, np.float32)}, "NaN or infinity"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(inputs, words):
    with pytest.raises(ModelError, match=words):
        Plan(models.digits_graph()).run(inputs)


def answer_of_a_fork(plan, inputs, pipe):
    """What a forked process gets from its parent's plan, sent back."""
    pipe.send(plan.run(inputs)[plan.kept[0]])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("runs_before", [0, 1])
def test_a_plan_of_several_threads_runs_in_a_forked_process(runs_before):
    graph = graph_of(models.digits_model(), "digits")
    plan, name = Plan(graph, threads=2), graph.inputs[0].name
    inputs = {name: np.random.default_rng(0).random((8, *graph.inputs[0].shape[1:])).astype(np.float32)}
    expected = Plan(graph).run(inputs)[plan.kept[0]]
    for _ in range(runs_before):
        assert np.array_equal(plan.run(inputs)[plan.kept[0]], expected)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=answer_of_a_fork, args=(plan, inputs, theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(60), "no answer"
        assert np.array_equal(ours.recv(), expected)
    finally:
        process.kill()
        process.join()
    assert np.array_equal(plan.run(inputs)[plan.kept[0]], expected)
