"""The matches of twins' responses: value and gradients in one forward pass.

As the value is a scalar, its gradients are known, up to that of the value itself, before the backward pass. On a CPU
float32 responses of as many channels as the kernels take go to training.match_kernels. All others are matched here, by
PyTorch: on a CPU a part of the batch small enough for a core's cache goes through all steps before the next, on a GPU
the whole batch is one part.
"""

from functools import wraps

import torch
from torch.autograd.function import once_differentiable

from training import match_kernels

PART_BYTES = 1 << 19
"""Bytes of one network's responses in a part: larger parts leave the cache, smaller ones are many calls."""


def _without_autocast(forward):
    """`forward` of a Function, computed in the bits of its first operand whatever autocast says."""

    @wraps(forward)
    def call(ctx, first, *others):
        with torch.autocast(first.device.type, enabled=False):
            return forward(ctx, first, *others)

    return call


class MeanSquaredDifference(torch.autograd.Function):
    """mean (ρ_a(g) − ρ_c(h))², g = exp(k_a·ann) and h = exp(k_c·cnn) (Xu 2020, section 3)."""

    @staticmethod
    @_without_autocast
    def forward(ctx, ann, cnn, k_ann, k_cnn, map_ann, map_cnn, limit):
        """ann, cnn: (N, C, H, W), ann float32 or float64, cnn of at most its bits; nothing flows back into cnn.

        k_ann, k_cnn: scalar tensors, or None for the responses themselves; k·response is clamped to ±limit, and where
        the clamp holds nothing flows back. map_ann, map_cnn: ρ's weights (C, C), or None. Returns a scalar.
        """
        exponents_fit = k_ann is None or limit <= match_kernels.LARGEST_EXPONENT
        if exponents_fit and _kernels_take(ann, cnn):
            return _match_by_kernels(ctx, ann, cnn, (k_ann, k_cnn), (map_ann, map_cnn), limit)
        needs, scale = ctx.needs_input_grad, 2 / ann.numel()
        sides = (
            _Side(ann, k_ann, map_ann, limit, (needs[0], needs[2], needs[4])),
            _Side(cnn, k_cnn, map_cnn, limit, (False, needs[3], needs[5])),
        )
        total = torch.zeros((), dtype=torch.float64, device=ann.device)
        for part in _parts(sides[0].rows):
            difference = sides[0].respond(part, ann.dtype) - sides[1].respond(part, ann.dtype)
            total += difference.square().sum()
            sides[0].pull(difference, part, scale)
            sides[1].pull(difference, part, -scale)
        of_ann = None if sides[0].of_rows is None else _images(sides[0].of_rows, ann.shape)
        ctx.gradients = (of_ann, None, sides[0].of_k, sides[1].of_k, sides[0].of_map, sides[1].of_map, None)
        return (total / ann.numel()).to(ann.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return _scaled(ctx.gradients, grad)


class _Side:
    """One network's responses as `rows` (places, C), and the sums of their gradients so far, None where none is due."""

    def __init__(self, responses, k, matrix, limit, needs):
        self.rows, self.k, self.matrix, self.limit = _rows(responses), k, matrix, limit
        self.of_rows = torch.empty_like(self.rows) if needs[0] else None
        self.of_k = torch.zeros_like(k) if needs[1] else None
        self.of_map = torch.zeros_like(matrix) if needs[2] else None

    def respond(self, part, dtype):
        """ρ(exp(k·rows)) of the places `part`; what led there is kept until `pull`."""
        self.given = self.rows[part].to(dtype)
        self.kernel = self.given
        if self.k is not None:
            self.exponent = self.given * self.k
            self.kernel = self.exponent.clamp(-self.limit, self.limit).exp_()
        return self.kernel if self.matrix is None else self.kernel @ self.matrix.T

    def pull(self, difference, part, scale):
        """Adds scale · Σ difference · d(what `respond` gave)."""
        if self.of_map is not None:
            self.of_map.addmm_(difference.T, self.kernel, alpha=scale)
        if self.of_rows is None and self.of_k is None:
            return
        pulled = difference if self.matrix is None else difference @ self.matrix
        factor = scale
        if self.k is not None:
            pulled = torch.ops.aten.hardtanh_backward(pulled * self.kernel, self.exponent, -self.limit, self.limit)
            factor = scale * self.k
        if self.of_k is not None:
            self.of_k.add_(torch.dot(pulled.flatten(), self.given.flatten()), alpha=scale)
        if self.of_rows is not None:
            torch.mul(pulled, factor, out=self.of_rows[part])


class SquaredMmd(torch.autograd.Function):
    """The squared maximum mean discrepancy of two samples' channels, averaged over the batch (Huang 2017)."""

    @staticmethod
    @_without_autocast
    def forward(ctx, a, b):
        """a: float32 or float64 (N, C, H, W); b: (N, C', H, W), into which nothing flows back. Returns a scalar.

        Each channel's map of H·W activations, divided by its L2 norm, is one draw of a neuron's selectivity; the kernel
        is the polynomial (x·y)², of degree 2 without a constant: mean k(a_i, a_j) + mean k(b_i, b_j) − 2 mean k(a_i,
        b_j) over all pairs of channels.
        """
        if _kernels_take(a, b):
            maps = (_maps(each).contiguous().numpy() for each in (a, b))
            value, of_a = match_kernels.squared_mmd(*maps, threads=torch.get_num_threads())
            ctx.gradients = (_images(torch.from_numpy(of_a), a.shape), None)
            return a.new_tensor(value)
        images, (channels, others) = len(a), (a.shape[1], b.shape[1])
        maps, of_maps = _maps(a), torch.empty_like(_maps(a)) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64, device=a.device)
        for part in _parts(maps):
            (x, norms), (y, _) = _normalised(maps[part]), _normalised(_maps(b)[part].to(a.dtype))
            within, across = x.mT @ x, x.mT @ y
            total += within.square().mean((1, 2)).sum() + (y.mT @ y).square().mean((1, 2)).sum()
            total -= 2 * across.square().mean((1, 2)).sum()
            if of_maps is not None:
                pulled = torch.baddbmm(
                    y @ across.mT, x, within, beta=-4 / (images * channels * others), alpha=4 / (images * channels**2)
                )
                pulled -= x * (x * pulled).sum(1, keepdim=True)
                torch.div(pulled, norms, out=of_maps[part])
        ctx.gradients = (None if of_maps is None else _images(of_maps, a.shape), None)
        return (total / images).to(a.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return _scaled(ctx.gradients, grad)


def _kernels_take(a, b):
    """Whether training.match_kernels computes with these responses."""
    widest = max(a.shape[1], b.shape[1])
    return a.is_cpu and a.dtype == b.dtype == torch.float32 and a.numel() > 0 and widest <= match_kernels.WIDEST


def _match_by_kernels(ctx, ann, cnn, ks, maps, limit):
    """MeanSquaredDifference.forward by training.match_kernels."""
    needs = ctx.needs_input_grad
    value, of_ann, of_ks, of_maps = match_kernels.mean_squared_difference(
        *(_rows(each).contiguous().numpy() for each in (ann, cnn)),
        None if ks[0] is None else [each.item() for each in ks],
        None if maps[0] is None else [each.numpy() for each in maps],
        limit,
        cnn_learns=needs[3] or needs[5],
        threads=torch.get_num_threads(),
    )
    of_ks = (None if k is None else k.new_tensor(each) for k, each in zip(ks, of_ks, strict=True))
    gradients = (_images(torch.from_numpy(of_ann), ann.shape), None, *of_ks, *map(torch.from_numpy, of_maps), None)
    ctx.gradients = tuple(each if need else None for each, need in zip(gradients, needs, strict=True))
    return ann.new_tensor(value)


def _normalised(maps):
    """(maps divided by their L2 norms over places, these norms, at least 1e-12). maps: (N, places, C)."""
    norms = maps.norm(dim=1, keepdim=True).clamp_min_(1e-12)
    return maps / norms, norms


def _maps(responses):
    """(N, C, H, W) as (N, H·W, C), without a copy from channels-last memory."""
    return responses.permute(0, 2, 3, 1).flatten(1, 2)


def _rows(responses):
    """(N, C, H, W) as (N·H·W, C), without a copy from channels-last memory."""
    return responses.permute(0, 2, 3, 1).flatten(0, 2)


def _images(values, shape):
    """What `_rows` or `_maps` made of responses of `shape`, back in that shape."""
    return values.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)


def _parts(values):
    """Slices of the first dimension that hold PART_BYTES each, at least one item; on a GPU one slice of all."""
    size = max(1, PART_BYTES // (values[0].numel() * values.element_size())) if values.is_cpu else len(values)
    return [slice(first, first + size) for first in range(0, len(values), size)]


def _scaled(gradients, factor):
    return tuple(None if each is None else each * factor for each in gradients)
