"""Several processes train what one process trains."""

import os
import subprocess
import sys

import pytest
import torch

from adderhw.errors import AdderHwError
from training import loop, parallel
from training.checkpoint import load_network

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


def torchrun(*arguments):
    """Two processes on this machine; their output together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_batch_statistics_are_those_of_the_whole_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(BATCH_NORM)
    torchrun(str(script))


@pytest.mark.slow
def test_two_processes_give_the_weights_that_one_gives(tmp_path):
    options = ["--epochs", "1", "--limit", "200", "--batch-size", "91", "--threads", "1"]
    # 183 images: two whole batches, and one image of which the second process gets nothing.
    printed = torchrun("-m", "training", *options, "--output", str(tmp_path / "two"))
    assert printed.count("test top-1") == 1
    one = subprocess.run(
        [sys.executable, "-m", "training", *options, "--output", str(tmp_path / "one")],
        check=False,
        capture_output=True,
    )
    assert one.returncode == 0, one.stderr
    states = [load_network(tmp_path / name / loop.BEST)[0].state_dict() for name in ("one", "two")]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=2e-3, atol=2e-3, msg=name)


def test_alone_a_process_sums_nothing_and_is_the_first():
    with parallel.join("cpu") as place:
        ones = torch.ones(3)
        place.sum([ones])
        assert ones.tolist() == [1, 1, 1]
        assert place.is_first
        assert place.from_first("as it is") == "as it is"


@pytest.mark.parametrize("device", ["warp", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(AdderHwError, match=f"device: found '{device}', expected one that PyTorch has here"):
        with parallel.join(device):
            pass
