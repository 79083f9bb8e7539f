"""Arrays in .npy and .npz files of others: read whole, never unpickled; whatever is wrong with a file is one line."""

import tokenize
import warnings
import zipfile
import zlib

import numpy as np

from adderhw.errors import DataError

UNREADABLE = (
    OSError, ValueError, EOFError, TypeError, KeyError, OverflowError, SyntaxError, tokenize.TokenError,
    RuntimeError, zipfile.BadZipFile, zlib.error, MemoryError,
)  # fmt: skip
"""What NumPy and zipfile raise for damaged, encrypted or otherwise packed files, and for shapes beyond all memory."""


def read_arrays(path):
    """The array of an .npy file, or {name: array} of an .npz file; raises DataError."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of headers as Python 2 wrote them, which are read all the same
            loaded = np.load(path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                return dict(loaded)
    except FileNotFoundError:
        raise DataError(f"{path}: found no such file, expected a .npy or .npz array file") from None
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path}: found no readable array file ({reason}), expected .npy or .npz without objects"
        ) from None
