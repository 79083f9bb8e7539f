#!/usr/bin/env bash
# In Numba a difference of uint8 elements wraps at 64 bits, and the same difference of arrays wraps at eight.
#
# Expected: jitted code follows numpy: uint8 - uint8 is uint8. Or, if scalars widen, they widen to a signed type as int8 does, and
#   abs(x[i] - w[i]) is the absolute difference.
# Happens: two scalars of uint8 give uint64, so 3 - 5 is 2^64 - 2, abs leaves it, and a loop that adds absolute differences adds them with
#   their signs: [3, 5] against [5, 3] sums to 0. In the same function the array expression numpy.abs(x - w) is [254, 2].
#   int8 gives 4 and [2, 2]. Nothing warns.
# Why it matters: this loop is the adder layer, and it looks like the textbook. Each load has to be widened by hand first. An int64
#   accumulator does not help, because the difference is unsigned before it is added.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numba
import numpy as np


def by_elements(x, w):
    total = 0
    for index in range(x.size):
        total += abs(x[index] - w[index])
    return total


def widened(x, w):
    total = 0
    for index in range(x.size):
        total += abs(np.int64(x[index]) - np.int64(w[index]))
    return total


def by_arrays(x, w):
    return np.abs(x - w)


def scalar(x, w):
    return x[0] - w[0]


print("numba", numba.__version__, "numpy", np.__version__)
found = {}
for dtype in (np.uint8, np.int8):
    x, w = np.array([3, 5], dtype), np.array([5, 3], dtype)
    found[dtype.__name__] = row = (
        numba.njit(scalar)(x, w),
        numba.njit(by_elements)(x, w),
        numba.njit(widened)(x, w),
        numba.njit(by_arrays)(x, w).tolist(),
    )
    print(f"{dtype.__name__}: 3 - 5 = {row[0]}; |3 - 5| + |5 - 3| by elements {row[1]}, each load widened {row[2]}, by arrays {row[3]}")
as_found = found == {"uint8": (2**64 - 2, 0, 4, [254, 2]), "int8": (-2, 4, 4, [2, 2])}
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
