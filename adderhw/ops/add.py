"""Add: the sum of two integer tensors on one scale, as a residual connection adds its branches."""

from functools import partial

import numpy as np

from adderhw.cost.events import event
from adderhw.kernels import add, pack_requant, residual_step
from adderhw.ops.base import Op, other_work
from adderhw.tensor import integer_tensor


class Add(Op):
    """a, b int32 of one shape → a + b in int32 (ONNX Add)."""

    name = "Add"
    domain = ""
    inputs = ("a", "b")
    activations = None

    def infer(self, node, args):
        """Both operands int32 of one shape and one scale, and a sum that fits int32."""
        a, b = args
        if a.dtype != np.int32 or b.dtype != np.int32 or a.shape != b.shape:
            node.fail(f"{a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)}", "two int32 tensors of one shape")
        scales = {t.format.scale for t in args if t.format.scale is not None}
        if len(scales) > 1:
            node.fail(f"scales {sorted(scales)}", "one scale for both operands")
        low, high = a.low + b.low, a.high + b.high
        if low.min() < np.iinfo(np.int32).min or high.max() > np.iinfo(np.int32).max:
            node.fail(f"an exact sum from {low.min()} to {high.max()}", "a sum that fits int32 (overflowing bound)")
        return integer_tensor(node.output, a.shape, np.int32, low, high)

    def compile(self, node, args, out, options, fusion=None):
        """One vectorised pass; with a Fusion the requantisations before and behind it are part of the pass."""
        if fusion is None:

            def bind(arrays, target, threads, stats):
                return partial(add, *arrays, target.dtype, out=target)

            return bind

        after = pack_requant(fusion.after, max(-out.lowest, out.highest), np.int32)
        before = fusion.before and pack_requant(fusion.before, fusion.before_bound, np.int32)

        def bind_fused(arrays, target, threads, stats):
            return residual_step(*arrays, before, after, target)

        return bind_fused

    def work(self, node, args, out, options):
        """An addition per element, at the width of the sum."""
        return other_work(node, out, {event("add", out.format.bits): out.elements})
