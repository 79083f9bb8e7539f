"""Who teaches the integer network: the float network that it is made of, or a CNN by scores and by its layers.

Xu 2020 is Y. Xu, C. Xu, X. Chen, W. Zhang, C. Xu and Y. Wang, "Kernel Based Progressive Distillation for Adder Neural
Networks", NeurIPS 2020.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from adderhw.errors import ModelError
from adderhw.samples import normalisation


class Answer(NamedTuple):
    """What a teacher says of some images: scores float32 (N, classes); of the float model, its tensors by name too."""

    scores: torch.Tensor
    tensors: Mapping[str, torch.Tensor]


@dataclass
class FloatTeacher:
    """The float network that the integer network is made of."""

    network: "FloatNetwork"
    match: None = None
    watched: tuple[str, ...] = ()

    @torch.no_grad()
    def answer(self, images):
        """The Answer to float32 images (N, …)."""
        values = self.network.values(images)
        return Answer(values[self.network.graph.outputs[0]], values)

    def loss(self, scores, labels, answer, lowering):
        """The mean of relative_error of every tensor on a grid and of the scores, plus KL(float ‖ integer) of these.

        What each layer should say is known, and says more of where the error is than the scores alone.
        """
        found = {**lowering.activations, None: scores}
        meant = {**answer.tensors, None: answer.scores}
        errors = torch.stack([relative_error(each, meant[name]) for name, each in found.items()])
        return errors.mean() + divergence(scores, answer.scores)


def relative_error(found, meant):
    """Σ(x̂ − x)² over Σ(x − mean)², float32 (N, C, …), the mean that of each channel; Σ(x̂ − x)² where that is 0."""
    axes = [axis for axis in range(meant.ndim) if axis != 1]
    spread = (meant - meant.mean(axes, keepdim=True)).square().sum()
    return (found - meant).square().sum() / torch.where(spread > 0, spread, 1.0)


def divergence(scores, meant):
    """The Kullback-Leibler divergence of float32 scores (N, classes) from those that were meant, mean of the images."""
    logarithms = (each.log_softmax(1) for each in (scores, meant))
    return functional.kl_div(*logarithms, log_target=True, reduction="batchmean")


@dataclass
class Teacher:
    """A CNN whose scores are part of the loss, and whose layers are where they match the student's.

    network: images → scores. alpha, beta: see QatRecipe. match: the distance of the layers' responses, of which
    `watched` names those of the student; recorder: what the teacher's layers answered. None, and (), without a match.
    """

    network: Callable[[torch.Tensor], torch.Tensor]
    alpha: float
    beta: float = 0.0
    match: torch.nn.Module | None = None
    watched: tuple[str, ...] = ()
    recorder: Any = None

    @torch.no_grad()
    def answer(self, images):
        """The Answer to float32 images (N, …)."""
        return Answer(self.network(images), {})

    def loss(self, scores, labels, answer, lowering):
        """L_blend (Xu 2020, section 3); where layers match, plus β·L_mid of the responses that `lowering` watched."""
        from training.distil import blended_loss

        loss = blended_loss(scores, labels, answer.scores, self.alpha)
        return loss + self.beta * self.match(lowering.responses, self.recorder.responses) if self.match else loss


def teacher_of(model, graph, recipe):
    """The FloatTeacher, or the Teacher that a QatRecipe names; raises ModelError for a checkpoint of another task.

    model: the path of the float model: where it is a checkpoint, the teacher's layers teach too.
    """
    if recipe.teacher is None:
        return FloatTeacher(FloatNetwork(graph))
    from training.checkpoint import load_network

    network, metadata = load_network(recipe.teacher)
    network.requires_grad_(False)
    check_teacher(recipe, metadata, graph)
    teacher = Teacher(Renormalised(network, metadata, graph), recipe.alpha, recipe.beta)
    if Path(model).suffix == ".pt" and recipe.beta:
        add_match(teacher, network, metadata, model)
    return teacher


def check_teacher(recipe, metadata, graph):
    """Raises ModelError unless the teacher is a CNN for images like the student's, of the data set it learns on."""
    kind, shape, dataset = metadata["network"]["kind"], metadata["input_shape"], metadata["preprocess"]["dataset"]
    found, expected = (kind, list(shape), dataset), ("cnn", list(graph.inputs[0].shape[1:]), recipe.data)
    if found != expected:
        what = "a {} for images {} of {}".format
        raise ModelError(f"{recipe.teacher}: found {what(*found)}, expected {what(*expected)}")


