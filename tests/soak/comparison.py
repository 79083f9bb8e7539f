"""One random network computed in every way there is: all must give the same integers."""

import numpy as np

from adderhw.fixed import Rounding
from adderhw.onnx_reader import graph_of
from adderhw.ort_check import OrtCheck
from adderhw.plan import Plan
from export.writer import model_of
from tests.networks import evaluate

ORACLE_TAPS = 20_000
"""The oracle on Python integers computes networks of no more taps, in about 0.1 s."""


class DisagreementError(AssertionError):
    """Two ways of computing a tensor gave different integers."""


class Soak:
    """Compares networks, and counts what was compared.

    paths: kernel paths, whose first is compared with onnxruntime and the oracle, and all others with it. threads: how
    many to compute with. networks, values, oracle, requantised: networks compared, integers compared with onnxruntime
    and with the oracle, and requantised by APyTypes.
    """

    def __init__(self, paths, threads):
        self.paths, self.threads = tuple(paths), tuple(threads)
        self.networks = self.values = self.oracle = self.requantised = 0

    def compare(self, graph, x):
        """Raises DisagreementError where any way of computing the network differs from another."""
        model = model_of(graph)
        read = graph_of(model, "read")
        tensors = Plan(read, path=self.paths[0], keep_all=True).run({"x": x})
        self.values += with_onnxruntime(model, read, x, tensors)
        self.requantised += with_apytypes(read, x, tensors)
        if len(x) * sum(work.taps for work in read.work()) <= ORACLE_TAPS:
            expect(tensors, evaluate(graph, x), "against the oracle")
            self.oracle += sum(array.size for array in tensors.values())
        for path in self.paths[1:]:
            expect(Plan(read, path=path, keep_all=True).run({"x": x}), tensors, f"on {path}, not {self.paths[0]}")
        for path in self.paths:
            for threads in self.threads:
                plan = Plan(read, path=path, threads=threads)
                expect(plan.run({"x": x}), tensors, f"fused, on {path}, {threads} threads")
                for size in batch_sizes(len(x)):
                    parts = [plan.run({"x": x[at : at + size]}) for at in range(0, len(x), size)]
                    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
                    expect(joined, tensors, f"fused, on {path}, {threads} threads, batches of {size}")
        self.networks += 1


def batch_sizes(images):
    """Image by image, and in two parts of which the second is the smaller one."""
    return sorted({1, images // 2 + 1} - {images})


def expect(found, expected, how):
    """Raises DisagreementError unless the tensors found (name → array) are those expected, in dtype too."""
    for name, array in found.items():
        other = expected[name]
        if array.dtype != other.dtype or array.shape != other.shape:
            raise DisagreementError(
                f"tensor {name!r} {how}: {array.dtype} {array.shape}, expected {other.dtype} {other.shape}"
            )
        if not np.array_equal(array, other):
            at = tuple(int(i) for i in np.argwhere(array != other)[0])
            raise DisagreementError(f"tensor {name!r} {how}: {array[at]} at {list(at)}, expected {other[at]}")


def with_onnxruntime(model, graph, x, tensors):
    """How many integers were compared with stock onnxruntime, in every tensor that a node computes."""
    check = OrtCheck(model, graph, threads=1)
    check.compare({"x": x}, tensors)
    if check.mismatches:
        raise DisagreementError(str(check.first))
    return check.values


def with_apytypes(graph, x, tensors):
    """How many integers of Requantize nodes APyTypes computed too."""
    count = 0
    for node in graph.nodes:
        if node.op == "Requantize":
            s, *constants = (graph.parameters.get(name, tensors.get(name, x)) for name in node.inputs)
            found = tensors[node.output]
            out = requantised(s, *constants, node.attributes).reshape(found.shape).astype(found.dtype)
            expect({node.output: found}, {node.output: out}, "against APyTypes")
            count += out.size
    return count


def requantised(s, m, c, n, attributes):
    """int64, flat: clip(round_shift(s·m + c, n), qmin, qmax) by the products, sums and rounding modes of APyTypes.

    Sums are fixed-point numbers of 128 bits, of which the last n are behind the point that is rounded to.
    """
    from apytypes import APyFixedArray, QuantizationMode

    modes = {
        Rounding.FLOOR: QuantizationMode.TO_NEG,
        Rounding.HALF_UP: QuantizationMode.TIES_POS,
        Rounding.HALF_EVEN: QuantizationMode.TIES_EVEN,
        Rounding.HALF_AWAY: QuantizationMode.TIES_AWAY,
    }
    s, m, c, n = (each.ravel() for each in np.broadcast_arrays(s, m, c, n))
    out = np.empty(s.size, np.int64)
    for shift in np.unique(n):
        at = np.flatnonzero(n == shift)
        factors = [APyFixedArray(values[at].tolist(), bits=64, frac_bits=0) for values in (s, m)]
        point = {"bits": 128, "frac_bits": int(shift)}
        total = APyFixedArray((factors[0] * factors[1]).to_bits(), **point) + APyFixedArray(c[at].tolist(), **point)
        rounded = total.cast(int_bits=130, frac_bits=0, quantization=modes[Rounding(attributes["rounding"])])
        whole = [int(bits) - (int(bits) >> 129 << 130) for bits in rounded.to_bits()]
        out[at] = np.clip(np.array(whole, object), attributes["qmin"], attributes["qmax"]).astype(np.int64)
    return out
