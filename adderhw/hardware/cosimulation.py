"""Runs the array that ships, or hardware of the user's, on golden vectors and counts what differs."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from adderhw.errors import AdderHwError
from adderhw.hardware import simulators
from adderhw.hardware.tools import run
from adderhw.hardware.vector_reader import array_mismatch, read_manifest

MODULE = re.compile(r"^\s*module\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Comparison:
    """What the co-simulation of one layer compared: how many accumulators, how many outputs, how many differed.

    overflows: sums whose accumulator overflowed in the hardware; expected_overflows: in the simulator.
    """

    layer: str
    images: int
    accumulator: str
    accumulators: int
    outputs: int
    overflows: int
    expected_overflows: int
    mismatches: int


class Simulation:
    """The compiled testbenches of a folder of vectors; use as a context, for it holds a temporary folder.

    vectors: a folder of write_vectors, checked against its manifest. simulator: 'verilator', 'iverilog' or None for
    the fastest installed. designs: SystemVerilog files whose modules take the place of those of the same name that
    ship. Raises AdderHwError for vectors that are not whole, for designs that replace nothing and for a tool that is
    missing or fails.
    """

    def __init__(self, vectors, simulator=None, designs=()):
        self.vectors, self.manifest = Path(vectors), read_manifest(vectors)
        testbenches = [layer["testbench"] for layer in self.manifest["layers"]]
        modules = [str(path.relative_to(self.vectors)) for path in replaced(self.vectors / "rtl", designs)]
        sources = ["all_layers.sv", *testbenches, *modules, *(str(Path(path).resolve()) for path in designs)]
        self.simulator = simulators.choose(simulator)
        self.build = tempfile.TemporaryDirectory(prefix="adderhw-")
        self.command = simulators.compile_testbenches(self.simulator, self.vectors, self.build.name, sources)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.build.cleanup()

    def run(self):
        """(Comparison of every layer, first mismatches as text); a .npy that is not its .hex is a mismatch too."""
        comparisons, first = self.simulate(self.vectors)
        differ = [array_mismatch(self.vectors, entry) for layer in self.manifest["layers"] for entry in layer["files"]]
        return comparisons, first + [text for text in differ if text]

    def simulate(self, folder):
        """(Comparison of every layer, first mismatches as text) of the testbenches on the .hex files in `folder`."""
        found, first = simulators.results(run(self.command, folder))
        return [self._comparison(layer, found.get(layer["name"])) for layer in self.manifest["layers"]], first

    def _comparison(self, layer, counts):
        """A layer that printed no result counts as a mismatch, and so does another count of overflows."""
        accumulator = layer["accumulator"]
        narrow = accumulator["bits"] < accumulator["bound_bits"]
        width = f"{accumulator['bits']} {accumulator['overflow'] if narrow else 'exact'}"
        accumulators, outputs, overflows, mismatches = counts or (0, 0, 0, 1)
        expected = accumulator["overflows"]
        mismatches += overflows != expected and not mismatches
        images = self.manifest["data"]["images"]
        return Comparison(layer["name"], images, width, accumulators, outputs, overflows, expected, mismatches)


def replaced(folder, designs):
    """The paths of the modules in `folder`, one a file, but of those that a file of `designs` defines."""
    shipped = {path.stem: path for path in sorted(Path(folder).glob("*.sv"))}
    mine = {name for path in designs for name in defined_modules(path)}
    if designs and not mine & shipped.keys():
        raise AdderHwError(
            f"{', '.join(map(str, designs))}: found modules {', '.join(sorted(mine)) or 'none'}, "
            f"expected one of the names {', '.join(shipped)}"
        )
    return [path for name, path in shipped.items() if name not in mine]


def defined_modules(path):
    """The names of the modules that a SystemVerilog file defines."""
    try:
        return MODULE.findall(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AdderHwError(f"{path}: found {reason}, expected a file of SystemVerilog") from None
