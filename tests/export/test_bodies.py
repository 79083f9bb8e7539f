"""The ONNX functions give the oracles' integers, in onnxruntime and in onnx's reference evaluator."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from adderhw.fixed import Rounding
from adderhw.ops import BY_NAME
from adderhw.ops.float_adder import AdderConv, AdderGemm
from tests import naive
from tests.export.single_node import run_everywhere

DTYPES = (np.uint8, np.int8, np.uint16, np.int16)
FLOAT, DOUBLE, INT32, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64

# x shape, w shape, strides, pads (top, left, bottom, right), dilations, groups
GEOMETRIES = {
    "1x1": ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    "3x3 padded": ((2, 3, 5, 7), (4, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    "strided, odd kernel": ((1, 2, 9, 6), (3, 2, 2, 5), (2, 3), (0, 1, 2, 3), (1, 1), 1),
    "asymmetric pads, dilated": ((2, 2, 7, 8), (2, 2, 3, 2), (1, 2), (3, 0, 1, 2), (2, 3), 1),
    "groups": ((1, 6, 5, 4), (4, 3, 3, 3), (2, 1), (1, 0, 0, 1), (1, 1), 2),
    "depthwise": ((2, 4, 4, 4), (4, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 4),
    "depthwise, two filters each": ((1, 3, 4, 5), (6, 1, 2, 2), (1, 1), (0, 0, 1, 1), (1, 1), 3),
    "pads wider than the kernel": ((1, 1, 2, 3), (2, 1, 2, 2), (1, 1), (3, 4, 2, 5), (1, 1), 1),
}


def integers(rng, shape, dtype, low=None, high=None):
    """Random integers of `dtype`, its extremes among them."""
    info = np.iinfo(dtype)
    low, high = info.min if low is None else low, info.max if high is None else high
    array = rng.integers(low, high, shape, dtype, endpoint=True)
    array.reshape(-1)[:: max(array.size // 3, 1)] = low
    array.reshape(-1)[1 :: max(array.size // 3, 1)] = high
    return array


def conv_attributes(geometry, output_dtype):
    """The node's attributes for one of GEOMETRIES."""
    _, w_shape, strides, pads, dilations, group = geometry
    return {
        "kernel_shape": w_shape[2:],
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "group": group,
        "output_dtype": output_dtype,
    }


def oracle_geometry(geometry):
    """The oracle's arguments for one of GEOMETRIES."""
    return dict(zip(("strides", "pads", "dilations", "groups"), geometry[2:], strict=True))


def assert_everywhere(op, arrays, attributes, output_type, expected, compute=FLOAT):
    """Checks both runtimes and the inferred shape against `expected`, exactly."""
    result, reference, shape = run_everywhere(op, arrays, attributes, output_type, compute)
    assert result.dtype == reference.dtype == helper.tensor_dtype_to_np_dtype(output_type)
    assert result.shape == reference.shape == expected.shape == tuple(shape)
    np.testing.assert_array_equal(result, expected.astype(result.dtype))
    np.testing.assert_array_equal(reference, expected.astype(result.dtype))


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
def test_adder_conv_sums_absolute_differences_with_padding_that_counts(dtype, geometry, rng):
    x, w = integers(rng, geometry[0], dtype), integers(rng, geometry[1], dtype)
    for zero_point in (np.iinfo(dtype).min, int(integers(rng, (5,), dtype)[2])):
        expected = naive.adder_conv(x, w, zero_point=zero_point, **oracle_geometry(geometry))
        arrays = (x, w, np.array(zero_point, dtype))
        assert_everywhere(BY_NAME["AdderConvInteger"], arrays, conv_attributes(geometry, INT32), INT32, expected, FLOAT)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize(("dtype", "w_dtype"), [(np.uint8, np.int8), (np.int8, np.uint8), (np.uint8, np.uint8)])
def test_integer_convolution_of_bytes_is_exact_in_float(dtype, w_dtype, geometry, rng):
    check_integer_convolution(geometry, dtype, w_dtype, INT32, FLOAT, rng)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize(("dtype", "w_dtype"), [(np.uint16, np.int16), (np.int16, np.uint16), (np.uint16, np.int8)])
def test_integer_convolution_of_words_is_exact_in_double_with_64_bit_sums(dtype, w_dtype, geometry, rng):
    check_integer_convolution(geometry, dtype, w_dtype, INT64, DOUBLE, rng)


