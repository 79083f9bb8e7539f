"""Output files that appear whole or not at all."""

import os
import secrets
from pathlib import Path

from adderhw.errors import AdderHwError


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
    the folder does not exist or cannot be written.
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
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path):
    return path.with_name(f".adderhw-{secrets.token_hex(6)}.tmp")


def _unwritable(path, error):
    return AdderHwError(f"{path}: cannot write: {error.strerror or error}")
