"""Runs the array that ships on golden vectors, counts what differs, and tests itself on corrupted vectors."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adderhw.hardware import simulators
from adderhw.hardware.hex_files import hex_text
from adderhw.hardware.tools import run
from adderhw.hardware.vector_files import read_manifest

HIGHEST = {"m", "c", "m_digits"}  # the lowest bit of a constant may vanish in the shift; its highest does not


@dataclass(frozen=True)
class Comparison:
    """What the co-simulation of one layer compared: how many accumulators, how many outputs, how many differed."""

    layer: str
    images: int
    accumulator: str
    accumulators: int
    outputs: int
    mismatches: int


class Simulation:
    """The compiled testbenches of a folder of vectors; use as a context, for it holds a temporary folder.

    vectors: a folder of write_vectors, checked against its manifest. simulator: 'verilator', 'iverilog' or None for
    the fastest installed. Raises AdderHwError for vectors that are not whole and for a tool that is missing or fails.
    """

    def __init__(self, vectors, simulator=None):
        self.vectors, self.manifest = Path(vectors), read_manifest(vectors)
        self.build = tempfile.TemporaryDirectory(prefix="adderhw-")
        testbenches = [layer["testbench"] for layer in self.manifest["layers"]]
        modules = sorted(str(path.relative_to(self.vectors)) for path in (self.vectors / "rtl").glob("*.sv"))
        self.simulator = simulators.choose(simulator)
        sources = ["all_layers.sv", *testbenches, *modules]
        self.command = simulators.compile_testbenches(self.simulator, self.vectors, self.build.name, sources)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.build.cleanup()

    def run(self, folder=None):
        """(Comparison of every layer, first mismatches as text) on the vectors, or on those in another `folder`."""
        found, first = simulators.results(run(self.command, folder or self.vectors))
        return [self._comparison(layer, found.get(layer["name"])) for layer in self.manifest["layers"]], first

    def _comparison(self, layer, counts):
        """A layer that printed no result counts as a mismatch."""
        accumulator = layer["accumulator"]
        narrow = accumulator["bits"] < accumulator["bound_bits"]
        width = f"{accumulator['bits']} {accumulator['overflow'] if narrow else 'exact'}"
        return Comparison(layer["name"], self.manifest["data"]["images"], width, *(counts or (0, 0, 1)))

    def undetected(self):
        """Files in which one changed value makes no mismatch: none, if the testbenches are worth anything.

        Each file of each layer is corrupted once: one value of the kind in every layer, then one simulation.
        """
        missed = []
        kinds = {entry["tensor"] for layer in self.manifest["layers"] for entry in layer["files"]}
        for kind in sorted(kinds):
            with tempfile.TemporaryDirectory(prefix="adderhw-") as copy:
                shutil.copytree(self.vectors, copy, dirs_exist_ok=True)
                corrupted = {
                    layer["name"]: entry["hex"]
                    for layer in self.manifest["layers"]
                    for entry in layer["files"]
                    if entry["tensor"] == kind
                }
                for layer in self.manifest["layers"]:
                    for entry in layer["files"]:
                        if entry["tensor"] == kind:
                            corrupt(Path(copy) / entry["hex"], entry, self.vectors / entry["npy"])
                comparisons, _ = self.run(copy)
                missed += [corrupted[c.layer] for c in comparisons if c.layer in corrupted and not c.mismatches]
        return missed


def corrupt(path, entry, original):
    """Changes one bit of one value in a hex file: of the middle value, or of the constant with the widest product."""
    lines = path.read_text().splitlines(keepends=True)
    at = len(lines) // 2
    if entry["tensor"] in HIGHEST:
        at = int(np.argmax(np.abs(np.load(original)).reshape(len(lines), -1)[:, 0]))
    bit = entry["bits"] - 1 if entry["tensor"] in HIGHEST else 0
    lines[at] = hex_text([int(lines[at], 16) ^ (1 << bit)], entry["bits"])
    path.write_text("".join(lines))
