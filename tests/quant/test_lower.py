"""Lowering: the integer graph computes what the float network does, the better the more bits it has."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from adderhw.errors import ModelError
from adderhw.plan import Plan
from export.writer import model_of
from quant import Settings, quantise
from tests.quant.networks import Network, adder_layer, adder_network, images, ordinary_cnn


def float_output(model, x):
    return ort.InferenceSession(model.SerializeToString()).run(None, {"image": x})[0]


def integer_output(graph, x):
    session = ort.InferenceSession(model_of(graph).SerializeToString())
    return session.run(None, {"image": x})[0]


def signal_to_noise(model, settings, x):
    """10·log10 of the variance of the float logits over the mean squared error of the integer ones, in dB."""
    expected = float_output(model, x).astype(np.float64)
    error = integer_output(quantise(model, x, settings), x) - expected
    return 10 * np.log10(expected.var(axis=0).sum() / (error**2).mean(axis=0).sum())


@pytest.mark.parametrize("make", [adder_network, ordinary_cnn])
def test_error_falls_as_bits_rise(make):
    ratios = [
        signal_to_noise(make(), Settings(bits=bits, edge_bits=max(8, bits), range="max"), images())
        for bits in (2, 4, 8, 12)
    ]
    print(ratios)
