"""Output files and folders that appear whole or not at all."""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import sys
from pathlib import Path

from adderhw.errors import AdderHwError, WriteError

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


def check_writable(path):
    """Raise AdderHwError unless a file can be written at `path`; call it before long work. Leaves nothing behind."""
    path = Path(path)
    if is_stream(path):
        if not os.access(path, os.W_OK):
            raise AdderHwError(f"{path}: cannot write: Permission denied")
        return
    temporary = _temporary(_target(path))
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def write_atomic(path, data):
    """Write `data` (bytes, or str as UTF-8 with its line ends kept) to `path`; an older file is replaced whole.

    Bytes of a file's name that are no UTF-8, which Python keeps as lone surrogates, are written as \\udcNN, which is
    JSON too.
    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step
    (os.replace). On failure the older file stands and nothing else is left. A link stays: the file that it names is
    replaced. A terminal, pipe or /dev/null is written to. Raises AdderHwError when the folder does not exist or
    cannot be written, or something else than a file has the name, WriteError when the disk is full.
    """
    path, data = Path(path), data.encode(errors="backslashreplace") if isinstance(data, str) else data
    check_writable(path)
    if is_stream(path):
        try:
            with open(_opened(path) or path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise write_error(path, error) from error
        return
    target = _target(path)
    temporary = _temporary(target)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def is_stream(path):
    """Whether `path` is a pipe, a terminal, /dev/null, /dev/stdout or the like: it is written to and never replaced."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or str(path) in STANDARD


def _opened(path):
    """A copy of the file descriptor that /dev/stdout or /dev/stderr names, so that what was written to it stays."""
    number = STANDARD.get(str(path))
    if number is None:
        return None
    sys.stdout.flush()
    return os.dup(number)


def check_regular(path):
    """Raises AdderHwError where something else than a regular file has the name of a file that is read back."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return
    if not regular:
        raise AdderHwError(f"{path}: cannot read: found no regular file, expected one")


def file_digest(path):
    """The SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _target(path):
    """What `path` names, links followed; raises AdderHwError where that is something else than a regular file."""
    if path.is_dir():
        raise AdderHwError(f"{path}: cannot write: found a folder, expected a file name")
    if path.exists() and not path.is_file():
        raise AdderHwError(f"{path}: cannot write: found no regular file, expected one or a new name")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextlib.contextmanager
def new_folder(path, what):
    """Gives a hidden folder beside `path`, which takes that name when the block ends well, and goes when it fails.

    what: what is written there, for the messages. Raises AdderHwError unless `path` is free or an empty folder and can
    be made, WriteError when the disk is full or another process took the name meanwhile.
    """
    path = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise AdderHwError(f"{path}: cannot write {what}: found something there, expected a new or empty folder")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        partial.mkdir()
    except OSError as error:
        raise AdderHwError(
            f"{path}: cannot write {what}: found {error.strerror or error}, expected a writable folder"
        ) from error
    try:
        yield partial
        os.replace(partial, path)  # an empty folder of that name is replaced too
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_error(path, error):
    """The WriteError of an OSError that came while `path` was written."""
    return WriteError(f"{path}: cannot write: {error.strerror or error}")


def _temporary(path):
    return path.with_name(f".adderhw-{secrets.token_hex(6)}.tmp")


def _unwritable(path, error):
    return AdderHwError(f"{path}: cannot write: {error.strerror or error}")
