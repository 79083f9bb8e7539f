"""The lowering of a network that learns: on grids that were learnt, and with the tensors of a batch beside it.

TorchLowering is a Lowering: the integer network of the parameters as they are. With each integer node that it emits
it computes that node's integers for the batch, so that the fake-quantised forward pass is the integer network.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from adderhw.fixed import Format
from quant import qat_ops
from quant.fold import Pending
from quant.lower import LOWER
from quant.lowering import Lowering
from quant.qat_nodes import COMPUTE, FOLLOW, constant
from quant.qat_start import step_of

EXACT = 1 << 24  # float32 carries every integer up to here


class LearntLowering(Lowering):
    """A Lowering onto the grids and weight steps of a Start; `recipe` joins the settings in the metadata."""

    def __init__(self, graph, start, recipe=None):
        self.start, self.recipe = start, recipe
        super().__init__(graph, start.observed, start.source, start.settings, start.choices)

    def grid(self, name):
        return self.start.grids[name]

    def product_weight(self, node, weight, bits):
        steps = self.start.weight_steps.get(node.name)
        if steps is None:
            return super().product_weight(node, weight, bits)
        top = (1 << (bits - 1)) - 1
        integers = np.clip(np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1))), -top, top)
        return integers.astype(Format(bits, True).dtype), steps

    def described(self):
        return {**super().described(), **({"qat": self.recipe} if self.recipe else {})}

    def note(self, node, x, total, weight_format, weight_clipped=0.0):
        """No summary: what the calibration images clipped says nothing about learnt grids."""


@dataclass(frozen=True)
class Requant:
    """The constants of one Requantize, int64 (C,), as qat_kernels takes them; above, below: see there."""

    m: np.ndarray
    c: np.ndarray
    n: np.ndarray
    rounding: int
    low: int
    high: int
    below: float
    above: float

    def repeated(self, times):
        """The constants of rows with `times` positions."""
        return replace(self, **{name: np.tile(getattr(self, name), times) for name in ("m", "c", "n")})


class TorchLowering(LearntLowering):
    """A lowering together with the integers of a batch, which carry gradients to the parameters.

    tensors: integer tensor name → float32 tensor of its integers. activations: float tensor name → float32 tensor of
    what it is on its grid, where it has one. affines: float tensor name → (a, b), float64 tensors (C,): the a·S + b of
    its Pending, with gradients. responses: node name → float32 tensor, what the `watched` float nodes answer.
    batch_norms: node name → Moments of what it normalises, in this batch, where `normalises` asks for gradients as
    those of batch norms in training. parameters: constant name → float32 tensor; steps: by step_of () and
    by weight_step_of (O,).
    """

    def __init__(self, graph, start, parameters, steps, images, watched=(), normalises=False):
        self.parameters, self.steps, self.images, self.watched = parameters, steps, images, watched
        self.normalises, self.batch_norms = normalises, {}
        self.tensors, self.activations, self.affines, self.responses = {}, {}, {}, {}
        self.sum_moments = {}  # name of a sum that a batch norm is folded into → its Moments
        self.weight_steps = {}
        self.owners = {}  # integer tensor name → the float tensor whose step it has
        self.computed, self.node = 0, None
        super().__init__(graph, start)
        self.compute()

    def scores(self):
        """Lowers and computes every node; the network's only output, float32."""
        for node in self.graph.nodes:
            self.node = node
            self.check_inputs(node)
            LOWER[node.op](self, node)
            self.compute()
            self.follow(node)
        for name in self.graph.outputs:
            self._dequantise_output(name)
        self.compute()
        return self.tensors[self.graph.outputs[0]]

    def product_weight(self, node, weight, bits):
        integers, self.weight_steps[node.name] = super().product_weight(node, weight, bits)
        return integers, self.weight_steps[node.name]

    def compute(self):
        """The integers of what was emitted since the last time."""
        for node in self.builder.nodes[self.computed :]:
            tensor = self.builder.tensors[node.output]
            if not tensor.is_float and max(-tensor.lowest, tensor.highest) >= EXACT:
                node.fail(f"integers from {tensor.lowest} to {tensor.highest}", "a magnitude below 2^24 (fewer bits)")
            COMPUTE[node.op](self, node)
        self.computed = len(self.builder.nodes)

    def requantise(self, tensor_name, value, grid, name, output, dtype=None, steps=1):
        self.compute()
        of_sum = value is self.sums.get(tensor_name) or isinstance(self.values[tensor_name], Pending)
        a, b = self.affines[tensor_name] if of_sum else (constant(value.a), constant(value.b))
        output = super().requantise(tensor_name, value, grid, name, output, dtype, steps)
        learns = not grid.signed  # signed ones hold a residual's branches, or the logits
        if learns:
            self.owners[output] = tensor_name
        constants = self.requant(self.builder.nodes[-1], grid, len(value.a))
        step = self.steps.get(step_of(tensor_name)) if learns else None
        operands = (self.tensors[value.name], a, b, step, grid.scale, constants, self.sum_moments.get(value.name))
        self.tensors[output] = qat_ops.Requantise.apply(*operands)
        if learns:
            self.activations[tensor_name] = (self.tensors[output] - grid.zero_point) * grid.scale
        self.computed = len(self.builder.nodes)
        return output

    def requant(self, node, grid, channels):
        """The Requant of a Requantize onto `grid`."""
        arrays = (self.builder.parameters[name].reshape(-1) for name in node.inputs[1:])
        m, c, n = (np.ascontiguousarray(np.broadcast_to(array, (channels,))) for array in arrays)
        low, high = node.attributes["qmin"], node.attributes["qmax"]
        below = float(grid.min - grid.zero_point if low == grid.min else 0)
        above = float(grid.max - grid.zero_point if high == grid.max else 0)
        return Requant(m, c, n, node.attributes["rounding"], low, high, below, above)

    def set_pending(self, node, name, a, b):
        super().set_pending(node, name, a, b)
        value = self.values[node.output]
        self.affines[node.output] = (constant(value.a), constant(value.b) + self.bias(node, len(value.b)))

    def bias(self, node, channels):
        """float64 (C,): 0, with the gradient of the bias of a multiplying layer."""
        if node.op not in ("Conv", "Gemm") or len(node.inputs) < 3 or not node.inputs[2]:
            return torch.zeros(channels, dtype=torch.float64)
        bias = self.parameters[node.inputs[2]].double().reshape(-1).expand(channels)
        return node.attributes.get("beta", 1.0) * (bias - bias.detach())

    def affine_tensors(self, name):
        """(a, b) of a float tensor, as affines holds them; constants of what is on a grid."""
        if isinstance(self.values[name], Pending):
            return self.affines[name]
        value = self.affine_or_pending(name)
        return constant(value.a), constant(value.b)

    def follow(self, node):
        """Folds the node into affines, as LOWER folded it into the Pending."""
        value = self.values[node.output]
        if not isinstance(value, Pending):
            return
        if node.output not in self.affines:
            self.affines[node.output] = FOLLOW[node.op](self, node)
        if node.name in self.watched:
            sums = self.tensors[value.name]
            a, b = (v.float().reshape(-1, *[1] * (sums.ndim - 2)) for v in self.affines[node.output])
            self.responses[node.name] = a * sums + b

    def step_under(self, name):
        """The step of the grid that an integer tensor lies on, a scalar tensor; a constant for the network's input."""
        step = self.steps.get(step_of(self.owners.get(name)))
        return torch.tensor(self.builder.tensors[name].format.scale) if step is None else step

    def integers(self, name):
        """A parameter of the integer graph as float32."""
        return torch.from_numpy(self.builder.parameters[name].astype(np.float32))

    def float_weight(self):
        """The weight of the float node under way, output channels first, as the lowering takes it."""
        node, weight = self.node, self.parameters[self.node.inputs[1]]
        turned = node.op == "MatMul" or not node.attributes.get("transB", 1)
        return (weight.T if turned else weight) * node.attributes.get("alpha", 1.0)
