"""Reads golden vectors: the manifest, each file against its SHA-256, and each .npy against its .hex."""

from pathlib import Path, PurePosixPath

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.files import file_digest
from adderhw.hardware.vector_files import MANIFEST, ORDER, SCHEMA
from adderhw.json_files import misfit, read_json

SUFFIXES = ("npy", "hex")
FILE = {
    "tensor": str, "shape": [int], "order": str, "bits": int, "signed": bool, "npy": str, "npy_sha256": str, "hex": str,
    "hex_sha256": str,
}  # fmt: skip
LAYER = {
    "name": str, "op": str, "folder": str, "testbench": str, "module": str, "strides": [int], "pads": [int],
    "dilations": [int], "groups": int, "x_zero_point": int,
    "accumulator": {"bits": int, "bound_bits": int, "overflow": str, "overflows": int},
    "requantise": (None, {"rounding": str, "qmin": int, "qmax": int, "realisation": str, "product_bits": int}),
    "files": [FILE],
}  # fmt: skip
KIND = {
    "schema": int, "model": {"name": str, "file": str, "sha256": str},
    "data": {"name": str, "split": (None, str), "images": int}, "hex": str, "layers": [LAYER],
}  # fmt: skip


def read_manifest(folder):
    """The manifest in `folder`, each file checked against its SHA-256; raises AdderHwError for one that differs.

    Raises it for a manifest with other fields than write_vectors gives it too, and for a file outside the folder.
    """
    path = Path(folder) / MANIFEST
    manifest = read_json(path, "a manifest of golden vectors")
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise AdderHwError(f"{path}: found schema {found!r}, expected {SCHEMA}")
    wrong = misfit(manifest, KIND)
    if wrong is not None:
        raise AdderHwError(f"{path}: found {wrong or 'the whole'} of another kind, expected what schema {SCHEMA} says")
    for layer in manifest["layers"]:
        check_inside(path, layer["testbench"])
        for entry in layer["files"]:
            check_entry(path, entry)
            for suffix in SUFFIXES:
                check_inside(path, entry[suffix])
                check_file(Path(folder) / entry[suffix], entry[f"{suffix}_sha256"])
    return manifest


def check_inside(manifest, name):
    """Raises AdderHwError unless the name is that of a file below the manifest's folder."""
    path = PurePosixPath(name)
    if "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts:
        raise AdderHwError(f"{manifest}: found the file {name!r}, expected one below the manifest's folder")


def check_entry(manifest, entry):
    """Raises AdderHwError for a tensor that no testbench reads, and for sizes that no tensor has."""
    shape, bits = entry["shape"], entry["bits"]
    if entry["tensor"] not in ORDER:
        raise AdderHwError(f"{manifest}: found tensor {entry['tensor']!r}, expected one of {', '.join(ORDER)}")
    if bits < 1 or not shape or min(shape) < 1:
        raise AdderHwError(
            f"{manifest}: found {bits} bits and shape {shape} of {entry['npy']}, expected at least 1 each"
        )


def check_file(path, sha256):
    """Raises AdderHwError unless the file's bytes have that SHA-256."""
    try:
        found = file_digest(path)
    except OSError as error:
        raise AdderHwError(f"{path}: found {error.strerror}, expected a file of the manifest") from None
    if found != sha256:
        raise AdderHwError(f"{path}: found SHA-256 {found[:16]}…, expected {sha256[:16]}… as the manifest states")


def array_mismatch(folder, entry):
    """The first element where a tensor's .npy and .hex differ, in words, or None; `entry` is its in the manifest.

    Raises AdderHwError for files that hold no array, or no lines of hexadecimal digits.
    """
    found = loaded(Path(folder) / entry["npy"])
    if list(found.shape) != entry["shape"]:
        return f"{entry['npy']}: found shape {found.shape}, expected {tuple(entry['shape'])} as in the manifest"
    expected = hex_values(Path(folder) / entry["hex"], found.size, entry)
    for at, (value, wanted) in enumerate(zip(found.reshape(-1).tolist(), expected, strict=True)):
        if value != wanted:
            return f"{entry['npy']} element {at}: expected {wanted} as in {entry['hex']}, found {value}"
    return None


def loaded(path):
    """The array of integers in a .npy file; raises AdderHwError for another file."""
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise AdderHwError(f"{path}: found no array ({error}), expected .npy") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise AdderHwError(f"{path}: found {getattr(array, 'dtype', 'several arrays')}, expected an array of integers")
    return array


def hex_values(path, size, entry):
    """The `size` integers of a .hex file in C order; a line of `bits` bits holds one, or several of the last axis.

    Raises AdderHwError for another number of integers, and for lines that are no number of so many bits.
    """
    lines = path.read_bytes().split()
    each = size // max(1, len(lines))
    if not lines or each * len(lines) != size or entry["bits"] % each:
        raise AdderHwError(f"{path}: found {len(lines)} lines of {entry['bits']} bits, expected {size} integers")
    bits = entry["bits"] // each
    sign = 1 << bits - 1 if entry["signed"] else 0
    mask = (1 << bits) - 1
    try:
        values = [int(line, 16) for line in lines]
    except ValueError as error:
        raise AdderHwError(f"{path}: found no hexadecimal digits ({error})") from None
    if any(value >> entry["bits"] for value in values):
        raise AdderHwError(f"{path}: found a number of more than {entry['bits']} bits")
    return [((value >> bits * i & mask) ^ sign) - sign for value in values for i in range(each)]
