"""What the co-simulation of the networks that ship runs: which layers, on which images, with which accumulators."""

from typing import NamedTuple

from adderhw.simulation import SHIPPED_MODEL


class Job(NamedTuple):
    """One set of golden vectors: the arguments of write_vectors but for the number of images and of lanes."""

    model: str
    data: str
    split: str
    layers: tuple[str, ...]  # empty: every adder layer
    accumulator_bits: int
    overflow: str


NETWORKS = (
    (SHIPPED_MODEL, "digits", ()),
    (
        SHIPPED_MODEL.with_name("cifar10_ann20_int8.onnx"),
        "cifar10",
        ("blocks.1.conv1", "blocks.4.conv2", "blocks.7.conv2"),  # 16, 32 and 64 channels
    ),
)
ACCUMULATORS = ((0, "wrap"), (12, "wrap"), (12, "saturate"))
SHIPPED_JOBS = tuple(
    Job(str(model), data, "test", layers, bits, overflow)
    for bits, overflow in ACCUMULATORS
    for model, data, layers in NETWORKS
)
