"""Small random float ONNX networks for the tests of quantisation."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from adderhw.ops.bodies import OPSET, function_of
from adderhw.ops.float_adder import FLOAT_OPS


class Network:
    """Builds a float model node by node; each method takes a tensor's name and returns that of the result."""

    def __init__(self, shape=(3, 8, 8), seed=0):
        self.random = np.random.default_rng(seed)
        self.nodes, self.parameters = [], []
        self.input = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *shape])
        self.x = "image"

    def constant(self, name, array):
        """Adds an initializer."""
        array = np.asarray(array)
        self.parameters.append(
            numpy_helper.from_array(array.astype(np.float32) if array.dtype.kind == "f" else array, name)
        )
        return name

    def node(self, op, inputs, name, domain="", **attributes):
        """Adds a node whose output is called `name`."""
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{name}_node", domain=domain, **attributes))
        return name

    def conv(self, x, name, channels, outputs, kernel=3, adder=False, **attributes):
        """A (grouped) convolution, or an adder convolution."""
        groups = attributes.get("group", 1)
        shape = (outputs, channels // groups, kernel, kernel)
        spread = 0.8 if adder else 1 / np.sqrt(np.prod(shape[1:]))
        w = self.constant(f"{name}_w", self.random.normal(0.2 * adder, spread, shape))
        op, domain = ("AdderConv", "adderhw") if adder else ("Conv", "")
        default = {"pads": [kernel // 2] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}
        return self.node(op, [x, w], name, domain, kernel_shape=[kernel, kernel], **{**default, **attributes})

    def batch_norm(self, x, name, channels, mean=0.0, deviation=1.0):
        """A batch norm with random γ and β around the statistics stated."""
        normal, uniform = self.random.normal, self.random.uniform
        values = {
            "scale": uniform(0.5, 1.5, channels) * self.random.choice([1, 1, -1], channels),
            "bias": normal(0.2, 0.3, channels),
            "mean": mean + normal(0, 0.1 * deviation, channels),
            "var": deviation**2 * uniform(0.8, 1.2, channels),
        }
        inputs = [self.constant(f"{name}_{key}", value) for key, value in values.items()]
        return self.node("BatchNormalization", [x, *inputs], name)

    def relu(self, x):
        """ReLU."""
        return self.node("Relu", [x], f"{x}_relu")

    def gemm(self, x, name, channels, outputs):
        """A linear layer with bias."""
        w = self.constant(f"{name}_w", self.random.normal(0, 0.4, (outputs, channels)))
        return self.node(
            "Gemm", [x, w, self.constant(f"{name}_b", self.random.normal(0, 0.5, outputs))], name, transB=1
        )

    def model(self, *outputs, metadata=None, functions=True):
        """The ModelProto, with the functions of the float adder ops."""
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "small", [self.input], values, self.parameters)
        model = helper.make_model(
            graph,
            ir_version=10,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("adderhw", 1)],
            functions=[function_of(op) for op in FLOAT_OPS] if functions else [],
        )
        helper.set_model_props(model, metadata or {})
        return model


def adder_layer(net, x, name, channels, outputs, kernel=3, image=None, **attributes):
    """An adder convolution and its batch norm, whose statistics are those a trained one would have."""
    y = net.conv(x, f"{name}_adder", channels, outputs, kernel, adder=True, **attributes)
    taps = channels // attributes.get("group", 1) * kernel**2
    return net.batch_norm(y, f"{name}_bn", outputs, -0.85 * taps, 0.6 * np.sqrt(taps))


def adder_network(seed=0):
    """Stem, adder layers with groups, dilation and stride, a residual with a 1×1 adder shortcut, pools, Gemm."""
    net = Network(seed=seed)
    x = net.relu(net.batch_norm(net.conv("image", "stem", 3, 8), "stem_bn", 8))
    x = net.node("MaxPool", [x], "pooled", kernel_shape=[2, 2], strides=[1, 1])
    branch = net.relu(adder_layer(net, x, "first", 8, 8, strides=[2, 2], group=2))
    branch = adder_layer(net, branch, "second", 8, 8, dilations=[2, 2], pads=[2, 2, 2, 2])
    shortcut = adder_layer(net, x, "shortcut", 8, 8, kernel=1, strides=[2, 2], pads=[0, 0, 0, 0])
    x = net.relu(net.node("Add", [branch, shortcut], "residual"))
    y = adder_layer(net, x, "third", 8, 8)
    x = net.relu(net.node("Add", [y, x], "identity_residual"))
    x = net.node("AveragePool", [x], "averaged", kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("GlobalAveragePool", [x], "global")
    x = net.node("Flatten", [x], "flat")
    return net.model(net.gemm(x, "logits", 8, 5))


def ordinary_cnn(seed=0):
    """A CNN as PyTorch's exporter writes it: Conv, BatchNormalization, Relu, Clip, ReduceMean, MatMul and Add."""
    net = Network(seed=seed)
    x = net.relu(net.batch_norm(net.conv("image", "conv1", 3, 8), "bn1", 8))
    x = net.node("Clip", [net.conv(x, "conv2", 8, 8), net.constant("zero", 0.0), net.constant("six", 6.0)], "clipped")
    x = net.node("ReduceMean", [x, net.constant("axes", np.array([-2, -1]))], "mean", keepdims=0)
    w, b = net.constant("w", net.random.normal(0, 1, (8, 5))), net.constant("b", net.random.normal(0, 1, 5))
    return net.model(net.node("Add", [net.node("MatMul", [x, w], "product"), b], "logits"))


def mixed_cnn(seed=0):
    """An ordinary CNN with every op that has no adder: Conv, Gemm, BatchNormalization, Relu, Clip, Add, all pools and
    reshapes; two residual sums, one of them of rank 2.
    """
    net = Network(seed=seed)
    x = net.relu(net.batch_norm(net.conv("image", "stem", 3, 8), "stem_bn", 8))
    x = net.node("MaxPool", [x], "pooled", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    branch = net.batch_norm(net.conv(x, "grouped", 8, 8, group=4), "grouped_bn", 8)
    x = net.node("Add", [branch, net.conv(x, "shortcut", 8, 8, kernel=1, pads=[0, 0, 0, 0])], "residual")
    x = net.node("Clip", [x, net.constant("zero", 0.0), net.constant("six", 6.0)], "clipped")
    x = net.node("AveragePool", [x], "averaged", kernel_shape=[2, 2], strides=[2, 2])
    flat = net.node("Flatten", [net.node("GlobalAveragePool", [x], "global")], "flat")
    whole = net.node("Reshape", [x, net.constant("row", np.array([0, -1]))], "whole")
    x = net.node("Add", [net.gemm(flat, "narrow", 8, 6), net.gemm(whole, "wide", 32, 6)], "joined")
    return net.model(net.gemm(net.relu(x), "logits", 6, 5))


def images(count=64, seed=0, shape=(3, 8, 8)):
    """float32 images, standard normal."""
    return np.random.default_rng([seed, 1]).normal(0, 1, (count, *shape)).astype(np.float32)
