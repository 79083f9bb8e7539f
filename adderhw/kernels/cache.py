"""Where compiled kernels are kept: where Numba keeps them, or in a temporary folder where it finds no place."""

import atexit
import os
import shutil
import tempfile

from numba import config, njit

from adderhw.errors import AdderHwError

SHARED_MEMORY = "/dev/shm"  # can be written even in a container whose file system is read-only


def find_place():
    """Gives Numba a temporary folder, for this process alone, if it could write neither here nor in a home.

    Raises AdderHwError where there is no temporary folder either.
    """
    try:
        njit(cache=True)(_nothing)  # compiles nothing; Numba looks for a place in which to keep it
    except RuntimeError:
        config.CACHE_DIR = _temporary_folder()


def _nothing():
    pass


def _temporary_folder():
    """A folder that no other user can write to, for what lies in it is run as code; it goes when this process ends."""
    try:
        folder = _made(None)
    except OSError:
        try:
            folder = _made(SHARED_MEMORY)
        except OSError:
            raise AdderHwError(
                "compiled kernels: found no folder to keep them in, expected NUMBA_CACHE_DIR or TMPDIR to name one"
            ) from None
    atexit.register(_remove, folder, os.getpid())
    return folder


def _made(parent):
    return tempfile.mkdtemp(prefix="adderhw-kernels-", dir=parent)


def _remove(folder, process):
    """Removes the folder, unless this is a fork of the process that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


find_place()
