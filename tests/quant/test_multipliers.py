"""Fixed-point multipliers keep their stated error bounds, their width and int32 where they can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.errors import ModelError
from adderhw.kernels import Requant, requant_fits_int32
from adderhw.ops.realisation import signed_digits
from quant.multipliers import error_bound, multipliers, nearest_power
from quant.settings import Settings

REALISATIONS = ("multiplier", "shift", "shift_add:2", "shift_add:3")
ratios = st.floats(1e-6, 100).flatmap(lambda r: st.sampled_from([r, -r]))


def one(ratio, offset, centre, largest, settings):
    """(M, C, n) of a single channel."""
    arrays = [np.array([value], np.float64) for value in (ratio, offset, centre)]
    return tuple(int(v[0]) for v in multipliers(*arrays, [largest], settings))


@pytest.mark.parametrize("realisation", REALISATIONS)
@given(
    ratio=ratios,
    offset=st.floats(-300, 300),
    share=st.floats(0, 1),
    at=st.floats(0, 1),
    largest=st.integers(1, 1 << 24),
)
def test_the_result_is_within_its_bound(realisation, ratio, offset, share, at, largest):
    settings = Settings(realisation=realisation)
    centre, s = round(share * largest), round(at * largest)
    m, c, n = one(ratio, offset, centre, largest, settings)
    error = abs((s * m + c) / 2**n - (ratio * s + offset))
    bound = error_bound(ratio, n, settings.signed_digits) * abs(s - centre) + 2.0 ** -(n + 1)
    assert error <= bound * (1 + 1e-9) + 1e-9 * abs(ratio) * largest
    assert abs(m) < 1 << (settings.multiplier_bits - 1)
    if settings.signed_digits:
        assert signed_digits(m) <= settings.signed_digits


@given(ratio=st.floats(1e-4, 10), offset=st.floats(-300, 300), bits=st.integers(3, 24))
def test_a_multiplier_has_no_more_than_its_bits(ratio, offset, bits):
    try:
        m, _, _ = one(ratio, offset, 0.0, 1000, Settings(multiplier_bits=bits))
    except ModelError:
        assert ratio >= 2 ** (bits - 1) - 1
    else:
        assert abs(m) < 1 << (bits - 1)


def test_a_sum_of_18_bits_runs_in_int32():
    constants = multipliers(np.array([-0.004]), np.array([500.0]), np.array([1e5]), [146880], Settings())
    assert requant_fits_int32(146880, Requant(*constants, 1, 0, 255))
    assert abs(constants.m[0]) >= 1 << 9


def test_accuracy_comes_before_int32_where_the_sum_is_wide():
    m, _, _ = one(-0.0004, 500.0, 1e7, 576 * 65535, Settings(bits=16))
    assert m.bit_length() >= 10


def test_a_power_of_two_becomes_a_bare_shift():
    assert one(2**-4, 0.0, 0.0, 1000, Settings()) == (1, 0, 4)
    assert one(2**-4, 128.0, 0.0, 1000, Settings()) == (1, 128 << 4, 4)


def test_a_channel_that_is_switched_off_is_its_offset():
    assert one(0.0, 17.2, 0.0, 1000, Settings()) == (0, 17, 0)


def test_a_ratio_out_of_reach_is_an_error():
    with pytest.raises(ModelError, match="step ratio 1e\\+06"):
        one(1e6, 0.0, 0.0, 1, Settings())


@given(value=st.floats(0.5, 1e6))
def test_no_power_of_two_is_nearer(value):
    chosen = nearest_power(value)
    assert abs(value - chosen) <= min(abs(value - 2**k) for k in range(22))
    assert nearest_power(-value) == -chosen
