"""A file is written whole or not at all."""

import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from adderhw.errors import AdderHwError, WriteError
from adderhw.files import check_regular, check_writable, new_folder, write_atomic


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


def test_a_link_stays_and_the_file_that_it_names_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("old")
    (tmp_path / "link").symlink_to("real/a")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"
    assert os.listdir(tmp_path / "real") == ["a"]


def test_a_link_to_nothing_yet_makes_what_it_names(tmp_path):
    (tmp_path / "link").symlink_to("a")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_text() == "new"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_atomic(tmp_path / "pipe", "new")
    reader.join()
    assert heard == [b"new"]
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_the_null_device_takes_everything_and_stays(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    for path in (os.devnull, tmp_path / "null"):
        write_atomic(path, "x")
        assert stat.S_ISCHR(os.stat(path).st_mode)
    assert (tmp_path / "null").is_symlink()


@pytest.mark.parametrize("write", [check_writable, lambda path: write_atomic(path, "x")])
def test_a_socket_is_refused(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(AdderHwError, match="found no regular file, expected one or a new name"):
            write("socket")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_standard_output_by_its_name_is_written_in_order(tmp_path, mode):
    script = "from adderhw.files import write_atomic; print('a'); write_atomic('/dev/stdout', 'b\\n'); print('c')"
    with open(tmp_path / "out", mode) as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"a\nb\nc\n"
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_that_a_link_names_is_filled_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with new_folder(tmp_path / "link", "a trace") as partial:
        (partial / "a").write_text("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "x"


def test_a_file_that_is_read_back_is_a_regular_one(tmp_path):
    check_regular(tmp_path / "none")
    (tmp_path / "a").write_text("x")
    check_regular(tmp_path / "a")
    with pytest.raises(AdderHwError, match="found no regular file"):
        check_regular(os.devnull)
