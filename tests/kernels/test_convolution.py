"""Adder and integer convolutions equal the oracles bit for bit, on every path."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adderhw.errors import AdderHwError
from adderhw.fixed import Rounding
from adderhw.kernels import (
    Accumulator,
    Geometry,
    Program,
    Requant,
    adder_conv,
    conv_step,
    integer_conv,
    pack_adder_conv,
    pack_integer_conv,
    paths,
    requantise,
)
from adderhw.kernels.convolution import fold_stats
from tests import naive
from tests.kernels.cases import convolutions, nchw, nhwc, requants

quick = settings(max_examples=25, deadline=None)
every_path = pytest.mark.parametrize("path", paths())


def adder_sums(case, zero_point):
    return naive.adder_conv(case.x, case.w, zero_point=zero_point, **case.geometry._asdict())


def integer_sums(case, x_zero_point, w_zero_point):
    zero_points = {"x_zero_point": x_zero_point, "w_zero_point": w_zero_point}
    return naive.integer_conv(case.x, case.w, **zero_points, **case.geometry._asdict())


@every_path
@quick
@given(case=convolutions(), data=st.data())
def test_adder_sums_equal_the_oracle(path, case, data):
    zero_point = data.draw(st.integers(case.format.min, case.format.max))
    packed = pack_adder_conv(case.w, case.geometry, path, x_range=(case.format.min, case.format.max))
    assert (nchw(adder_conv(nhwc(case.x), packed, zero_point)) == adder_sums(case, zero_point)).all()


@every_path
@quick
@given(case=convolutions(), data=st.data())
def test_integer_sums_equal_the_oracle(path, case, data):
    zero_points = [data.draw(st.integers(case.format.min, case.format.max)) for _ in "xw"]
    packed = pack_integer_conv(case.w, zero_points[1], case.geometry, path, case.x.dtype)
    sums = integer_conv(nhwc(case.x), packed, zero_points[0], out_dtype=np.int64)
    assert (nchw(sums) == integer_sums(case, *zero_points)).all()


@every_path
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_windows_that_see_nothing_but_padding_read_nothing_else(path, channels):
    x, w = np.full((2, 1, 1, channels), 3, np.uint8), np.full((5, channels, 1, 1), 2, np.uint8)
    geometry = Geometry(strides=(1, 2), pads=(0, 1, 0, 0))
    products = integer_conv(x, pack_integer_conv(w, 0, geometry, path), 0)
    assert (products == 0).all()
    distances = adder_conv(x, pack_adder_conv(w, geometry, path), 7)
    assert (distances == 5 * channels).all()


@every_path
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_first_layer_reads_rows_of_its_windows_at_once(path, dtype, channels):
    rng, info = np.random.default_rng(channels), np.iinfo(dtype)
    x = rng.integers(info.min, info.max + 1, (1, channels, 11, 8)).astype(dtype)
    x[:, :, -1], x[:, :, :, -1] = info.max, info.min
    w = rng.integers(-128, 128, (9, channels, 7, 7)).astype(np.int8)
    for geometry in (Geometry((2, 2), (3, 3, 3, 3)), Geometry(), Geometry((1, 3), (0, 3, 0, 6))):
        products = integer_conv(nhwc(x), pack_integer_conv(w, 0, geometry, path, dtype), -7 if info.min else 250)
        zero_points = {"x_zero_point": -7 if info.min else 250, "w_zero_point": 0}
        assert (nchw(products) == naive.integer_conv(x, w, **zero_points, **geometry._asdict())).all()


@given(seed=st.integers(0, 999), ends=st.tuples(*[st.integers(0, 255)] * 3), w_zero=st.integers(-128, 127))
def test_the_bound_for_a_zero_point_is_the_largest_sum_that_an_input_reaches(seed, ends, w_zero):
    low, zero, high = sorted(ends)
    w = np.random.default_rng(seed).integers(-128, 128, (5, 3, 2, 2)).astype(np.int8)
    packed = pack_integer_conv(w, w_zero, Geometry(), x_range=(low, high), x_zero_point=zero)
    sums = []
    for channel in w.astype(int) - w_zero:
        for x in (np.where(channel > 0, high, low), np.where(channel > 0, low, high)):
            sums.append(integer_conv(nhwc(x[None].astype(np.uint8)), packed, zero)[0, 0, 0].astype(int))
    reached = np.abs(sums).max(axis=0)
    assert packed.bound == tuple(reached.tolist())
    with pytest.raises(AdderHwError, match="as packed for"):
        integer_conv(nhwc(x[None].astype(np.uint8)), packed, (zero + 1) % 256)


@every_path
@quick
@given(case=convolutions(bits=st.just(8)), data=st.data(), rounding=st.sampled_from(list(Rounding)))
def test_fused_requantisation_equals_the_oracle(path, case, data, rounding):
    packed = pack_adder_conv(case.w, case.geometry, path)
    shifts = data.draw(st.sampled_from([st.just(0), st.integers(0, 12), st.just(62)]))
    m, c, n = data.draw(requants(len(case.w), max(packed.bound), shifts))
    requant = Requant(m, c, n, rounding, *data.draw(st.sampled_from([(0, 255), (3, 200), (100, 100)])))
    out = adder_conv(nhwc(case.x), packed, 0, requant=requant, out_dtype=np.uint8)
    column = [values.reshape(1, -1, 1, 1) for values in (m, c, n)]
    clip = {"rounding": rounding.name.lower(), "qmin": requant.qmin, "qmax": requant.qmax}
    assert (nchw(out) == naive.requantize(adder_sums(case, 0), *column, **clip)).all()


@every_path
@quick
@given(case=convolutions(), data=st.data(), bits=st.integers(1, 20), saturate=st.booleans())
def test_accumulators_and_statistics_of_adder_sums_equal_the_definition(path, case, data, bits, saturate):
    exact = adder_sums(case, case.format.min)
    packed = pack_adder_conv(case.w, case.geometry, path)
    stats = np.zeros(2, np.int64)
    held = adder_conv(nhwc(case.x), packed, case.format.min, accumulator=Accumulator(bits, saturate), stats=stats)
    expected = np.minimum(exact, 2**bits - 1) if saturate else exact % 2**bits
    assert (nchw(held) == expected).all()
    assert stats.tolist() == [exact.max(), (exact > 2**bits - 1).sum()]


@every_path
@quick
@given(case=convolutions(bits=st.integers(2, 8)), bits=st.integers(2, 20))
def test_wrapping_accumulators_and_statistics_of_integer_sums_equal_the_definition(path, case, bits):
    exact = integer_sums(case, 1, -1)
    packed = pack_integer_conv(case.w, -1, case.geometry, path, case.x.dtype)
    stats = np.array([-(2**62), 2**62, 5])
    held = integer_conv(nhwc(case.x), packed, 1, accumulator=Accumulator(bits), stats=stats)
    half = 2 ** (bits - 1)
    assert (nchw(held) == (exact + half) % 2**bits - half).all()
    assert stats.tolist() == [exact.max(), exact.min(), 5 + ((exact >= half) | (exact < -half)).sum()]


@every_path
@pytest.mark.parametrize(
    ("batch", "height", "channels", "outputs", "groups"), [(1, 40, 16, 24, 1), (37, 6, 40, 40, 5), (3, 33, 3, 10, 1)]
)
def test_larger_layers_equal_numpy_whatever_the_threads(path, batch, height, channels, outputs, groups):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (batch, height, height, channels)).astype(np.uint8)
    w = rng.integers(0, 256, (outputs, channels // groups, 3, 3)).astype(np.uint8)
    geometry = Geometry((1, 2), (1, 0, 2, 1), (1, 1), groups)
    packed = pack_adder_conv(w, geometry, path)
    stats = np.zeros((3, 2), np.int64)
    calls = [adder_conv(x, packed, 9, threads=t, stats=stats[i]) for i, t in enumerate((1, 2, 5))]
    padded = np.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=9).astype(np.int32)
    out_h, out_w = calls[0].shape[1:3]
    expected = np.zeros(calls[0].shape, np.int64)
    for a, b, c in np.ndindex(3, 3, channels // groups):
        window = padded[:, a : a + out_h, b : b + 2 * out_w - 1 : 2, c :: channels // groups]
        expected += np.abs(np.repeat(window, outputs // groups, 3) - w[:, c, a, b])
    for call, counted in zip(calls, stats, strict=True):
        assert (call == expected).all()
        assert counted.tolist() == [expected.max(), 0]


def test_enough_work_is_shared_among_threads_with_equal_results():
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, (8, 32, 32, 16)).astype(np.int8)
    w = rng.integers(-128, 128, (16, 16, 3, 3)).astype(np.int8)
    packed = pack_adder_conv(w, Geometry(pads=(1, 1, 1, 1)))
    stats = np.zeros((2, 2), np.int64)
    accumulator = Accumulator(13)
    one, four = (
        adder_conv(x, packed, -3, threads=t, accumulator=accumulator, stats=s)
        for t, s in zip((1, 4), stats, strict=True)
    )
    assert (one == four).all()
    assert (stats[0] == stats[1]).all()
    assert stats[0, 1] > 0


@every_path
def test_int64_sums_are_used_where_int32_would_overflow(path):
    channels = 2**15 + 1
    x, w = np.zeros((1, 1, 1, channels), np.uint16), np.full((2, channels, 1, 1), 65535, np.uint16)
    packed = pack_adder_conv(w, Geometry(), path)
    assert adder_conv(x, packed, 0, out_dtype=np.int64).tolist() == [[[[65535 * channels] * 2]]]
    with pytest.raises(AdderHwError, match="expected int64"):
        adder_conv(x, packed, 0)


@every_path
def test_paths_and_the_two_requantisation_widths_agree(path):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (2, 9, 9, 12)).astype(np.uint8)
    w = rng.integers(0, 256, (10, 12, 3, 3)).astype(np.uint8)
    packed = pack_adder_conv(w, Geometry(), path)
    requant = Requant(
        rng.integers(-90, 90, 10), rng.integers(-(2**19), 2**19, 10), rng.integers(8, 14, 10), 2, -128, 127
    )
    narrow = adder_conv(x, packed, 0, requant=requant, out_dtype=np.int8)
    wide = requantise(adder_conv(x, packed, 0), requant._replace(c=requant.c), np.int8)
    sums = adder_conv(x, packed, 0, out_dtype=np.int64)
    forced = requantise(np.concatenate([sums, np.full_like(sums[:1], 2**34)]), requant, np.int8)[:-1]
    assert (narrow == wide).all()
    assert (narrow == forced).all()


def test_a_preallocated_output_is_filled_and_returned():
    x, packed = np.ones((1, 2, 2, 8), np.uint8), pack_adder_conv(np.zeros((3, 8, 1, 1), np.uint8), Geometry())
    out = np.empty((1, 2, 2, 3), np.int32)
    assert adder_conv(x, packed, 0, out=out) is out
    assert (out == 8).all()


def test_a_convolution_made_ready_equals_the_plain_call_and_refuses_other_arrays():
    rng = np.random.default_rng(4)
    x = rng.integers(-128, 128, (1, 5, 5, 8)).astype(np.int8)
    w = rng.integers(-128, 128, (9, 8, 3, 3)).astype(np.int8)
    geometry = Geometry(pads=(1, 1, 1, 1))
    for packed, conv, size in (
        (pack_adder_conv(w, geometry), adder_conv, 2),
        (pack_integer_conv(w, 1, geometry, x_dtype=np.int8), integer_conv, 3),
    ):
        rows, stats, out = np.zeros((2, size), np.int64), np.zeros(size, np.int64), np.empty((1, 5, 5, 9), np.int32)
        Program([conv_step(packed, x, -3, out, stats=rows, threads=2)], threads=2).run()
        assert (out == conv(x, packed, -3, stats=stats)).all()
        fold_stats(rows[0], rows[1:])
        assert (rows[0] == stats).all()
        with pytest.raises(AdderHwError, match="stats: found"):
            conv_step(packed, x, -3, out, stats=stats, threads=1)
        for bad in (x[0], x.view(np.uint8), x.swapaxes(1, 2)):
            with pytest.raises(AdderHwError, match="convolution: found"):
                conv_step(packed, bad, -3, out)


def test_threads_default_to_numba_and_an_empty_batch_is_empty():
    packed = pack_adder_conv(np.zeros((3, 8, 1, 1), np.uint8), Geometry())
    assert adder_conv(np.ones((0, 2, 2, 8), np.uint8), packed, 0).shape == (0, 2, 2, 3)
    assert numba.get_num_threads() >= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack_adder_conv(np.zeros((2, 2, 2), np.uint8), Geometry()), "weights: found uint8 of shape"),
        (lambda: pack_adder_conv(np.zeros((3, 2, 1, 1), np.uint8), Geometry(groups=2)), "multiple of 2"),
        (lambda: pack_adder_conv(np.zeros((1, 1, 1, 1), np.uint8), Geometry((0, 1))), "strides"),
        (lambda: pack_adder_conv(np.zeros((1, 1, 1, 1), np.uint8), Geometry(), "abacus"), "found 'abacus'"),
    ],
)
def test_bad_weights_are_refused(call, message):
    with pytest.raises(AdderHwError, match=message):
        call()


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.zeros((1, 3, 3, 8), np.int8), {}, "found int8"),
        (np.zeros((1, 3, 3, 7), np.uint8), {}, r"expected uint8 \(N, H, W, 8\)"),
        (np.zeros((1, 1, 1, 8), np.uint8), {}, "window 2×2"),
        (np.zeros((1, 8, 3, 3), np.uint8).transpose(0, 2, 3, 1), {}, "contiguous"),
        (np.zeros((1, 3, 3, 8), np.uint8), {"out_dtype": np.uint8}, "expected int32 or int64"),
        (np.zeros((1, 3, 3, 8), np.uint8), {"out": np.zeros(4, np.int32)}, "out: found"),
        (np.zeros((1, 3, 3, 8), np.uint8), {"accumulator": Accumulator(64)}, "found 64 bits"),
    ],
)
def test_bad_calls_are_refused(x, options, message):
    packed = pack_adder_conv(np.zeros((3, 8, 2, 2), np.uint8), Geometry())
    with pytest.raises(AdderHwError, match=message):
        adder_conv(x, packed, 0, **options)


def test_a_saturating_signed_sum_and_a_zero_point_out_of_range_are_refused():
    x, w = np.zeros((1, 1, 1, 8), np.uint8), np.zeros((3, 8, 1, 1), np.uint8)
    with pytest.raises(AdderHwError, match="saturating signed sum"):
        integer_conv(x, pack_integer_conv(w, 0, Geometry()), 0, accumulator=Accumulator(8, True))
    with pytest.raises(AdderHwError, match="zero point 256"):
        adder_conv(x, pack_adder_conv(w, Geometry()), 256)
    with pytest.raises(AdderHwError, match="zero point -1"):
        integer_conv(x, pack_integer_conv(w, 0, Geometry()), -1)
