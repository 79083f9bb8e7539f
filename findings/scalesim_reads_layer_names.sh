#!/usr/bin/env bash
# In SCALE-Sim the name of a layer decides what it computes.
#
# Expected: the first column of a topology names the layer; its geometry is in the numbers.
# Happens: a name that holds "DP" anywhere makes the layer depthwise: it becomes as many layers of one channel as it has input
#   channels, each with all filters. "ADPConv1" or "DPN92_conv1" are four layers that sum over 9 values where "Conv1" is one that
#   sums over 36.
# Why it matters: names are chosen by exporters and by people. The mapping changes for the same geometry, and the layers of the result are not
#   the rows of the file.
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


def windows(name):
    """The reduction length of every layer that a file with one row makes."""
    path = os.path.join(sys.argv[1], "network.csv")
    with open(path, "w") as file:
        file.write(HEADER + f"{name}, 10, 10, 3, 3, 4, 8, 1,\n")
    network = topologies()
    network.load_arrays(path)
    network.topo_calc_hyperparams()
    return [network.get_layer_window_size(layer) for layer in range(network.get_num_layers())]


print("scalesim", importlib.metadata.version("scalesim"))
found = {name: windows(name) for name in ("Conv1", "ADPConv1", "adpconv1")}
for name, lengths in found.items():
    print(f"3x3, 4 channels, 8 filters, named {name}: {len(lengths)} layers that sum over {lengths} values")
sys.exit(0 if found == {"Conv1": [36], "ADPConv1": [9] * 4, "adpconv1": [36]} else "the behaviour changed")
PYTHON
