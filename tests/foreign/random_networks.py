"""Random quantised networks of other tools, judged by ONNX's reference implementation: equal, or refused by name.

    python -m tests.foreign.random_networks --networks 2000 --seed 0

Each network is built twice: as a tool writes it, and as what it means, in which a layer of taps between quantisers is
the exact integer sum and the float32 steps that docs/foreign.md states. All else is the same nodes in both.
"""

import argparse
import re
from collections import Counter
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from adderhw.foreign.exact import exact_network
from adderhw.foreign.graph import foreign_graph
from adderhw.foreign.integers import CODE_TYPES, InexactError

TYPES = {name: getattr(TensorProto, name.upper()) for name in ("uint8", "int8", "uint4", "int4", "uint16", "int16")}
OPSETS = (13, 17, 19, 21, 23)
REFERENCE_OPSET = 19  # the first that ONNX's reference implementation has quantisers of; they meant the same before
IR_VERSION = 10
IMAGES = 3


class Codes(NamedTuple):
    """A tensor of codes: its name, shape without the batch, and its grid."""

    name: str
    shape: tuple
    type: str
    scale: np.float32
    zero: int


class Layer(NamedTuple):
    """A layer of taps: its weight's name and type, its scales, these times the input's, and int32 bias or None."""

    weight: str
    kind: str
    scales: np.ndarray
    product: np.ndarray
    bias: np.ndarray | None


class Case(NamedTuple):
    """file: the network as a tool writes it. meaning: what it means. x: its input."""

    file: object
    meaning: object
    x: np.ndarray