def check_integer_convolution(geometry, dtype, w_dtype, output_type, compute, rng):
    """Random operands, extremes included, with zero points at the ends and inside."""
    x, w = integers(rng, geometry[0], dtype), integers(rng, geometry[1], w_dtype)
    for x_zero, w_zero in ((np.iinfo(dtype).max, np.iinfo(w_dtype).min), (3, 5)):
        zeros = {"x_zero_point": x_zero, "w_zero_point": w_zero}
        expected = naive.integer_conv(x, w, **zeros, **oracle_geometry(geometry))
        arrays = (x, w, np.array(x_zero, dtype), np.array(w_zero, w_dtype))
        attributes = conv_attributes(geometry, output_type) | {"realisation": "shift_add:4"}
        assert_everywhere(BY_NAME["ConvInteger"], arrays, attributes, output_type, expected, compute)


def test_adder_sums_just_below_the_limit_of_float_are_exact(rng):
    x, w = np.zeros((1, 256, 1, 1), np.uint16), np.full((3, 256, 1, 1), 65535, np.uint16)
    w[1, 0], w[2] = 65534, rng.integers(0, 65536, (256, 1, 1))
    attributes = conv_attributes((x.shape, w.shape, (1, 1), (0, 0, 0, 0), (1, 1), 1), INT32)
    arrays = (x, w, np.array(0, np.uint16))
    assert_everywhere(BY_NAME["AdderConvInteger"], arrays, attributes, INT32, naive.adder_conv(x, w))


def test_adder_sums_beyond_float_and_32_bits_are_exact_in_double():
    x, w = np.zeros((1, 70000, 1, 1), np.uint16), np.full((1, 70000, 1, 1), 65535, np.uint16)
    w[0, 0] = 1
    attributes = conv_attributes((x.shape, w.shape, (1, 1), (0, 0, 0, 0), (1, 1), 1), INT64)
    arrays = (x, w, np.array(0, np.uint16))
    expected = naive.adder_conv(x, w)
    assert expected.max() > 2**32
    assert_everywhere(BY_NAME["AdderConvInteger"], arrays, attributes, INT64, expected, DOUBLE)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize(("batch", "reduction", "outputs"), [(1, 1, 1), (3, 17, 5)])
def test_adder_gemm_sums_absolute_differences(dtype, batch, reduction, outputs, rng):
    x, w = integers(rng, (batch, reduction), dtype), integers(rng, (outputs, reduction), dtype)
    expected = naive.adder_conv(x[..., None, None], w[..., None, None])[:, :, 0, 0]
    for output_type, compute in ((INT32, FLOAT), (INT64, DOUBLE)):
        attributes = {"transB": 1, "output_dtype": output_type}
        assert_everywhere(BY_NAME["AdderGemmInteger"], (x, w), attributes, output_type, expected, compute)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("w_dtype", DTYPES, ids=lambda d: d.__name__)
def test_integer_matrix_product_takes_zero_points_away(dtype, w_dtype, rng):
    a, b = integers(rng, (3, 11), dtype), integers(rng, (11, 5), w_dtype)
    a_zero, b_zero = np.iinfo(dtype).max, np.iinfo(w_dtype).min + 1
    expected = naive.integer_conv(a[..., None, None], b.T[..., None, None], x_zero_point=a_zero, w_zero_point=b_zero)[
        :, :, 0, 0
    ]
    arrays = (a, b, np.array(a_zero, dtype), np.array(b_zero, w_dtype))
    attributes = {"output_dtype": INT64, "realisation": "multiplier"}
    assert_everywhere(BY_NAME["MatMulInteger"], arrays, attributes, INT64, expected, DOUBLE)


def requantize_attributes(mode, output_type, qmin, qmax):
    """The node's attributes of a Requantize."""
    return {
        "rounding": int(mode),
        "qmin": qmin,
        "qmax": qmax,
        "output_dtype": output_type,
        "realisation": "multiplier",
    }


