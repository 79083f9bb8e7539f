"""Output files and folders that appear whole or not at all."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from adderhw.errors import AdderHwError, WriteError


def check_writable(path):
    """Raise AdderHwError unless a file can be written at `path`; call it before long work. Leaves nothing behind."""
    path = Path(path)
    if path.is_dir():
        raise AdderHwError(f"{path}: cannot write: found a folder, expected a file name")
    temporary = _temporary(path)
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def write_atomic(path, data):
    """Write `data` (bytes, or str as UTF-8 with its line ends kept) to `path`; an older file is replaced whole.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step
    (os.replace). On failure the older file stands and nothing else is left; raises AdderHwError when
    the folder does not exist or cannot be written, WriteError when the disk is full.
    """
    path = Path(path)
    check_writable(path)
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path, what):
    """Gives a hidden folder beside `path`, which takes that name when the block ends well, and goes when it fails.

    what: what is written there, for the messages. Raises AdderHwError unless `path` is free or an empty folder and can
    be made, WriteError when the disk is full or another process took the name meanwhile.
    """
    path = Path(path)
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
