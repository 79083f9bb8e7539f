"""A file is written whole or not at all."""

import os

import pytest

from adderhw.errors import AdderHwError, WriteError
from adderhw.files import check_writable, write_atomic


def test_text_and_bytes_are_written_as_they_are(tmp_path):
    write_atomic(tmp_path / "a", "é\r\n")
    write_atomic(tmp_path / "a", b"\x00\x01")
    assert (tmp_path / "a").read_bytes() == b"\x00\x01"
    write_atomic(tmp_path / "b", "é\r\n")
    assert (tmp_path / "b").read_bytes() == "é\r\n".encode()


@pytest.mark.parametrize("write", [check_writable, lambda path: write_atomic(path, "x")])
def test_a_folder_that_does_not_exist_is_one_line(tmp_path, write):
    path = tmp_path / "none" / "a"
    with pytest.raises(AdderHwError) as error:
        write(path)
    assert str(error.value) == f"{path}: cannot write: No such file or directory"


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(AdderHwError, match="found a folder, expected a file name"):
        write_atomic(tmp_path, "x")


def test_a_failing_write_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WriteError, match="a: cannot write: No space left on device"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "a")
    assert os.listdir(tmp_path) == []
