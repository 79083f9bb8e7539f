"""Fixed-point multipliers keep their stated error bounds, their width and int32 where they can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.errors import ModelError
from adderhw.kernels import Requant, requant_fits_int32
from adderhw.ops.realisation import signed_digits
from quant.multipliers import error_bound, live_sums, multipliers, stated_bound
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


def within(ratio, offset, centre, ends, clip, tolerance, settings):
    """(M, C, n) of a channel with S between `ends` and q clipped to `clip`."""
    ratio, offset, centre, low, high = (np.array([v], np.float64) for v in (ratio, offset, centre, *ends))
    live, largest = live_sums(ratio, offset, (low, high), clip), [max(abs(end) for end in ends)]
    return tuple(int(v[0]) for v in multipliers(ratio, offset, centre, largest, settings, live, tolerance))


@pytest.mark.parametrize("realisation", ["multiplier", "shift_add:8"])
@given(
    ratio=st.floats(1e-5, 3).flatmap(lambda r: st.sampled_from([r, -r])),
    offset=st.floats(-3000, 3000),
    ends=st.lists(st.integers(-(1 << 20), 1 << 20), min_size=2, max_size=2).map(sorted),
    share=st.floats(0, 1),
    at=st.lists(st.floats(0, 1), min_size=20, max_size=20),
    tolerance=st.sampled_from([0.1, 0.25, 1.0, 4.0]),
)
def test_no_choice_exceeds_the_error_that_is_asked_for(realisation, ratio, offset, ends, share, at, tolerance):
    settings, clip = Settings(realisation=realisation, multiplier_bits=20), (0, 255)
    low, high = ends
    centre = low + share * (high - low)
    m, c, n = within(ratio, offset, centre, ends, clip, tolerance, settings)
    cuts = [min(max((q - offset) / ratio, low), high) for q in clip]
    for s in [low, high, *map(round, cuts), *(round(low + share * (high - low)) for share in at)]:
        found, exact = (min(max(q, clip[0]), clip[1]) for q in ((s * m + c) / 2**n, ratio * s + offset))
        assert abs(found - exact) <= tolerance * (1 + 1e-9) + 1e-6


@given(ratio=st.floats(1e-4, 10), tolerance=st.floats(0.05, 2), reach=st.floats(1, 1e4))
def test_no_fewer_digits_and_no_smaller_shift_are_within_the_bound(ratio, tolerance, reach):
    settings = Settings(realisation="shift_add:9", multiplier_bits=18)
    arrays = [np.array([v]) for v in (ratio, 0.0, 0.0)]
    try:
        constants = multipliers(*arrays, [1 << 16], settings, np.array([[-reach], [0.0]]), tolerance)
    except ModelError:
        return
    m, _, n = (int(v[0]) for v in constants)
    for shift in range(20):
        targets = {int(ratio * 2**shift) + step for step in range(-70, 71)}
        for other in targets:
            if abs(other) < 1 << 17 and stated_bound(ratio, other, shift, reach) <= tolerance:
                digits = signed_digits(other)
                assert digits > signed_digits(m) or (digits == signed_digits(m) and shift >= n) or other == 0


def test_fewer_digits_are_found_where_more_error_is_allowed():
    settings = Settings(realisation="shift_add:7")
    digits = [
        signed_digits(within(-0.0123, 200.0, 8000.0, (0, 20000), (0, 255), tolerance, settings)[0])
        for tolerance in (0.1, 0.3, 1.0, 5.0, 100.0)
    ]
    assert digits == sorted(digits, reverse=True)
    assert digits[0] > digits[-1]


def test_an_error_out_of_reach_is_an_error():
    with pytest.raises(ModelError, match=r"found no shift of 14 bits within 0\.1 steps .* expected a larger max_error"):
        within(0.3, 0.0, 0.0, (0, 10000), (0, 255), 0.1, Settings(realisation="shift"))


def test_sums_that_the_clip_decides_are_not_live():
    ratio, offset = np.array([0.5]), np.array([-10.0])
    for ends, live in (((0, 10**6), [20, 530]), ((0, 90), [20, 90]), ((600, 900), [600, 600])):
        assert live_sums(ratio, offset, [np.array([end]) for end in ends], (0, 255)).ravel().tolist() == live
    assert live_sums(-ratio, offset, (np.array([-900]), np.array([0])), (0, 255)).ravel().tolist() == [-530, -20]


def test_the_constant_takes_up_the_error_inside_the_live_sums():
    settings = Settings(realisation="shift_add:8")
    at_the_mean = within(0.0123, -200.0, 0.0, (0, 10**6), (0, 255), 0.5, settings)
    assert at_the_mean == within(0.0123, -200.0, 200 / 0.0123, (0, 10**6), (0, 255), 0.5, settings)
