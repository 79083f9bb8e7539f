"""What an op is: its ONNX contract, shape and format rule, integer computation and event count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto

from adderhw.cost.events import LayerWork, PaperCount, Tally
from adderhw.errors import ModelError
from adderhw.fixed import storage_dtype
from adderhw.kernels import Accumulator

REQUIRED = object()
DOMAIN, DOMAIN_VERSION = "adderhw", 1
SUM_TYPES = {TensorProto.INT32: np.dtype(np.int32), TensorProto.INT64: np.dtype(np.int64)}
EXACT = Accumulator(0, False)
STORAGE_TYPES = {
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.INT8: np.dtype(np.int8),
    TensorProto.UINT16: np.dtype(np.uint16),
    TensorProto.INT16: np.dtype(np.int16),
    TensorProto.INT32: np.dtype(np.int32),
}


class Attribute(NamedTuple):
    """An attribute of an op: its kind ('int', 'ints', 'float', 'string') and default (REQUIRED: none)."""

    kind: str
    default: Any = REQUIRED


@dataclass(frozen=True)
class Node:
    """One node of a graph: the op's name, its own name, tensor names ('' = input left out), attributes."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def fail(self, found, expected):
        """Raises the ModelError that names this node."""
        raise ModelError(f"node {self.name!r} ({self.op}): found {found}, expected {expected}")


@dataclass(frozen=True)
class RunOptions:
    """What a compiled step depends on: the kernel path's name and the accumulator of adder layers."""

    path: str
    accumulator: Accumulator = EXACT
    accumulate_all: bool = False


class Op:
    """The contract of one op; each op is one file with one subclass of this.

    name: in the graph and in ONNX. domain: its ONNX domain. standard: whether the reader also takes the op of
    that name from ONNX's own domain. inputs: names; the last `optional` ones may be left out, and where the op is
    `variadic` the last one may be followed by more of its kind.
    activations: how many inputs, from the first on, must depend on the image (None: all); a parameter there is refused.
    reads_planar: whether the op reads an activation that lies in memory as in ONNX (Tensor.planar).
    body: the op's ONNX function body, in ONNX's text syntax; {compute} stands for FLOAT or DOUBLE.
    """

    name: str
    domain = DOMAIN
    standard = ""
    inputs: tuple[str, ...] = ("x",)
    optional = 0
    variadic = False
    activations: int | None = 1
    output = "y"
    attributes: Mapping[str, Attribute] = MappingProxyType({})
    body = ""
    types: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    sums = False
    reads_planar = False

    def infer(self, node, args):
        """The output Tensor of `node` on the input Tensors `args` (None where left out); raises ModelError."""
        raise NotImplementedError

    def compile(self, node, args, out, options, fusion=None):
        """bind(arrays, target, threads, stats), which gives a Step or a call without arguments that computes `node`.

        arrays, target: the activations that each call reads (parameters left out) and the array that it writes,
        NHWC where of rank 4, but for inputs whose Tensor is planar: as in ONNX. threads: how many may share the
        work. stats: int64 (threads, …), what the accumulator held at most so far (see Plan.stats), a row for each
        thread. fusion: the Fusion of this node, where the next nodes are part of the same pass.
        """
        raise NotImplementedError

    def work(self, node, args, out, options):
        """The LayerWork of `node` per image; RunOptions may fix the accumulator's width."""
        raise NotImplementedError

    def float_exact(self, node, args):
        """The largest integer that this op's ONNX body carries in floating point; 0 where there is none."""
        return 0


def other_work(node, out, events):
    """The LayerWork of an op that is neither an adder nor a multiply-accumulate layer."""
    return LayerWork(
        name=node.name,
        op=node.op,
        kind="other",
        output_shape=tuple(out.shape[1:]),
        taps=0,
        reduction=0,
        outputs=out.elements,
        input_bits=0,
        weight_bits=0,
        accumulator_bits=0,
        events=Tally(events),
        paper=PaperCount(),
    )


def rank4(node, x):
    """(C, H, W) of a batch of images; raises ModelError for any other rank."""
    if len(x.shape) != 4:
        node.fail(f"input {x.name!r} of rank {len(x.shape)}", "rank 4 (N, C, H, W)")
    return x.shape[1:]


def integer_input(node, x, widest=16):
    """Checks that `x` is an integer activation of at most `widest` bits in a one- or two-byte dtype."""
    if x.is_float:
        node.fail(f"input {x.name!r} of dtype {x.dtype}", "integers (quantise the model first)")
    if x.dtype.itemsize > 2 or x.format.bits > widest:
        node.fail(
            f"input {x.name!r} of {x.format.bits} bits as {x.dtype}", f"at most {widest} bits in 8- or 16-bit storage"
        )


def parameter(node, tensor, what):
    """The array of a parameter; raises ModelError where `tensor` is computed at run time."""
    if tensor.value is None:
        node.fail(f"{what} {tensor.name!r} computed by the graph", "a constant (initializer)")
    return tensor.value


def scalar(node, tensor, what, default=0):
    """The Python integer in a scalar parameter, or `default` where it is left out."""
    if tensor is None:
        return default
    value = parameter(node, tensor, what)
    if value.size != 1:
        node.fail(f"{what} of shape {list(value.shape)}", "a scalar")
    return int(value.reshape(()))


def sum_type(node, low, high):
    """The dtype of a sum from `output_dtype`; raises ModelError where the exact bound does not fit."""
    code = node.attributes["output_dtype"]
    if code not in SUM_TYPES:
        node.fail(f"output_dtype {code}", f"INT32 ({TensorProto.INT32}) or INT64 ({TensorProto.INT64})")
    info = np.iinfo(SUM_TYPES[code])
    if low < info.min or high > info.max:
        node.fail(
            f"an exact sum from {low} to {high}", f"a bound that fits {SUM_TYPES[code]} (overflowing accumulator)"
        )
    return SUM_TYPES[code]


def sum_type_code(low, high):
    """The output_dtype of a sum with exact bounds low and high: INT32, or INT64 where it is needed."""
    return TensorProto.INT64 if storage_dtype(low, high).itemsize > 4 else TensorProto.INT32


def per_channel(values, channels):
    """A bound of shape () or (C,) as an int64 array of shape (C,)."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.int64), (channels,)))
