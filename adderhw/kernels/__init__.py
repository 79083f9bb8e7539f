"""Exact integer kernels in Numba: adder and integer convolution, requantisation, pooling, addition."""

from adderhw.kernels.convolution import (
    PackedAdderConv,
    PackedIntegerConv,
    adder_conv,
    bind_conv,
    integer_conv,
    pack_adder_conv,
    pack_integer_conv,
)
from adderhw.kernels.geometry import Geometry
from adderhw.kernels.paths import choose_path, paths
from adderhw.kernels.pooling import add, max_pool, sum_pool
from adderhw.kernels.requantise import (
    Accumulator,
    Requant,
    bind_requantise,
    bind_residual,
    pack_requant,
    requant_fits_int32,
    requantise,
    residual,
)

__all__ = [
    "Accumulator",
    "Geometry",
    "PackedAdderConv",
    "PackedIntegerConv",
    "Requant",
    "add",
    "adder_conv",
    "bind_conv",
    "bind_requantise",
    "bind_residual",
    "choose_path",
    "integer_conv",
    "max_pool",
    "pack_adder_conv",
    "pack_integer_conv",
    "pack_requant",
    "paths",
    "requant_fits_int32",
    "requantise",
    "residual",
    "sum_pool",
]
