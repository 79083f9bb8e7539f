"""The layers of an int8 adder ResNet-20 with random weights, called kernel by kernel as a plan would."""

from collections import Counter
from time import perf_counter

import numpy as np

from adderhw.kernels import (
    Geometry,
    PackedAdderConv,
    Requant,
    adder_conv,
    integer_conv,
    pack_adder_conv,
    pack_integer_conv,
    pack_requant,
    requantise,
    residual,
    sum_pool,
)
from benchmarks.onnxruntime_cnn import BLOCKS, STAGES

GUARDED = (-2048, 2047)  # 8 bits and 4 guard bits


class AdderResNet20:
    """Call it with uint8 (N, 32, 32, 3): exact int32 logits (N, 1, 1, 10). `spent`: seconds by kind of layer."""

    def __init__(self, threads, path=None, seed=0):
        self.rng, self.threads, self.spent = np.random.default_rng(seed), threads, Counter()
        pads = (1, 1, 1, 1)
        self.stem = pack_integer_conv(self._weights(16, 3, 3), 128, Geometry(pads=pads), path)
        self.stem_requant = self._requant(16, 9, (0, 255))
        self.blocks, channels = [], 16
        for outputs, first_stride in STAGES:
            for block in range(BLOCKS):
                strides = (first_stride, first_stride) if block == 0 else (1, 1)
                first = pack_adder_conv(self._weights(outputs, channels, 3), Geometry(strides, pads), path)
                second = pack_adder_conv(self._weights(outputs, outputs, 3), Geometry(pads=pads), path)
                shortcut = self._shortcut(channels, outputs, strides, path)
                self.blocks.append((first, second, shortcut, *self._block_requants(outputs)))
                channels = outputs
        self.pool_requant = pack_requant(self._requant(64, 6, (0, 255)), 64 * 255, np.uint8)
        self.linear = pack_integer_conv(self._weights(10, 64, 1), 128, Geometry(), path)

    def _weights(self, outputs, channels, kernel):
        return self.rng.integers(0, 256, (outputs, channels, kernel, kernel)).astype(np.uint8)

    def _requant(self, channels, shift, clip):
        m, c = self.rng.integers(1, 30, channels), self.rng.integers(-1000, 1000, channels)
        return Requant(m, c, np.full(channels, shift), 1, *clip)

    def _block_requants(self, outputs):
        last = pack_requant(self._requant(outputs, 4, (0, 255)), 4096, np.uint8)
        return self._requant(outputs, 12, (0, 255)), self._requant(outputs, 9, GUARDED), last

    def _shortcut(self, channels, outputs, strides, path):
        """A 1×1 adder convolution where the shape changes, else a requantisation to the guarded format."""
        if channels == outputs:
            return pack_requant(self._requant(outputs, 3, GUARDED), 255, np.int16)
        packed = pack_adder_conv(self._weights(outputs, channels, 1), Geometry(strides), path)
        return packed, self._requant(outputs, 9, GUARDED)

    def _timed(self, name, function, *arguments, **options):
        start = perf_counter()
        out = function(*arguments, **options)
        self.spent[name] += perf_counter() - start
        return out

    def _adder(self, name, x, packed, requant, out_dtype):
        options = {"requant": requant, "out_dtype": out_dtype, "threads": self.threads}
        return self._timed(name, adder_conv, x, packed, 0, **options)

    def _block(self, x, block):
        first, second, shortcut, first_requant, second_requant, last = block
        name = f"adder {first.shape[0]}ch"
        y = self._adder(name, x, first, first_requant, np.uint8)
        y = self._adder(name, y, second, second_requant, np.int16)
        if isinstance(shortcut[0], PackedAdderConv):
            x, shortcut = self._adder("shortcut", x, *shortcut, np.int16), None
        return self._timed("residual", residual, y, x, shortcut, last, np.uint8)

    def __call__(self, x):
        options = {"requant": self.stem_requant, "out_dtype": np.uint8, "threads": self.threads}
        x = self._timed("stem", integer_conv, x, self.stem, 128, **options)
        for block in self.blocks:
            x = self._block(x, block)
        sums = self._timed("pool", sum_pool, x, (8, 8))
        pooled = self._timed("pool", requantise, sums, self.pool_requant, np.uint8)
        return self._timed("linear", integer_conv, pooled, self.linear, 0, threads=self.threads)
