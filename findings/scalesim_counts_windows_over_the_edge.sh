#!/usr/bin/env bash
# SCALE-Sim counts windows that hang over the edge of a strided layer.
#
# Expected: a convolution without padding has floor((size - kernel) / stride) + 1 outputs along a dimension, as in ONNX, PyTorch and
#   TensorFlow's "valid". A simulator of convolutions counts those.
# Happens: the output size is rounded up. A 3x3 layer of stride 2 on 8x8 counts 4x4 outputs instead of 3x3, which is 16/9 of the
#   multiply-accumulates. Sizes are given with their padding, which makes it common: a 32x32 input padded by one on each side is
#   34x34, and the same layer counts 17x17 outputs for 16x16.
# Why it matters: every network that halves its maps has such layers. A CNN counted here and an adder network counted elsewhere
#   are not the same network.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scalesim==3.0.0 numpy==2.3.5

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import os
import sys

from scalesim.topology_utils import topologies

HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
layers = {"even": (8, 3, 1, 1, 2), "odd": (9, 3, 1, 1, 2), "stride one": (8, 3, 1, 1, 1), "padded 32": (34, 3, 16, 32, 2)}
path = os.path.join(sys.argv[1], "network.csv")
with open(path, "w") as file:
    file.write(HEADER)
    for name, (size, kernel, channels, filters, stride) in layers.items():
        file.write(f"{name}, {size}, {size}, {kernel}, {kernel}, {channels}, {filters}, {stride},\n")
network = topologies()
network.load_arrays(path)
network.topo_calc_hyperparams()

print("scalesim", importlib.metadata.version("scalesim"))
found = {}
for index, (name, (size, kernel, channels, filters, stride)) in enumerate(layers.items()):
    outputs = (size - kernel) // stride + 1
    true = outputs**2 * kernel**2 * channels * filters
    counted = network.get_layer_mac_ops(index)
    found[name] = counted / true
    print(f"{size}x{size}, kernel {kernel}, stride {stride}: {outputs}x{outputs} outputs, {true} multiply-accumulates; counted {counted}")
as_found = found == {"even": 16 / 9, "odd": 1, "stride one": 1, "padded 32": (17 / 16) ** 2}
sys.exit(0 if as_found else "the behaviour changed")
PYTHON
