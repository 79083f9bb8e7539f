"""Exact integer kernels in Numba: adder and integer convolution, requantisation, pooling, addition."""

from adderhw.kernels import cache  # noqa: F401  before any kernel: Numba looks for a place when a module is imported

# isort: split
from adderhw.kernels.convolution import (
    PackedAdderConv,
    PackedIntegerConv,
    adder_conv,
    conv_step,
    integer_conv,
    pack_adder_conv,
    pack_integer_conv,
)
from adderhw.kernels.edges import copy_step, dequantise_step, quantise_step
from adderhw.kernels.geometry import Geometry
from adderhw.kernels.paths import choose_path, paths
from adderhw.kernels.pooling import add, max_pool, max_pool_step, sum_pool, sum_pool_step
from adderhw.kernels.program import Program, Step
from adderhw.kernels.requantise import (
    Accumulator,
    Requant,
    pack_requant,
    requant_fits_int32,
    requantise,
    requantise_step,
    residual,
    residual_step,
)

__all__ = [
    "Accumulator",
    "Geometry",
    "PackedAdderConv",
    "PackedIntegerConv",
    "Program",
    "Requant",
    "Step",
    "add",
    "adder_conv",
    "choose_path",
    "conv_step",
    "copy_step",
    "dequantise_step",
    "integer_conv",
    "max_pool",
    "max_pool_step",
    "pack_adder_conv",
    "pack_integer_conv",
    "pack_requant",
    "paths",
    "quantise_step",
    "requant_fits_int32",
    "requantise",
    "requantise_step",
    "residual",
    "residual_step",
    "sum_pool",
    "sum_pool_step",
]
