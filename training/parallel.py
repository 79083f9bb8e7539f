"""Data parallelism under torchrun: which part of each batch is this process's, and sums over all processes."""

import contextlib
import os
from dataclasses import dataclass, field

import torch
from torch import distributed, nn

from adderhw.errors import AdderHwError


@dataclass(frozen=True)
class Place:
    """Where this process computes: its device, and that it is number `rank` of `world` that train one network."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world: int = 1

    @property
    def is_first(self):
        """Whether this process is the one that reads and writes files, and prints."""
        return self.rank == 0

    def sum(self, tensors):
        """Replace each tensor, in place, by its sum over the processes; every process gets the same bits."""
        if self.world > 1:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            distributed.all_reduce(flat)
            sizes = [tensor.numel() for tensor in tensors]
            for tensor, total in zip(tensors, flat.split(sizes), strict=True):
                tensor.copy_(total.view_as(tensor))

    def from_first(self, value):
        """The first process's `value` (plain types and tensors) in every process."""
        if self.world == 1:
            return value
        holder = [value]
        distributed.broadcast_object_list(holder, device=self.device)
        return holder[0]


@contextlib.contextmanager
def join(device="auto"):
    """Join the processes that torchrun started, or stand alone; gives this process's Place.

    device: 'auto' takes a CUDA device where there is one (of several, the one that torchrun's LOCAL_RANK names), or
    any name that torch.device knows. Processes speak nccl on CUDA devices and gloo elsewhere.
    Raises AdderHwError for a device that is unknown or not there.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Place(device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Place(device, distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()


def share_batch_norm(network):
    """Let every BatchNorm2d of `network` normalise over the batch of all processes; in place, names unchanged."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            shared = WholeBatchNorm2d(layer.num_features, layer.eps, layer.momentum)
            shared.load_state_dict(layer.state_dict())
            setattr(network, name, shared)
        else:
            share_batch_norm(layer)


class WholeBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose statistics in training are those of all processes' images together, on any device."""

    def forward(self, x):
        """x: float (N, C, H, W); N may differ between processes. Returns the same shape."""
        if not self.training:
            return super().forward(x)
        dims, values = (0, 2, 3), x.to(torch.promote_types(x.dtype, torch.float32))
        count = _SumOverProcesses.apply(values.new_full((1,), x.numel() / x.shape[1]))
        mean = _SumOverProcesses.apply(values.sum(dims)) / count
        centred = values - mean[:, None, None]
        variance = _SumOverProcesses.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None]).to(x.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes; what a process's part adds to every process's loss flows back to it."""

    @staticmethod
    def forward(ctx, part):
        total = part.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad):
        total = grad.clone()
        distributed.all_reduce(total)
        return total


def _device(name, local_rank):
    if name == "auto":
        name = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise AdderHwError(f"device: found {name!r}, expected one that PyTorch has here ({reason})") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
