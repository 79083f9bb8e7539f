"""Several processes train what one process trains."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adderhw.errors import AdderHwError
from training import loop, parallel
from training.recipe import Recipe

ROOT = Path(__file__).parents[2]

BATCH_NORM = """
import torch
from torch import distributed, nn
from training.parallel import join, share_batch_norm

generator = torch.Generator().manual_seed(0)
whole = torch.randn(5, 3, 4, 2, generator=generator) * 50 - 300
weights = torch.randn(5, 3, 4, 2, generator=generator)
with join("cpu") as place:
    for first in (0, 2, 5):
        part = slice(None, first) if place.rank == 0 else slice(first, None)
        expected, shared = nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.BatchNorm2d(3))
        share_batch_norm(shared)
        x, y = whole.clone().requires_grad_(), whole[part].clone().requires_grad_()
        wanted = expected(x)
        (wanted * weights).sum().backward()
        answers = shared(y)
        (answers * weights[part]).sum().backward()
        place.sum([parameter.grad for parameter in shared.parameters()])
        close = dict(rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(answers, wanted[part], **close)
        torch.testing.assert_close(y.grad, x.grad[part], **close)
        for mine, theirs in zip(shared.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, **close)
        torch.testing.assert_close(shared.state_dict(), expected.state_dict(), **close)
        assert place.from_first({"rank": place.rank}) == {"rank": 0}
"""

# In float64, because in float32 a sign that rounding turns around in a ReLU moves gradients by up to 2 %; adder
# layers, which have no float64, are played by another function: what is tested does not depend on it.
# 183 images in batches of 91: two whole ones, and one image of which the second process gets nothing.
STEPS = """
import torch
from torch.nn import functional
from training import learners
from training.data import Batch, load_training
from training.layers import AdderConv2d
from training.parallel import Place, join
from training.recipe import Recipe

AdderConv2d.forward = lambda self, x: -functional.conv2d(x, self.weight.abs(), None, self.stride, self.padding)
torch.set_default_dtype(torch.float64)
training, _ = load_training("digits", limit=200)
draw = dict(batch_size=91, seed=0, epoch=0)
with join("cpu") as place:
    for method in ("cnn", "ann", "pkkd"):
        recipe = Recipe(method=method, limit=200, epochs=1)
        alone, shared = learners.start(recipe, training, Place()), learners.start(recipe, training, place)
        batches = training.epoch_batches(**draw), training.epoch_batches(**draw, rank=place.rank, world=2)
        for pair in zip(*batches, strict=True):
            whole, share = (Batch(batch.images.double(), batch.labels, batch.total) for batch in pair)
            losses = learners.train_batch(shared, share)
            place.sum([losses])
            torch.testing.assert_close(losses, learners.train_batch(alone, whole))
        for one, two in zip(alone.learners, shared.learners, strict=True):
            assert (one.match is None) == (method != "pkkd" or one is alone.teacher)
            for part in ("network", "match"):
                if getattr(one, part):
                    states = (getattr(learner, part).state_dict() for learner in (two, one))
                    torch.testing.assert_close(*states, rtol=1e-9, atol=1e-9)
"""


def torchrun(*arguments):
    """Two processes on this machine; their output together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_batch_statistics_are_those_of_the_whole_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(BATCH_NORM)
    torchrun(str(script))


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(STEPS)
    torchrun(str(script))


@pytest.mark.slow
def test_under_torchrun_one_process_writes_and_prints(tmp_path):
    options = ["--epochs", "1", "--limit", "200", "--batch-size", "91", "--threads", "1", "--output"]
    printed = torchrun("-m", "training", *options, str(tmp_path / "two"))
    assert printed.count("test top-1") == 1
    loop.train(Recipe(epochs=1, limit=200, batch_size=91), tmp_path / "one")
    logs = [(tmp_path / name / loop.LOG).read_text().splitlines() for name in ("one", "two")]
    rows = [next(csv.DictReader(log)) for log in logs]
    for name in ("loss", "teacher_loss", "match"):
        assert float(rows[1][name]) == pytest.approx(float(rows[0][name]), rel=1e-2)


def test_alone_a_process_sums_nothing_and_is_the_first():
    with parallel.join("cpu") as place:
        ones = torch.ones(3)
        place.sum([ones])
        assert ones.tolist() == [1, 1, 1]
        assert place.is_first
        assert place.from_first("as it is") == "as it is"


@pytest.mark.parametrize("device", ["warp", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    message = f"device: found '{device}', expected one that PyTorch has here"
    with pytest.raises(AdderHwError, match=message), parallel.join(device):
        pass
