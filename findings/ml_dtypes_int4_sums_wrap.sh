#!/usr/bin/env bash
# Sums and means of ONNX's 4-bit tensors wrap at four bits in numpy.
#
# Expected: numpy adds int8 and int16 arrays in int64 and takes their mean in float64. An INT4 tensor that onnx gives as a numpy array
#   does the same, or refuses.
# Happens: the array has ml_dtypes' int4, for which numpy knows no wider sum: 7 + 7 - 8 + 3 is -7, the mean of sixteen ones is 0, the
#   standard deviation is 0. numpy.dot wraps at four bits, the @ of the same arrays at eight; abs and adding a Python number give int8.
#   Saved with numpy.save, the type is lost. bfloat16, of the same package, adds 1,000 ones to 256. A dtype= argument helps.
# Why it matters: weights of 4 bits are read like this to count zeros, or to sum them for a zero point's correction or a bound
#   of the accumulator. No warning is given and each result is in a plausible range.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ml_dtypes==0.6.0 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import sys

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper


def tensor(values):
    """The values as onnx's reader gives them from an INT4 tensor."""
    made = helper.make_tensor("w", TensorProto.INT4, [len(values)], values)
    checker.check_tensor(made)
    return numpy_helper.to_array(made)


def saved(array):
    path = os.path.join(sys.argv[1], "array.npy")
    np.save(path, array)
    return np.load(path).dtype


codes, weights = [7, 7, -8, 3], [-8, 1, 7, 3]
x, w, ones = tensor(codes), tensor(weights), tensor([1] * 16)
exact, of_int8 = np.array(codes), np.array(codes, np.int8)
rows = {
    "sum": (of_int8.sum(), x.sum()),
    "sum, dtype=int32": (of_int8.sum(dtype=np.int32), x.sum(dtype=np.int32)),
    "mean of 16 ones": (np.ones(16, np.int8).mean(), ones.mean()),
    "standard deviation": (of_int8.std().round(3), x.std()),
    "numpy.dot": (np.dot(exact, weights), np.dot(x, w)),
    "7 * 7 four times, by @": (196, tensor([7] * 4) @ tensor([7] * 4)),
    "sum of numpy.abs": (np.abs(of_int8).sum(), np.abs(x).sum()),
    "maximum of x + 100": ((of_int8 + 100).max(), (x + 100).max()),
    "sum of 1000 ones in bfloat16": (1000, np.ones(1000, ml_dtypes.bfloat16).sum()),
}
print("ml_dtypes", ml_dtypes.__version__, "onnx", onnx.__version__, "numpy", np.__version__)
for name, (usual, found) in rows.items():
    print(f"{name}: {usual} of usual types, {found} ({found.dtype}) of 4-bit or bfloat16 ones")
print("after numpy.save and load:", saved(x))
found = {name: float(value) for name, (_, value) in rows.items()}
expected = {
    "sum": -7,
    "sum, dtype=int32": 9,
    "mean of 16 ones": 0,
    "standard deviation": 0,
    "numpy.dot": 0,
    "7 * 7 four times, by @": -60,
    "sum of numpy.abs": 25,
    "maximum of x + 100": 107,
    "sum of 1000 ones in bfloat16": 256,
}
sys.exit(0 if found == expected and saved(x).kind == "V" else "the behaviour changed")
PYTHON
