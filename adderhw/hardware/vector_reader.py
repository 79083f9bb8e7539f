"""Reads golden vectors: the manifest, each file against its SHA-256, and each .npy against its .hex."""

import hashlib
import json
from pathlib import Path

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.hardware.vector_files import MANIFEST, SCHEMA

SUFFIXES = ("npy", "hex")


def read_manifest(folder):
    """The manifest in `folder`, each file checked against its SHA-256; raises AdderHwError for one that differs."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AdderHwError(f"{path}: found {reason}, expected a manifest of golden vectors") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else manifest
        raise AdderHwError(f"{path}: found schema {found!r}, expected {SCHEMA}")
    for layer in manifest["layers"]:
        for entry in layer["files"]:
            for suffix in SUFFIXES:
                check_file(Path(folder) / entry[suffix], entry[f"{suffix}_sha256"])
    return manifest


def check_file(path, sha256):
    """Raises AdderHwError unless the file's bytes have that SHA-256."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise AdderHwError(f"{path}: found {error.strerror}, expected a file of the manifest") from None
    if found != sha256:
        raise AdderHwError(f"{path}: found SHA-256 {found[:16]}…, expected {sha256[:16]}… as the manifest states")


def array_mismatch(folder, entry):
    """The first element where a tensor's .npy and .hex differ, in words, or None; `entry` is its in the manifest."""
    found = np.load(Path(folder) / entry["npy"])
    expected = hex_values((Path(folder) / entry["hex"]).read_text(encoding="ascii"), found.size, entry)
    if list(found.shape) != entry["shape"] or len(expected) != found.size:
        return f"{entry['npy']}: found shape {found.shape}, expected {entry['shape']} and as many in {entry['hex']}"
    for at, (value, wanted) in enumerate(zip(found.reshape(-1).tolist(), expected, strict=True)):
        if value != wanted:
            return f"{entry['npy']} element {at}: expected {wanted} as in {entry['hex']}, found {value}"
    return None


def hex_values(text, size, entry):
    """The integers of a .hex file in C order; a line of `bits` bits holds one, or several of the last axis."""
    lines = text.split()
    each = max(1, size // max(1, len(lines)))
    bits = entry["bits"] // each
    sign = 1 << bits - 1 if entry["signed"] else 0
    mask = (1 << bits) - 1
    values = [int(line, 16) for line in lines]
    return [((value >> bits * i & mask) ^ sign) - sign for value in values for i in range(each)]
