"""What each node does in a lowering that learns: an integer node computes the batch, a float node folds into (a, b).

Functions take the TorchLowering under way and the node.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from quant import qat_ops
from quant.qat_start import weight_step_of


def constant(values):
    """float64 tensor of a numpy array."""
    return torch.from_numpy(np.array(values, np.float64))


def follow_batch_norm(state, node):
    """γ·(x − μ)/√(σ² + ε) + β of a·S + b; μ and σ² are constants."""
    a, b = state.affine_tensors(node.inputs[0])
    if state.normalises and node.inputs[0] in state.totals:
        name = state.values[node.output].name
        sums = state.sum_moments[name] = qat_ops.moments(state.tensors[name])
        scale, offset = a.detach().numpy(), b.detach().numpy()
        state.batch_norms[node.name] = sums._replace(mean=scale * sums.mean + offset, variance=scale**2 * sums.variance)
    gamma, beta = (state.parameters[name].double() for name in node.inputs[1:3])
    mean, variance = (constant(state.graph.constants[name]) for name in node.inputs[3:5])
    factor = gamma / torch.sqrt(variance + node.attributes["epsilon"])
    return a * factor, b * factor + beta - mean * factor


def follow_add(state, node):
    """The constant operand joins b."""
    at = 0 if node.inputs[0] in state.graph.constants else 1
    a, b = state.affine_tensors(node.inputs[1 - at])
    return a, b + state.parameters[node.inputs[at]].double().reshape(-1)


def follow_carrier(state, node):
    """A clip, or another shape: a and b stay."""
    return state.affine_tensors(node.inputs[0])


FOLLOW: Mapping[str, Callable] = {
    "BatchNormalization": follow_batch_norm,
    "Add": follow_add,
    "Relu": follow_carrier,
    "Clip": follow_carrier,
    "Flatten": follow_carrier,
    "Reshape": follow_carrier,
}


def quantise_linear(state, node):
    grid = state.builder.tensors[node.output].format
    state.tensors[node.output] = qat_ops.quantise_input(state.images, grid)


def dequantise_linear(state, node):
    grid = state.builder.tensors[node.inputs[0]].format
    state.tensors[node.output] = qat_ops.dequantise(state.tensors[node.inputs[0]], grid)


def adder_sum(state, node):
    """AdderConvInteger and AdderGemmInteger."""
    x, grid = state.tensors[node.inputs[0]], state.builder.tensors[node.inputs[0]].format
    integers = state.integers(node.inputs[1])
    weight = qat_ops.adder_weight(state.float_weight(), integers, grid, state.step_under(node.inputs[0]))
    if x.ndim == 4:
        keys = ("strides", "pads", "dilations")
        options = (*(list(node.attributes[key]) for key in keys), node.attributes["group"])
        sums = qat_ops.AdderSum.apply(x, weight, integers, grid, options)
    else:
        operands = (each[:, :, None, None] for each in (x, weight, integers))
        sums = qat_ops.AdderSum.apply(*operands, grid, ([1, 1], [0] * 4, [1, 1], 1)).flatten(1)
    state.tensors[node.output] = sums


def product_sum(state, node):
    """ConvInteger and MatMulInteger."""
    x, zero_point = state.tensors[node.inputs[0]], state.builder.tensors[node.inputs[0]].format.zero_point
    stored = state.integers(node.inputs[1])
    integers = stored if node.op == "ConvInteger" else stored.T
    bits = state.builder.tensors[node.inputs[1]].format.bits
    step = state.steps.get(weight_step_of(state.node.name))
    if step is None:
        step = torch.from_numpy(state.weight_steps[state.node.name]).float()
    weight = qat_ops.product_weight(state.float_weight(), integers, step, (1 << (bits - 1)) - 1)
    if node.op == "ConvInteger":
        state.tensors[node.output] = qat_ops.conv_sum(x, weight, zero_point, node.attributes)
    else:
        state.tensors[node.output] = qat_ops.linear_sum(x, weight, zero_point)


def max_pool(state, node):
    carry(state, node, qat_ops.max_pool(state.tensors[node.inputs[0]], node.attributes))


def sum_pool(state, node):
    state.tensors[node.output] = qat_ops.sum_pool(state.tensors[node.inputs[0]], node.attributes)


def add(state, node):
    left, right = (state.tensors[name] for name in node.inputs)
    state.tensors[node.output] = left + right


def flatten(state, node):
    carry(state, node, state.tensors[node.inputs[0]].flatten(1))


def reshape(state, node):
    x = state.tensors[node.inputs[0]]
    sizes = state.builder.parameters[node.inputs[1]].tolist()
    carry(state, node, x.reshape([len(x), *(size or x.shape[at] for at, size in enumerate(sizes[1:], 1))]))


def carry(state, node, values):
    """The values of a node whose output stays on its input's grid."""
    state.tensors[node.output] = values
    if node.inputs[0] in state.owners:
        state.owners[node.output] = state.owners[node.inputs[0]]


COMPUTE: Mapping[str, Callable] = {
    "QuantizeLinear": quantise_linear,
    "DequantizeLinear": dequantise_linear,
    "AdderConvInteger": adder_sum,
    "AdderGemmInteger": adder_sum,
    "ConvInteger": product_sum,
    "MatMulInteger": product_sum,
    "MaxPoolInteger": max_pool,
    "SumPool": sum_pool,
    "Add": add,
    "Flatten": flatten,
    "Reshape": reshape,
}
