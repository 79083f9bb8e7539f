"""Quantisation: a float ONNX graph of adder and convolution layers becomes an integer Graph."""

import adderhw as adderhw  # first, for it watches over the imports of a command
from quant.compare import Comparison, TensorComparison, compare
from quant.convert import Quantisation, quantise, quantise_with_summary
from quant.settings import Settings

__all__ = [
    "Comparison",
    "Quantisation",
    "Settings",
    "TensorComparison",
    "compare",
    "quantise",
    "quantise_with_summary",
]