class Maker:
    """Draws one network; `nodes` as a tool writes them, `meant` as what they mean. odd: whether it may be refused."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.choice(OPSETS))
        self.nodes, self.meant, self.constants, self.count = [], [], {}, 0
        self.odd = False

    def pick(self, *choices):
        """One of the choices."""
        return choices[self.rng.integers(len(choices))]

    def name(self, stem):
        """A new name."""
        self.count += 1
        return f"{stem}{self.count}"

    def constant(self, array):
        """The name of a new constant."""
        name = self.name("k")
        self.constants[name] = array
        return name

    def codes(self, kind, shape=()):
        """The name of a constant of random codes."""
        _, low, high = CODE_TYPES[kind]
        values = self.rng.integers(low, high + 1, shape)
        return self.constant(helper.make_tensor("", TYPES[kind], shape, values.reshape(-1)))

    def node(self, op, inputs, shape=None, outputs=1, both=True, **attributes):
        """Adds a node; the names of its outputs, or the only one."""
        names = [self.name("t") for _ in range(outputs)]
        made = helper.make_node(op, inputs, names, name=self.name(op), **attributes)
        self.nodes.append(made)
        if both:
            self.meant.append(made)
        return names[0] if outputs == 1 else names

    def scale(self):
        """A scale, now and then a power of two, on which values between codes are halves."""
        return np.float32(
            2.0 ** self.rng.integers(-6, 2) if self.rng.random() < 0.5 else np.exp(self.rng.uniform(-4, 1))
        )

    def type(self):
        """A type of codes that the opset has."""
        narrow = ("uint8", "int8", "uint8", "int8")
        return self.pick(*narrow, "uint4", "int4", "uint16", "int16") if self.opset >= 21 else self.pick(*narrow)

    def quantize(self, real, shape, kind=None, scale=None, zero=None, both=True):
        """A QuantizeLinear in one of the ways in which a zero point is stated; its Codes."""
        kind, scale = kind or self.type(), self.scale() if scale is None else scale
        _, low, high = CODE_TYPES[kind]
        way = self.pick("zero point", "output_dtype", "nothing") if self.opset >= 21 and zero is None else "zero point"
        if way == "nothing" and kind != "uint8":
            way = "zero point"
        zero = (int(self.rng.integers(low, high + 1)) if zero is None else zero) if way == "zero point" else 0
        inputs = [real, self.constant(np.float32(scale))]
        if way == "zero point":
            inputs.append(self.constant(helper.make_tensor("", TYPES[kind], (), [zero])))
        attributes = {"output_dtype": TYPES[kind]} if way == "output_dtype" else {}
        if self.rng.random() < 0.2:
            attributes["axis"] = int(self.pick(0, 1, -1))
        return Codes(self.node("QuantizeLinear", inputs, both=both, **attributes), shape, kind, scale, zero)

    def dequantize(self, codes):
        """The float tensor of codes."""
        inputs = [codes.name, self.constant(codes.scale)]
        if codes.zero or self.rng.random() < 0.5:
            inputs.append(self.constant(helper.make_tensor("", TYPES[codes.type], (), [codes.zero])))
        return self.node("DequantizeLinear", inputs)

    # -- parts: Codes → Codes

    def requantised(self, codes):
        """The same on another grid."""
        return self.quantize(self.dequantize(codes), codes.shape)

    def moved_floats(self, codes):
        """Float values of codes moved, back on their grid or on another."""
        real, shape = self.dequantize(codes), codes.shape
        for _ in range(self.rng.integers(1, 3)):
            real, shape = self.moved(real, shape, np.float32)
        if self.rng.random() < 0.5:
            return self.quantize(real, shape, codes.type, codes.scale, codes.zero)
        return self.quantize(real, shape)

    def moved_codes(self, codes):
        """Codes moved as they are."""
        if codes.type in ("uint4", "int4"):
            return self.requantised(codes)
        name, shape = self.moved(codes.name, codes.shape, np.dtype(codes.type))
        return codes._replace(name=name, shape=shape)

    def moved(self, name, shape, dtype):
        """(name, shape) behind one op that moves numbers."""
        c, h, w = shape
        ints = lambda *values: self.constant(np.array(values, np.int64))  # noqa: E731
        kind = self.pick(
            "transpose", "reshape", "slice", "concat", "gather", "pad", "split", "expand", "tile", "squeeze"
        )
        if kind == "transpose":
            perm = list(map(int, self.rng.permutation(3)))
            return self.node("Transpose", [name], perm=[0, *(p + 1 for p in perm)]), tuple(shape[p] for p in perm)
        if kind == "reshape":
            return self.node("Reshape", [name, self.pick(ints(0, w, c, h), ints(-1, w, c, h))]), (w, c, h)
        if kind == "slice" and h > 1:
            steps = int(self.pick(1, 2, -1))
            start, end = (h - 1, -(h + 1)) if steps < 0 else (1, h)
            sliced = len(range(h)[slice(start, None if steps < 0 else end, steps)])
            return self.node("Slice", [name, ints(start), ints(end), ints(2), ints(steps)]), (c, sliced, w)
        if kind == "concat":
            axis = int(self.rng.integers(3))
            doubled = tuple(2 * size if at == axis else size for at, size in enumerate(shape))
            return self.node("Concat", [name, name], axis=axis + 1), doubled
        if kind == "gather":
            taken = self.rng.integers(-c, c, int(self.rng.integers(1, 5)))
            return self.node("Gather", [name, ints(*taken)], axis=1), (len(taken), h, w)
        if kind == "pad":
            mode = self.pick("constant", "edge")
            return self.node("Pad", [name, ints(0, 0, 1, 0, 0, 1, 0, 2)], mode=mode), (c + 1, h + 1, w + 2)
        if kind == "split" and w > 1:
            parts = self.node("Split", [name, ints(1, w - 1)], outputs=2, axis=3)
            return parts[0], (c, h, 1)
        if kind == "expand" and c == 1:
            return self.node("Expand", [name, ints(1, 3, 1, 1)]), (3, h, w)
        if kind == "tile":
            return self.node("Tile", [name, ints(1, 1, 2, 1)]), (c, 2 * h, w)
        if kind == "squeeze":
            return self.node("Squeeze", [self.node("Unsqueeze", [name, ints(2)]), ints(2)]), shape
        return self.node("Identity", [name]), shape

    def clipped(self, codes):
        """An integer Clip."""
        if codes.type not in ("uint8", "int8"):
            return self.requantised(codes)
        _, low, high = CODE_TYPES[codes.type]
        ends = np.sort(self.rng.integers(low, high + 1, 2)).astype(codes.type)
        return codes._replace(name=self.node("Clip", [codes.name, *map(self.constant, ends)]))

    def chosen(self, codes):
        """A pool of maxima, or a Relu, of the float values."""
        c, h, w = codes.shape
        real, shape = self.dequantize(codes), codes.shape
        kind = self.pick("pool", "global", "relu")
        if kind == "relu":
            real = self.node("Relu", [real])
        elif kind == "global":
            real, shape = self.node("GlobalMaxPool", [real]), (c, 1, 1)
        elif h > 1 and w > 1:
            stride = int(self.pick(1, 2))
            pads = self.pick([0, 0, 0, 0], [1, 0, 0, 1])
            real = self.node("MaxPool", [real], kernel_shape=[2, 2], strides=[stride] * 2, pads=pads)
            shape = (c, (h + pads[0] - 2) // stride + 1, (w + pads[3] - 2) // stride + 1)
        return self.quantize(real, shape, codes.type, codes.scale, codes.zero)

    def added(self, codes):
        """A residual sum, or that of a constant, on scales of powers of two."""
        a = codes if codes.type in ("uint8", "int8") else self.quantize(self.dequantize(codes), codes.shape, "uint8")
        scale = np.float32(np.exp2(np.rint(np.log2(a.scale))))
        a = self.quantize(self.dequantize(a), a.shape, a.type, scale)
        left = self.dequantize(a)
        if self.rng.random() < 0.5:
            right = self.node(
                "DequantizeLinear", [self.codes("uint8", (a.shape[0], 1, 1)), self.constant(scale * np.float32(2))]
            )
        else:
            right = self.dequantize(self.quantize(left, a.shape, "int8", scale * np.float32(0.5)))
        total = self.node("Add", [left, right])
        _, low, high = CODE_TYPES[a.type]
        even = 2 * int(self.rng.integers(low // 2, high // 2))
        return self.quantize(total, a.shape, a.type, scale * np.float32(self.pick(1, 2)), even)

    def convolved(self, codes):
        """A convolution, between quantisers or as QLinearConv, of weights of several types."""
        x = self.eight_bits(codes)
        c, h, w = x.shape
        outputs, kernel = int(self.rng.integers(1, 4)), (min(2, h), min(2, w))
        layer = self.layer(x, (outputs, c, *kernel), self.pick("int8", "int4") if self.opset >= 21 else "int8", 0)
        grid = self.output_grid((outputs, h - kernel[0] + 1, w - kernel[1] + 1))
        if layer.kind == "int4":  # fused by nobody: exact on powers of two, else refused
            if self.rng.random() < 0.3:
                self.odd = True
            else:
                x, layer, grid = self.on_powers(x, layer, grid)
        if layer.kind == "int8" and self.rng.random() < 0.5:
            inputs = [*self.operands(x, layer, grid), *self.stated(layer.bias)]
            grid = grid._replace(name=self.node("QLinearConv", inputs, both=False))
        else:
            inputs = self.floats(x, layer, axis=0)
            grid = self.requantiser(self.node("Conv", inputs, both=False), grid)
        self.mean_of_taps("ConvInteger", x, layer, grid)
        return grid

    def multiplied(self, codes):
        """A matrix product, between quantisers or as QLinearMatMul or QGemm; the codes as an image of 1 × 1."""
        x = self.eight_bits(codes)
        size, outputs = int(np.prod(x.shape)), int(self.rng.integers(1, 4))
        x = x._replace(name=self.node("Flatten", [x.name]), shape=(size,))
        op = self.pick("MatMul", "Gemm", "QLinearMatMul", "QGemm")
        layer = self.layer(x, (size, outputs), "int8", 1, bias=op in ("Gemm", "QGemm"))
        grid = self.output_grid((outputs, 1, 1))
        if op == "QLinearMatMul":
            name = self.node(op, self.operands(x, layer, grid), both=False)
        elif op == "QGemm":
            first, last = np.split(np.array(self.operands(x, layer, grid)), [6])
            inputs = [*first, *(self.stated(layer.bias) or [""]), *last]
            name = self.node(op, inputs, both=False, domain="com.microsoft")
        else:
            name = self.requantiser(self.node(op, self.floats(x, layer, axis=1), both=False), grid).name
        self.mean_of_taps("MatMulInteger", x, layer, grid._replace(name=name))
        sizes = self.constant(np.array((-1, *grid.shape), np.int64))
        return grid._replace(name=self.node("Reshape", [name, sizes]))

    def qlinear_added(self, codes):
        """QLinearAdd of a tensor and itself moved, on scales of powers of two; its meaning is exact in any order."""
        a = self.eight_bits(codes)
        scale = np.float32(np.exp2(np.rint(np.log2(a.scale))))
        a = self.quantize(self.dequantize(a), a.shape, a.type, scale)
        b = self.quantize(self.dequantize(a), a.shape, a.type, scale * np.float32(0.5))
        _, low, high = CODE_TYPES[a.type]
        grid = Codes("", a.shape, a.type, scale * np.float32(2), 2 * int(self.rng.integers(low // 2, high // 2)))
        inputs = [name for each in (a, b, grid) for name in (each.name, *self.grid(each)) if name]
        name = self.node("QLinearAdd", inputs, both=False, domain="com.microsoft")
        reals = [self.meaning("DequantizeLinear", [each.name, *self.grid(each)]) for each in (a, b)]
        total = self.meaning("Add", reals)
        self.meaning("QuantizeLinear", [total, *self.grid(grid)], name)
        return grid._replace(name=name)

    # -- what layers of taps are made of

    def eight_bits(self, codes):
        """The codes, requantised where they have not 8 bits."""
        return codes if codes.type in ("uint8", "int8") else self.quantize(self.dequantize(codes), codes.shape, "int8")

    def layer(self, x, shape, kind, axis, bias=True):
        """A Layer of random weights and, now and then, a bias; scales one for each output or one in all."""
        outputs = shape[axis]
        scales = np.exp(self.rng.uniform(-5, -1, outputs if self.rng.random() < 0.5 else ())).astype(np.float32)
        drawn = self.rng.integers(-2000, 2000, outputs).astype(np.int32) if bias and self.rng.random() < 0.5 else None
        return Layer(self.codes(kind, shape), kind, scales, np.float32(x.scale) * scales, drawn)

    def output_grid(self, shape):
        """Codes without a name on a new grid of 8 bits."""
        kind = self.pick("uint8", "int8")
        _, low, high = CODE_TYPES[kind]
        return Codes("", shape, kind, self.scale(), int(self.rng.integers(low, high + 1)))

    def on_powers(self, x, layer, grid):
        """The three with scales that are powers of two."""
        power = lambda scale: np.exp2(np.rint(np.log2(scale))).astype(np.float32)  # noqa: E731
        x = self.quantize(self.dequantize(x), x.shape, x.type, power(x.scale))
        scales = power(layer.scales)
        return x, layer._replace(scales=scales, product=x.scale * scales), grid._replace(scale=power(grid.scale))

    def requantiser(self, real, grid):
        """The Codes of a float tensor on that grid, which the meaning makes otherwise."""
        return self.quantize(real, grid.shape, grid.type, grid.scale, grid.zero, both=False)

    def grid(self, codes):
        """The names of scale and zero point."""
        zero = helper.make_tensor("", TYPES[codes.type], (), [codes.zero])
        return self.constant(np.float32(codes.scale)), self.constant(zero)

    def stated(self, bias):
        """[the name of a bias], [] for None."""
        return [] if bias is None else [self.constant(bias)]

    def operands(self, x, layer, grid):
        """The first eight inputs of a QLinear op."""
        zeros = self.constant(np.zeros(layer.scales.shape, np.int8))
        return [x.name, *self.grid(x), layer.weight, self.constant(layer.scales), zeros, *self.grid(grid)]

    def floats(self, x, layer, axis):
        """The inputs of a float op between quantisers; axis: of the weight's outputs, which ONNX takes for 1."""
        named = {"axis": axis} if layer.scales.ndim and (axis != 1 or self.rng.random() < 0.5) else {}
        left = self.dequantize(x)
        inputs = [left, self.node("DequantizeLinear", [layer.weight, self.constant(layer.scales)], both=False, **named)]
        if layer.bias is not None:
            scales = np.broadcast_to(layer.product, layer.bias.shape).copy()
            bias = [self.constant(layer.bias), self.constant(scales)]
            inputs.append(self.node("DequantizeLinear", bias, both=False, axis=0))
        return inputs

    def meaning(self, op, inputs, output=None, **attributes):
        """Adds a node to what the network means; its output's name."""
        output = output or self.name("m")
        self.meant.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def mean_of_taps(self, op, x, layer, grid):
        """Adds what a layer of taps means: an exact sum, a float32 product, rounding, an offset, a clip."""
        held = numpy_helper.to_array(self.constants[layer.weight]).astype(np.int8)
        column = (-1, 1, 1) if op == "ConvInteger" else (-1,)
        value = self.meaning(op, [x.name, self.constant(held), self.constant(np.asarray(x.zero, x.type))])
        if layer.bias is not None:
            value = self.meaning("Add", [value, self.constant(layer.bias.reshape(column))])
        factor = (np.asarray(layer.product, np.float32) / grid.scale).reshape(column)
        _, low, high = CODE_TYPES[grid.type]
        value = self.meaning("Cast", [value], to=TensorProto.FLOAT)
        value = self.meaning("Round", [self.meaning("Mul", [value, self.constant(factor)])])
        value = self.meaning("Add", [value, self.constant(np.float32(grid.zero))])
        value = self.meaning("Clip", [value, *(self.constant(np.float32(end)) for end in (low, high))])
        self.meaning("Cast", [value], grid.name, to=TYPES[grid.type])

    # -- what a tool may write and is refused

    def odd_weights(self, codes):
        """Weights with a scale for each input channel, which is what ONNX's default axis 1 says."""
        x = self.eight_bits(codes)
        c = x.shape[0]
        if c == 1:  # one scale in all, which is not odd: a layer of taps
            return self.averaged(x)
        scales = np.linspace(0.1, 0.2, c, dtype=np.float32)
        right = self.node("DequantizeLinear", [self.codes("int8", (c, c, 1, 1)), self.constant(scales)])
        return self.quantize(self.node("Conv", [self.dequantize(x), right]), x.shape, "uint8")

    def averaged(self, codes):
        """A mean, whose order of additions is open."""
        real = self.node("GlobalAveragePool", [self.dequantize(codes)])
        return self.quantize(real, (codes.shape[0], 1, 1))

    def into_the_batch(self, codes):
        """Channels moved into the batch, and back."""
        c, h, w = codes.shape
        shapes = [self.constant(np.array(sizes, np.int64)) for sizes in ((-1, 1, h, w), (-1, c, h, w))]
        real = self.dequantize(codes)
        for shape in shapes:
            real = self.node("Reshape", [real, shape])
        return self.quantize(real, codes.shape, codes.type, codes.scale, codes.zero)

    def network(self):
        """The Case."""
        shape = (int(self.rng.integers(1, 4)), int(self.rng.integers(2, 5)), int(self.rng.integers(2, 5)))
        self.shape = shape
        codes = self.quantize("x", shape)
        x = self.entering(codes)
        parts = [self.requantised, self.moved_floats, self.moved_floats, self.moved_codes, self.clipped, self.chosen]
        parts += [self.added, self.qlinear_added, self.convolved, self.convolved, self.multiplied]
        if self.rng.random() < 0.1:
            self.odd, parts = True, [self.odd_weights, self.averaged, self.into_the_batch]
        for _ in range(self.rng.integers(1, 5)):
            codes = self.pick(*parts)(codes)
        output, kind = codes.name, TYPES[codes.type]
        if self.rng.random() < 0.7 or "4" in codes.type:
            output, kind = self.dequantize(codes), TensorProto.FLOAT
        value = helper.make_tensor_value_info(output, kind, ["N", *codes.shape])
        return Case(self.model(self.nodes, value), self.model(self.meant, value), x)

    def entering(self, codes):
        """Input values: codes, halves between two, and some out of range."""
        _, low, high = CODE_TYPES[codes.type]
        values = self.rng.integers(2 * low - 4, 2 * high + 5, (IMAGES, *codes.shape)) / 2.0 - codes.zero
        return (values.astype(np.float32) * codes.scale).astype(np.float32)

    def model(self, nodes, output):
        """A ModelProto with these nodes."""
        used = {name for node in nodes for name in node.input}
        tensors = []
        for name, value in self.constants.items():
            tensor = value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value))
            if name in used:
                named = TensorProto()
                named.CopyFrom(tensor)
                named.name = name
                tensors.append(named)
        c, h, w = self.shape
        graph = helper.make_graph(
            nodes, "random", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", c, h, w])],
            [output], tensors,
        )  # fmt: skip
        opset = max(self.opset, REFERENCE_OPSET) if nodes is self.meant else self.opset
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def judged(case):
    """None where the file's integers are what it means, or the reason why it is refused; AssertionError where not."""
    checker.check_model(case.file, full_check=True)
    try:
        network = exact_network(foreign_graph(case.file, "random"), 1)
    except InexactError as error:
        return str(error)
    found = network.run({"x": case.x})[network.outputs[0]]
    with np.errstate(all="ignore"):
        (expected,) = ReferenceEvaluator(case.meaning).run(None, {"x": case.x})
    assert found.shape == expected.shape, (found.shape, expected.shape)
    assert str(found.dtype) == str(expected.dtype), (found.dtype, expected.dtype)
    assert np.array_equal(found, expected), f"{int((found != expected).sum())} of {found.size} values differ"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="The first network's; each has the next one.")
    options = parser.parse_args()
    counts, wrong = Counter(), 0
    for seed in range(options.seed, options.seed + options.networks):
        try:
            reason = judged(Maker(seed).network())
        except AssertionError as error:
            wrong += 1
            print(f"seed {seed}: {error}")
            continue
        counts["equal" if reason is None else "refused: " + re.sub(r"'[^']*'|-?\d+", "…", reason)] += 1
    for what, count in counts.most_common():
        print(f"{count:6,} {what}")
    print(f"{options.networks:,} networks, seeds from {options.seed}: {wrong} wrong")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
