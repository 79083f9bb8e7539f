#!/usr/bin/env bash
# fxpmath makes every negative difference of unsigned values zero.
#
# Expected: its formats grow so that results are exact: 200 + 100 of eight bits has nine bits. The difference of two unsigned values then has
#   a sign, or it wraps as hardware does, or it is refused.
# Happens: the format grows by a bit and stays unsigned, and the value saturates: 3 - 5 is 0 in nine unsigned bits. So |x - w| of [3, 5] and
#   [5, 3] is [0, 2], and the sum over a filter is about half of the true one. With overflow="wrap" it is 2^9 - 2. An unsigned
#   minus a signed value is right (a sign is added). The default absolute value of -128 is 127 in the same way.
# Why it matters: codes of adder networks are unsigned, and this is their inner operation. The result is plausible: positive, and
#   of the right order.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fxpmath==0.4.9 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
from fxpmath import Fxp


def unsigned(values, **options):
    return Fxp(values, signed=False, n_word=8, n_frac=0, **options)


def signed(values, n_word=8):
    return Fxp(values, signed=True, n_word=n_word, n_frac=0)


def shown(result):
    return np.asarray(result.get_val()).astype(int).tolist(), result.dtype


x, w = [3, 5], [5, 3]
found = {
    "200 + 100, unsigned": shown(unsigned(200) + unsigned(100)),
    "[3, 5] - [5, 3], unsigned": shown(unsigned(x) - unsigned(w)),
    "|[3, 5] - [5, 3]|, unsigned": shown(np.abs(unsigned(x) - unsigned(w))),
    "[3, 5] - [5, 3], unsigned, wrapping": shown(unsigned(x, overflow="wrap") - unsigned(w, overflow="wrap")),
    "[3, 5] unsigned - [5, 3] signed": shown(unsigned(x) - signed(w)),
    "|[3, 5] - [5, 3]|, signed": shown(np.abs(signed(x) - signed(w))),
    "|-128|, eight bits signed": shown(abs(signed(-128))),
}
print("fxpmath", importlib.metadata.version("fxpmath"), "numpy", np.__version__)
for name, (values, kind) in found.items():
    print(f"{name}: {values} as {kind}")
rng = np.random.default_rng(0)
codes, weights = rng.integers(0, 256, (2, 576))
exact = int(np.abs(codes - weights).sum())
by_fxpmath = sum(np.asarray(abs(unsigned(codes) - unsigned(weights)).get_val()).astype(int).tolist())
print(f"sum of |x - w| over a filter of 576 random codes: exact {exact}, fxpmath {by_fxpmath}")
values = [row[0] for row in found.values()]
as_found = values == [300, [0, 2], [0, 2], [510, 2], [-2, 2], [2, 2], 127] and by_fxpmath == int(np.maximum(codes - weights, 0).sum())
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
