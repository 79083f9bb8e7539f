"""Small integer graphs with every op, as the writer and reader tests use them."""

import numpy as np
from onnx import TensorProto

from adderhw.fixed import Format
from adderhw.graph import Graph
from adderhw.ops.base import Node
from adderhw.tensor import Tensor, integer_tensor

INT32, UINT8 = TensorProto.INT32, TensorProto.UINT8
ACTIVATION = Format(8, False, 0.1 + 0.2, 3)


def requantize(name, source, output, bits=8, rounding=1):
    """A Requantize node to an unsigned format."""
    attributes = {"rounding": rounding, "qmin": 0, "qmax": 2**bits - 1, "output_dtype": UINT8}
    return Node("Requantize", name, (source, f"{name}.m", f"{name}.c", f"{name}.n"), output, attributes)


def constants(name, rng, channels, rank):
    """Random parameters of a Requantize."""
    shape = (channels,) + (1,) * (rank - 2)
    return {
        f"{name}.m": rng.integers(1, 100, shape),
        f"{name}.c": rng.integers(-1000, 1000, shape),
        f"{name}.n": np.array(9, np.int64),
    }


def every_op(rng):
    """A residual network of every op of the contract, from a float image (N, 3, 8, 8) to float logits (N, 5)."""
    parameters = {
        "in.scale": np.array(0.02, np.float32),
        "in.zero": np.array(3, np.uint8),
        "stem.w": rng.integers(-128, 128, (4, 3, 3, 3), np.int8),
        "adder.w": rng.integers(0, 256, (4, 2, 3, 3), np.uint8),
        "adder.zero": np.array(3, np.uint8),
        "gemm.w": rng.integers(0, 256, (6, 16), np.uint8),
        "last.w": rng.integers(-128, 128, (6, 5), np.int8),
        "out.scale": np.array(0.25, np.float32),
        "flat.shape": np.array([0, -1], np.int64),
        "odd.i": np.array([3, 1], np.int64),
        "even.i": np.array([0, 2], np.int64),
        **constants("stem.r", rng, 4, 4),
        **constants("adder.r", rng, 4, 4),
        **constants("skip.r", rng, 4, 4),
        **constants("add.r", rng, 4, 4),
        **constants("pool.r", rng, 4, 4),
        **constants("gemm.r", rng, 6, 2),
    }
    wide = {"rounding": 2, "qmin": -(2**15), "qmax": 2**15 - 1, "output_dtype": INT32, "realisation": "multiplier"}
    nodes = (
        Node("QuantizeLinear", "in", ("image", "in.scale", "in.zero"), "x", {}),
        Node(
            "ConvInteger", "stem", ("x", "stem.w", "in.zero"), "stem.s", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
        ),
        requantize("stem.r", "stem.s", "a"),
        Node(
            "AdderConvInteger",
            "adder",
            ("a", "adder.w", "adder.zero"),
            "adder.s",
            {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "group": 2},
        ),
        Node("Requantize", "adder.r", ("adder.s", "adder.r.m", "adder.r.c", "adder.r.n"), "b", wide),
        Node("Requantize", "skip.r", ("a", "skip.r.m", "skip.r.c", "skip.r.n"), "skip", wide),
        Node("Add", "add", ("b", "skip"), "sum", {}),
        requantize("add.r", "sum", "c", rounding=3),
        Node("Gather", "odd", ("c", "odd.i"), "c.odd", {"axis": 1}),
        Node("Gather", "even", ("c", "even.i"), "c.even", {"axis": 1}),
        Node("Concat", "join", ("c.odd", "c.even"), "j", {"axis": 1}),
        Node("MaxPoolInteger", "max", ("j",), "d", {"kernel_shape": (2, 2), "strides": (2, 2)}),
        Node("SumPool", "pool", ("d",), "pool.s", {"kernel_shape": (2, 2), "strides": (2, 2)}),
        requantize("pool.r", "pool.s", "e", rounding=0),
        Node("Flatten", "flatten", ("e",), "f", {}),
        Node("Reshape", "reshape", ("f", "flat.shape"), "g", {}),
        Node("AdderGemmInteger", "gemm", ("g", "gemm.w"), "gemm.s", {}),
        requantize("gemm.r", "gemm.s", "h"),
        Node("MatMulInteger", "last", ("h", "last.w"), "last.s", {}),
        Node("DequantizeLinear", "out", ("last.s", "out.scale"), "logits", {}),
    )
    return Graph(
        name="every_op",
        inputs=(Tensor("image", (None, 3, 8, 8), np.dtype(np.float32)),),
        outputs=("logits",),
        nodes=nodes,
        parameters=parameters,
        formats={"a": ACTIVATION, "adder.w": ACTIVATION, "h": Format(8, False, 1e-300)},
        metadata={"adderhw.preprocess": "{}", "note": "μ"},
    )


def wide_gemm(reduction, weight=65535):
    """A Graph of one AdderGemmInteger of 16 bits whose sums reach `reduction` · 65535."""
    w = np.full((1, reduction), weight, np.uint16)
    node = Node("AdderGemmInteger", "gemm", ("x", "w"), "s", {"output_dtype": TensorProto.INT64})
    x = integer_tensor("x", (None, reduction), np.uint16, 0, 65535)
    return Graph("wide", (x,), ("s",), (node,), {"w": w})
