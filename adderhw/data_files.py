"""What the readers of image data share: where data sets lie, and one-line errors for missing or wrong files."""

import os
from pathlib import Path

from adderhw.errors import DataError


def data_root(name, root):
    """The folder of data sets: the argument, or $ADDERHW_DATA; raises DataError, naming the data set, for neither."""
    chosen = root or os.environ.get("ADDERHW_DATA")
    if not chosen:
        raise DataError(f"data set {name}: found no folder, expected ADDERHW_DATA (or root) to name the one it is in")
    return Path(chosen)


def require_file(path, what):
    """Raises DataError unless `path` is a file; `what` says what to put there."""
    if not path.is_file():
        raise DataError(f"{path}: found no such file, expected {what}")


def require_labels(path, labels, classes):
    """Raises DataError for labels, integers (N,), that are not below `classes`."""
    for label in (labels.min(initial=0), labels.max(initial=0)):
        if not 0 <= label < classes:
            raise DataError(f"{path}: found label {label}, expected 0 to {classes - 1}")
