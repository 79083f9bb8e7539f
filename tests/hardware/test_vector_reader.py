"""Golden vectors that someone else changed: whatever the manifest or its files hold, one line says what is wrong."""

import hashlib
import json

import numpy as np
import pytest

import adderhw
from adderhw.errors import AdderHwError
from adderhw.hardware.vector_files import write_vectors
from adderhw.hardware.vector_reader import array_mismatch, read_manifest

LAYER = "blocks.2.shortcut.0"


@pytest.fixture
def folder(tmp_path):
    write_vectors(adderhw.load(), tmp_path / "vectors", limit=1, layers=[LAYER])
    return tmp_path / "vectors"


def rewrite(folder, change):
    """Changes the manifest, and states the digests of the files as they are."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def entry_of(manifest, tensor):
    return next(entry for entry in manifest["layers"][0]["files"] if entry["tensor"] == tensor)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("layers"), "found the whole of another kind, expected what schema 1 says"),
        (lambda m: m["layers"][0].update(extra=1), r"found \.layers\[0\] of another kind"),
        (
            lambda m: m["layers"][0]["accumulator"].update(bits="8"),
            r"found \.layers\[0\]\.accumulator\.bits of another",
        ),
        (lambda m: m["layers"][0]["files"][1].update(shape=[2, None]), r"\.files\[1\]\.shape\[1\] of another kind"),
        (lambda m: m["data"].update(images=1.5), r"found \.data\.images of another kind"),
        (lambda m: m.update(schema=2), "found schema 2, expected 1"),
        (lambda m: entry_of(m, "w").update(npy="../w.npy"), r"found the file '\.\./w\.npy', expected one below"),
        (lambda m: entry_of(m, "w").update(hex="/w.hex"), "found the file '/w.hex', expected one below"),
        (lambda m: m["layers"][0].update(testbench="a/../../t.sv"), "expected one below the manifest's folder"),
        (lambda m: m["layers"][0].update(testbench=""), "expected one below the manifest's folder"),
        (lambda m: entry_of(m, "x").update(tensor="y"), "found tensor 'y', expected one of x, w, "),
        (lambda m: entry_of(m, "x").update(bits=0), "found 0 bits and shape .* expected at least 1 each"),
        (lambda m: entry_of(m, "x").update(shape=[]), r"found 8 bits and shape \[\] of .* expected at least 1 each"),
        (lambda m: entry_of(m, "x").update(npy="none.npy"), "none.npy: found No such file"),
    ],
)
def test_a_manifest_that_is_none_is_one_line(change, words, folder):
    rewrite(folder, change)
    with pytest.raises(AdderHwError, match=words) as error:
        read_manifest(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", '{"schema": [1]}', "[" * 9000])
def test_a_file_that_is_no_manifest_is_one_line(text, folder):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(AdderHwError, match=r"manifest\.json: found ") as error:
        read_manifest(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "contents", "words"),
    [
        ("npy", b"", "found no array"),
        ("npy", b"PK", "found no array"),
        ("npy", np.zeros(3), "found float64, expected an array of integers"),
        ("hex", b"", "found 0 lines of 8 bits, expected"),
        ("hex", b"00\n" * 3, "found 3 lines of 8 bits, expected"),
        ("hex", None, "found no hexadecimal digits"),
        ("hex", -1, "found a number of more than 8 bits"),
    ],
)
def test_a_file_with_the_right_digest_and_no_array_is_one_line(suffix, contents, words, folder):
    path = folder / "layers" / LAYER / f"w.{suffix}"
    if isinstance(contents, np.ndarray):
        np.save(path, contents)
    elif isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        lines = path.read_text().split()
        path.write_text("\n".join(["zz" if contents is None else "fff", *lines[1:]]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(folder, lambda manifest: entry_of(manifest, "w").update({f"{suffix}_sha256": digest}))
    entry = entry_of(read_manifest(folder), "w")
    with pytest.raises(AdderHwError, match=words) as error:
        array_mismatch(folder, entry)
    assert "\n" not in str(error.value)


def test_an_array_of_another_shape_is_a_mismatch(folder):
    rewrite(folder, lambda manifest: entry_of(manifest, "w").update(shape=[1, 2]))
    found = array_mismatch(folder, entry_of(read_manifest(folder), "w"))
    assert found.endswith("expected (1, 2) as in the manifest")


def test_vectors_as_written_are_read_and_hold_what_they_say(folder):
    manifest = read_manifest(folder)
    assert [array_mismatch(folder, entry) for layer in manifest["layers"] for entry in layer["files"]] == [None] * 7
