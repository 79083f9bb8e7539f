"""Corrupts one value in each file of golden vectors, one kind after the other: each must be noticed."""

import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.hardware.hex_files import hex_text
from adderhw.hardware.vector_files import MANIFEST
from adderhw.hardware.vector_reader import array_mismatch, check_file, read_manifest

CONSTANTS = ("m", "m_digits", "c", "n")
HIGHEST = ("m", "m_digits", "c")  # the lowest bit of a constant may vanish in the shift; its highest does not


class Corruption(NamedTuple):
    """One kind of file: how many were corrupted, by what it is noticed, the first mismatch, and which were missed."""

    kind: str
    files: int
    noticed_by: str
    first: str
    missed: list[str]


def corruptions(simulation):
    """A Corruption for each kind of file of a Simulation's vectors, .hex, .npy and the manifest.

    One value in every file of the kind is changed, in a copy. A .hex must make its testbench report a mismatch, a
    .npy must differ from its .hex, and each must fail its SHA-256 in the manifest.
    """
    kinds = {entry["tensor"]: None for layer in simulation.manifest["layers"] for entry in layer["files"]}
    for kind in kinds:
        yield _corrupt_kind(simulation, kind, "hex", corrupt_hex, _testbenches)
        yield _corrupt_kind(simulation, kind, "npy", corrupt_npy, _arrays)
    yield _corrupt_manifest(simulation.vectors)


def _corrupt_kind(simulation, kind, suffix, corrupt, notice):
    entries = {
        layer["name"]: entry
        for layer in simulation.manifest["layers"]
        for entry in layer["files"]
        if entry["tensor"] == kind
    }
    with tempfile.TemporaryDirectory(prefix="adderhw-") as copy:
        shutil.copytree(simulation.vectors, copy, dirs_exist_ok=True)
        for entry in entries.values():
            corrupt(Path(copy) / entry[suffix], entry, simulation.vectors)
        by, noticed = notice(simulation, copy, entries)
        digests = {name: (Path(copy) / entry[suffix], entry[f"{suffix}_sha256"]) for name, entry in entries.items()}
        hashed = {name for name, arguments in digests.items() if _refuses(check_file, *arguments)}
    missed = [entry[suffix] for name, entry in entries.items() if name not in hashed & noticed.keys()]
    first = next(iter(noticed.values()), "nothing")
    return Corruption(f"{kind}.{suffix}", len(entries), f"{by}, SHA-256", first, missed)


def _testbenches(simulation, folder, entries):
    """('testbench', layer → what it printed) for the layers whose testbench found a mismatch."""
    comparisons, first = simulation.simulate(folder)
    wrong = [c.layer for c in comparisons if c.mismatches]
    return "testbench", {name: next((t for t in first if t.startswith(f"{name} ")), "a mismatch") for name in wrong}


def _arrays(simulation, folder, entries):
    """('comparison with .hex', layer → the mismatch)."""
    found = {name: array_mismatch(folder, entry) for name, entry in entries.items()}
    return "comparison with .hex", {name: text for name, text in found.items() if text}


def _refuses(check, *arguments):
    """Whether a check raises."""
    try:
        check(*arguments)
    except AdderHwError:
        return True
    return False


def _corrupt_manifest(vectors):
    """One digit of a SHA-256 in the manifest."""
    with tempfile.TemporaryDirectory(prefix="adderhw-") as copy:
        shutil.copytree(vectors, copy, dirs_exist_ok=True)
        manifest = json.loads((Path(copy) / MANIFEST).read_text(encoding="utf-8"))
        entry = manifest["layers"][0]["files"][0]
        digest = entry["hex_sha256"]
        entry["hex_sha256"] = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        (Path(copy) / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        missed = [] if _refuses(read_manifest, copy) else [MANIFEST]
    return Corruption(MANIFEST, 1, "SHA-256", f"{entry['hex']} is refused", missed)


def place(entry, vectors, lines):
    """The line to corrupt: the middle one, of constants that of the channel whose outputs vary most."""
    if entry["tensor"] not in CONSTANTS:
        return lines // 2
    outputs = np.load(Path(vectors) / Path(entry["npy"]).with_name("outputs.npy"))
    spread = outputs.astype(np.float64).std(axis=(0, 2, 3))
    return int(spread.argmax())


def corrupt_hex(path, entry, vectors):
    """Changes one bit of one value of a .hex file."""
    lines = path.read_text().splitlines(keepends=True)
    at = place(entry, vectors, len(lines))
    bit = entry["bits"] - 1 if entry["tensor"] in HIGHEST else 0
    lines[at] = hex_text([int(lines[at], 16) ^ (1 << bit)], entry["bits"])
    path.write_text("".join(lines))


def corrupt_npy(path, entry, vectors):
    """Changes the lowest bit of the middle value of a .npy file."""
    array = np.load(path)
    flat = array.reshape(-1)
    flat[flat.size // 2] ^= 1
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getvalue())