@pytest.mark.parametrize("mode", Rounding, ids=lambda mode: mode.name.lower())
def test_requantize_rounds_every_shift_as_its_mode_says_negative_ties_included(mode, rng):
    n = np.arange(63).reshape(63, 1, 1)
    unit, half = 1 << n, (1 << n) >> 1
    near = np.concatenate([k * half + e for k in (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5) for e in (-1, 0, 1)], axis=2)
    wide = np.concatenate([rng.integers(-(2**61), 2**61, (63, 1, 20)), np.full((63, 1, 1), 2**61 - 1)], axis=2)
    c = np.concatenate([np.clip(near, -(2**61), 2**61 - 1), wide], axis=2).astype(np.int64)
    assert (unit > 0).all()
    # Every t is C of a channel: S·M is 0 + C with one channel per pair of shift and value.
    channels = c.size
    s = np.zeros((1, channels, 1, 1), np.int32)
    m = np.zeros((channels, 1, 1), np.int64)
    constants = m, c.reshape(-1, 1, 1), np.broadcast_to(n, c.shape).reshape(-1, 1, 1).astype(np.int64)
    limits = (-(2**31), 2**31 - 1)
    expected = naive.requantize(
        s, *(a[None] for a in constants), rounding=mode.name.lower(), qmin=limits[0], qmax=limits[1]
    )
    attributes = requantize_attributes(mode, INT32, *limits)
    assert_everywhere(BY_NAME["Requantize"], (s, *constants), attributes, INT32, expected)


@pytest.mark.parametrize("dtype", [*DTYPES, np.int32], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("source", [np.uint8, np.int16, np.int32, np.int64], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("rank", [2, 4])
def test_requantize_multiplies_adds_and_clips_per_channel(dtype, source, rank, rng):
    channels, spatial = 5, (3, 2)[: rank - 2]
    low, high = max(np.iinfo(source).min, -(2**40)), min(np.iinfo(source).max, 2**40)
    s = integers(rng, (2, channels, *spatial), source, low, high)
    per_channel = (channels,) + (1,) * (rank - 2)
    m = integers(rng, per_channel, np.int64, -(2**13), 2**13)
    c = integers(rng, per_channel, np.int64, -(2**50), 2**50)
    info = np.iinfo(dtype)
    limits = (int(info.min) + 3, int(info.max) - 2)
    for mode, n in zip(Rounding, (0, 20, 33, 47), strict=True):
        shift = np.array(n, np.int64) if mode % 2 else np.full(per_channel, n, np.int64)
        expected = naive.requantize(
            s, m[None], c[None], shift, rounding=mode.name.lower(), qmin=limits[0], qmax=limits[1]
        )
        output_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        attributes = requantize_attributes(mode, output_type, *limits)
        assert_everywhere(BY_NAME["Requantize"], (s, m, c, shift), attributes, output_type, expected)


POOLS = [((1, 1, 2, 2), (2, 2), (2, 2), (0, 0, 0, 0)), ((2, 3, 7, 5), (3, 2), (2, 1), (1, 0, 2, 1))]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize(("shape", "kernel", "strides", "pads"), POOLS)
def test_max_pool_leaves_padding_out(dtype, shape, kernel, strides, pads, rng):
    x = integers(rng, shape, dtype)
    x[0, 0] = np.iinfo(dtype).min
    lowest = np.iinfo(dtype).min
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=lowest)
    expected = windows(padded, kernel, strides).max(axis=(-1, -2))
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    output_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    assert_everywhere(BY_NAME["MaxPoolInteger"], (x,), attributes, output_type, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize(("shape", "kernel", "strides"), [(pool[0], pool[1], pool[2]) for pool in POOLS])
def test_sum_pool_sums_each_window(dtype, shape, kernel, strides, rng):
    x = integers(rng, shape, dtype)
    expected = windows(x.astype(np.int64), kernel, strides).sum(axis=(-1, -2))
    attributes = {"kernel_shape": kernel, "strides": strides, "output_dtype": INT32}
    assert_everywhere(BY_NAME["SumPool"], (x,), attributes, INT32, expected)


def windows(x, kernel, strides):
    """A view (N, C, H', W', kh, kw) of every window of x."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return view[:, :, :: strides[0], :: strides[1]]


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_float_adder_convolution_is_minus_the_sum_with_zero_padding(geometry, rng):
    # Integers in float32 are exact, so the integer oracle is the float op's as well.
    x, w = integers(rng, geometry[0], np.int8), integers(rng, geometry[1], np.int8)
    expected = -naive.adder_conv(x, w, **oracle_geometry(geometry))
    attributes = conv_attributes(geometry, 0)
    del attributes["output_dtype"]
    assert_everywhere(AdderConv(), (x.astype(np.float32), w.astype(np.float32)), attributes, FLOAT, expected)


def test_float_adder_gemm_is_minus_the_sum(rng):
    x, w = integers(rng, (3, 7), np.int8), integers(rng, (4, 7), np.int8)
    expected = -naive.adder_conv(x[..., None, None], w[..., None, None])[:, :, 0, 0]
    assert_everywhere(AdderGemm(), (x.astype(np.float32), w.astype(np.float32)), {"transB": 1}, FLOAT, expected)
