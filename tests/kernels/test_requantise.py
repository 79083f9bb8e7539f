"""Requantisation equals the definition on exact fractions, in both integer widths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adderhw.errors import AdderHwError
from adderhw.fixed import Rounding
from adderhw.kernels import (
    Program,
    Requant,
    pack_requant,
    requant_fits_int32,
    requantise,
    requantise_step,
    residual,
    residual_step,
)
from tests import naive
from tests.kernels.cases import requants


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    rounding=st.sampled_from(list(Rounding)),
    channels=st.integers(1, 300),
    largest=st.sampled_from([1, 200, 2**15, 2**31 - 1, 2**40]),
    shifts=st.sampled_from([st.just(0), st.integers(0, 8), st.integers(0, 30), st.just(62)]),
)
def test_requantise_equals_the_oracle(data, rounding, channels, largest, shifts):
    m, c, n = data.draw(requants(channels, largest, shifts))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    s = rng.integers(-largest, largest + 1, (3, channels)).astype(np.int64 if largest > 2**31 else np.int32)
    requant = Requant(m, c, n, rounding, -2048, 2047)
    expected = naive.requantize(s, m, c, n, rounding=rounding.name.lower(), qmin=-2048, qmax=2047)
    assert (requantise(s, requant, np.int16) == expected).all()


@pytest.mark.parametrize("rounding", list(Rounding))
def test_ties_of_both_signs_round_alike_in_int32_and_int64(rounding):
    t = np.arange(-64, 65)
    for n in range(6):
        requant = Requant(*(np.array([value]) for value in (1, 0, n)), rounding, -128, 127)
        expected = [naive.round_shift(value, n, rounding.name.lower()) for value in t.tolist()]
        for bound in (64, 2**40):
            packed = pack_requant(requant, bound, np.int8)
            assert packed.mode == (1 if bound == 64 else 2)
            assert requantise(t[:, None], packed, np.int8)[:, 0].tolist() == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data(), channels=st.integers(1, 40), identity=st.booleans(), shifts=st.sampled_from([8, 40]))
def test_a_residual_equals_its_three_steps(data, channels, identity, shifts):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a = rng.integers(-2048, 2048, (2, 3, 3, channels)).astype(np.int16)
    b = rng.integers(0, 256, a.shape).astype(np.uint8)
    first, last = (
        Requant(*data.draw(requants(channels, largest, st.just(shifts))), Rounding.HALF_EVEN, *clip)
        for largest, clip in ((255, (-2048, 2047)), (4096, (0, 255)))
    )
    steps = b if identity else requantise(b, first, np.int16)
    expected = requantise(a.astype(np.int32) + steps, last, np.uint8)
    packed_b = None if identity else pack_requant(first, 255, np.int16)
    assert (residual(a, b, packed_b, pack_requant(last, 4096, np.uint8), np.uint8) == expected).all()


@pytest.mark.parametrize("rounding", [Rounding.FLOOR, Rounding.HALF_UP, Rounding.HALF_AWAY])
@pytest.mark.parametrize("channels", [5, 16, 48])
@pytest.mark.parametrize("dtypes", [(np.int16, np.uint8), (np.int16, np.int16), (np.int32, np.int32)])
def test_residuals_in_vector_lanes_equal_their_three_steps(rounding, channels, dtypes):
    rng = np.random.default_rng(channels)
    shape = (1, 7, 31, channels)  # several tables' length and a tail
    a, b = (rng.integers(-2048 * (dtype != np.uint8), 256, shape).astype(dtype) for dtype in dtypes)
    first, last = (
        Requant(rng.integers(-90, 90, channels), rng.integers(-99, 99, channels), rng.integers(0, 9, channels),
                rounding, *clip)
        for clip in ((-2048, 2047), (0, 255))
    )  # fmt: skip
    packed = pack_requant(last, 4096, np.uint8)
    packed_b = pack_requant(first, 2048, np.int16)
    assert packed.mode == packed_b.mode == 1
    for requant_b, steps in ((None, b), (packed_b, requantise(b, first, np.int16))):
        expected = requantise(a.astype(np.int32) + steps, last, np.uint8)
        assert (residual(a, b, requant_b, packed, np.uint8) == expected).all()
        out = np.empty(shape, np.uint8)
        program = Program([residual_step(a, b, requant_b, packed, out)], threads=3)
        a += 1
        program.run()
        assert (out == requantise(a.astype(np.int32) + steps, last, np.uint8)).all()
        a -= 1


def test_a_requantisation_made_ready_reads_what_the_arrays_hold_when_it_runs():
    requant = pack_requant(Requant(*np.array([[3] * 7, [1] * 7, [2] * 7]), Rounding.HALF_EVEN, 0, 255), 999, np.uint8)
    s, out = np.zeros((30, 110, 7), np.int32), np.empty((30, 110, 7), np.uint8)
    program = Program([requantise_step(s, requant, out)], threads=2)
    for seed in range(3):
        s[:] = np.random.default_rng(seed).integers(-999, 1000, s.shape)
        program.run()
        assert (out == requantise(s, requant, np.uint8)).all()


def test_arrays_that_do_not_fit_a_requantisation_are_refused():
    requant = pack_requant(Requant(*np.array([[3] * 7, [1] * 7, [2] * 7]), Rounding.FLOOR, 0, 255), 999, np.uint8)
    s, out = np.zeros((3, 11, 7), np.int32), np.empty((3, 11, 7), np.uint8)
    with pytest.raises(AdderHwError, match="requantise: found"):
        requantise_step(s.transpose(1, 0, 2), requant, out)
    with pytest.raises(AdderHwError, match="out: found"):
        requantise_step(s, requant, out[:2])
    out.flags.writeable = False
    with pytest.raises(AdderHwError, match="writeable"):
        requantise_step(s, requant, out)


def test_arrays_that_do_not_fit_a_residual_are_refused():
    requant = pack_requant(Requant(*np.array([[3] * 7, [1] * 7, [2] * 7]), Rounding.FLOOR, 0, 255), 999, np.uint8)
    a, b = np.zeros((2, 7), np.int16), np.zeros((2, 7), np.uint8)
    for bad in ((a[:1], b), (a, b[:1]), (np.asfortranarray(a), b)):
        with pytest.raises(AdderHwError, match="residual: found"):
            residual(*bad, None, requant, np.uint8)


def test_a_residual_refuses_requantisations_of_unequal_channels():
    one, three = (
        pack_requant(Requant(*np.ones((3, count), int), Rounding.FLOOR, 0, 9), 9, np.uint8) for count in (1, 3)
    )
    a = np.zeros((1, 3), np.int16)
    with pytest.raises(AdderHwError, match="expected equal counts"):
        residual(a, a, one, three, np.uint8)


def test_int32_is_claimed_exactly_up_to_its_bound():
    def requant(m, c, n):
        return Requant(np.array([1, m]), np.array([0, c]), np.array([0, n]), Rounding.HALF_UP, 0, 255)

    assert requant_fits_int32(2**20, requant(2**10, 2**30 - 513, 10))
    assert not requant_fits_int32(2**20, requant(2**10, 2**30 - 512, 10))
    assert not requant_fits_int32(1, requant(1, 0, 31))
    assert not requant_fits_int32(2**31, requant(0, 0, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_every_integer_dtype_of_sums_is_accepted(dtype):
    s = np.array([[0, 1, 100]], dtype)
    requant = Requant(*np.array([[3, 3, 3], [1, 1, 1], [1, 1, 1]]), Rounding.FLOOR, 0, 255)
    assert requantise(s, requant, np.uint8).tolist() == [[0, 2, 150]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": np.zeros(2, np.int64)}, "expected m, c, n of shape"),
        ({"n": np.full(3, 63)}, "found shifts 63 to 63"),
        ({"c": np.full(3, 2**62)}, "less than 2"),
        ({"qmax": 256}, "found clip 0 to 256"),
        ({"rounding": 9}, "found rounding 9"),
    ],
)
def test_a_malformed_requant_is_refused(change, message):
    requant = Requant(np.ones(3, np.int64), np.zeros(3, np.int64), np.ones(3, np.int64), 1, 0, 255)._replace(**change)
    with pytest.raises(AdderHwError, match=message):
        requantise(np.ones((2, 3), np.int32), requant, np.uint8)