def add_match(teacher, cnn, metadata, model):
    """Lets the teacher's layers teach, by PKKD's L_mid with its defaults; raises ModelError unless they are twins."""
    from training.checkpoint import load_network
    from training.distil import FeatureMatch, ResponseRecorder
    from training.recipe import Recipe

    student, own = load_network(model)
    if {**own["network"], "kind": "cnn"} != metadata["network"]:
        raise ModelError(
            f"teacher: found {metadata['network']}, expected the CNN twin of {own['network']}, or --beta 0"
        )
    teacher.match = FeatureMatch(student, cnn, Recipe())
    teacher.watched = teacher.match.watched
    teacher.recorder = ResponseRecorder(cnn, teacher.watched)


class Renormalised:
    """A network that takes images as `graph` takes them, though it was trained with another mean and deviation."""

    def __init__(self, network, metadata, graph):
        channels = graph.inputs[0].shape[1]
        mean, std = (torch.from_numpy(each) for each in normalisation(graph, channels))
        own = [torch.tensor(metadata["preprocess"][key]).reshape(-1, 1, 1) for key in ("mean", "std")]
        self.network, self.scale, self.offset = network, std / own[1], (mean - own[0]) / own[1]

    def __call__(self, images):
        return self.network(images * self.scale + self.offset)


class FloatNetwork:
    """A FloatGraph that computes in float32; nothing in it learns."""

    def __init__(self, graph):
        import training.adder_op  # noqa: F401 - registers the adder operators

        self.graph = graph
        self.constants = {
            name: torch.from_numpy(np.array(value, np.float32 if value.dtype.kind == "f" else None))
            for name, value in graph.constants.items()
        }

    def __call__(self, images):
        """float32 images (N, …) → the first output, float32."""
        return self.values(images)[self.graph.outputs[0]]

    def values(self, images):
        """Every tensor by name, as float32 (N, …), for float32 images (N, …)."""
        values = {**self.constants, self.graph.inputs[0].name: images}
        for node in self.graph.nodes:
            operands = [values[name] if name else None for name in node.inputs]
            values[node.output] = COMPUTE[node.op](node.attributes, *operands)
        return values


def conv(attributes, x, weight, bias=None):
    strides, dilations = attributes["strides"], attributes["dilations"]
    return functional.conv2d(padded(x, attributes), weight, bias, strides, 0, dilations, attributes["group"])


def adder_conv(attributes, x, weight):
    options = [list(attributes[key]) for key in ("strides", "pads", "dilations")]
    return torch.ops.adderhw.adder_conv(x, weight, *options, attributes["group"])


def adder_gemm(attributes, x, weight):
    weight = weight if attributes["transB"] else weight.T
    options = ([1, 1], [0] * 4, [1, 1], 1)
    return torch.ops.adderhw.adder_conv(x[:, :, None, None], weight[:, :, None, None], *options).flatten(1)


def gemm(attributes, x, weight, bias=None):
    product = attributes["alpha"] * (x @ (weight.T if attributes["transB"] else weight))
    return product if bias is None else product + attributes["beta"] * bias


def batch_norm(attributes, x, gamma, beta, mean, variance):
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=attributes["epsilon"])


def clip(attributes, x, low=None, high=None):
    return x.clamp(*(None if end is None else end.item() for end in (low, high)))


def max_pool(attributes, x):
    return functional.max_pool2d(
        padded(x, attributes, float("-inf")), attributes["kernel_shape"], attributes["strides"]
    )


def average_pool(attributes, x):
    return functional.avg_pool2d(x, attributes["kernel_shape"], attributes["strides"])


def global_average_pool(attributes, x):
    return x.mean((2, 3), keepdim=True)


def reduce_mean(attributes, x, axes=None):
    return x.mean((2, 3), keepdim=bool(attributes["keepdims"]))


def flatten(attributes, x):
    return x.flatten(1)


def reshape(attributes, x, sizes):
    return x.reshape([len(x), *(size or x.shape[at] for at, size in enumerate(sizes.tolist()[1:], 1))])


def padded(x, attributes, value=0.0):
    """x with ONNX's pads (top, left, bottom, right) of `value` around each image."""
    top, left, bottom, right = attributes["pads"]
    return functional.pad(x, (left, right, top, bottom), value=value) if any(attributes["pads"]) else x


COMPUTE: Mapping[str, Callable] = {
    "Conv": conv,
    "AdderConv": adder_conv,
    "AdderGemm": adder_gemm,
    "Gemm": gemm,
    "MatMul": lambda attributes, x, weight: x @ weight,
    "BatchNormalization": batch_norm,
    "Relu": lambda attributes, x: x.relu(),
    "Clip": clip,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMean": reduce_mean,
    "Add": lambda attributes, a, b: a + b,
    "Flatten": flatten,
    "Reshape": reshape,
}
