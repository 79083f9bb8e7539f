#!/usr/bin/env bash
# One da4ml network has two results, by whether it is called or predicts.
#
# Expected: a traced network is fixed-point arithmetic in hardware's widths: calling it on one input and predict on a batch are two
#   ways to run the same integers. A width that does not fit is told, as it is above 64 bits.
# Happens: with many constants that need some 30 bits, predict leaves the true value: 100 * 0.1 is 18 and -100 * 0.1 is 22, outside the
#   range that the network states for its own output (-16 to 16). The call gives 10 and -10. No value inside is wider than 40 bits, and
#   nothing is warned of. With 27 fractional bits, as a float32 0.1 has, both agree.
# Why it matters: scales and batch norm's factors come as Python floats, and predict is the fast way, the one to measure an accuracy with.
#   A network that is traced well seems to be wrong, or, worse, the other way round.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check da4ml==0.6.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import math
import sys

import numpy as np
from da4ml.trace import FixedVariableArrayInput, HWConfig, comb_trace

values = np.array([100.0, -100.0, 1.0, 10.0])


def times(constant):
    """A traced product of four signed 8-bit integers and a constant."""
    whole = FixedVariableArrayInput((4,), hwconf=HWConfig(1, -1, -1))
    integers = whole.quantize(np.ones(4, int), np.full(4, 7), np.zeros(4, int))
    product = integers * constant
    integer = product.kif[1].tolist()
    network = comb_trace(integers, product)
    ranges = [operation.qint for operation in network.ops]
    widest = max(math.ceil(math.log2((kept.max - kept.min) / kept.step + 1)) for kept in ranges)
    return network, widest, 2.0 ** integer[0]


print("da4ml", importlib.metadata.version("da4ml"), "numpy", np.__version__)
as_found = True
for name, constant, agree in (
    ("0.5", 0.5, True),
    ("0.1 as float32", float(np.float32(0.1)), True),
    ("0.1 to 30 bits", round(0.1 * 2**30) / 2**30, False),
    ("0.1", 0.1, False),
    ("0.9", 0.9, False),
):
    network, widest, bound = times(constant)
    called = np.asarray(network(values), float)
    predicted = network.predict(values[None])[0]
    print(f"{values.tolist()} * {name}, at most {widest} bits, result below {bound:g}: called {called.round(3).tolist()}, predicted {predicted.round(3).tolist()}")
    as_found &= np.allclose(called, values * constant, atol=1e-6) and np.array_equal(called, predicted) == agree and widest <= 40
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
