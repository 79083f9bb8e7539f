"""The 512-bit tiles' layout equals the oracles, on any CPU."""

import numpy as np
import pytest

from adderhw.kernels import Geometry, adder_conv, integer_conv, pack_adder_conv, pack_integer_conv
from tests import naive
from tests.kernels.cases import nchw, nhwc
from tests.kernels.wide import emulated_avx512


@pytest.fixture
def wide():
    """The portable path is the 512-bit one."""
    with emulated_avx512():
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("outputs", "groups"), [(16, 1), (21, 1), (40, 1), (6, 2)])
def test_512_bit_tiles_equal_the_oracles(wide, outputs, groups):
    rng = np.random.default_rng(outputs)
    x = rng.integers(0, 256, (2, 10, 5, 4)).astype(np.uint8)
    w = rng.integers(0, 256, (outputs, 10 // groups, 3, 2)).astype(np.uint8)
    geometry = Geometry((1, 1), (1, 0, 0, 1), (1, 2), groups)
    sums = adder_conv(nhwc(x), pack_adder_conv(w, geometry, "portable"), 3)
    assert (nchw(sums) == naive.adder_conv(x, w, zero_point=3, **geometry._asdict())).all()
    products = integer_conv(nhwc(x), pack_integer_conv(w, 9, geometry, "portable"), 3)
    expected = naive.integer_conv(x, w, x_zero_point=3, w_zero_point=9, **geometry._asdict())
    assert (nchw(products) == expected).all()
