"""Image data sets as integer arrays: the digits that ship here, and CIFAR-10 and Fashion-MNIST from a folder."""

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from adderhw.errors import DataError

SPLITS = ("train", "test")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_RECORD = 1 + 3 * 32 * 32
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
TEST_EVERY = 5


@dataclass(frozen=True)
class Dataset:
    """One split of a data set.

    images: uint8 (N, C, H, W), pixels 0…pixel_max. labels: int64 (N,), indices into `classes`.
    source: whose data it is and under which licence.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    pixel_max: int
    source: str

    def __len__(self):
        return len(self.labels)


@dataclass(frozen=True)
class _Entry:
    """How one data set is read: read(split, root) -> (images uint8 (N, C, H, W), labels (N,))."""

    read: Callable[[str, str | None], tuple[np.ndarray, np.ndarray]]
    classes: tuple[str, ...]
    pixel_max: int
    source: str


def names():
    """The names that `load` knows."""
    return tuple(_REGISTRY)


def classes(name):
    """The names of a data set's classes, in the order of its labels, without reading it; raises DataError."""
    return _entry(name).classes


def load(name, split, *, limit=None, root=None):
    """The Dataset `name` ('digits', 'cifar10', 'fashion-mnist'), its 'train' or 'test' split.

    limit: only the first `limit` images. root: the folder that holds cifar-10-batches-bin/ or fashion-mnist/;
    without it the environment variable ADDERHW_DATA names the folder. `digits` needs neither.
    Raises DataError for an unknown name or split, a limit below 1, and files that are missing or malformed.
    """
    entry = _entry(name)
    if split not in SPLITS:
        raise DataError(f"data set {name}, split: found {split!r}, expected one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise DataError(f"data set {name}, limit: found {limit}, expected at least 1")
    images, labels = (np.ascontiguousarray(array[:limit]) for array in entry.read(split, root))
    return Dataset(name, split, images, labels.astype(np.int64), entry.classes, entry.pixel_max, entry.source)


def _entry(name):
    if name not in _REGISTRY:
        raise DataError(f"data set: found {name!r}, expected one of {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


def _read_digits(split, root):
    """The 8×8 digits; of each class, in the order of the file, every fifth sample (5th, 10th, …) is a test sample."""
    with (files("adderhw") / "data" / "digits.npz").open("rb") as file, np.load(file) as arrays:
        images, labels = arrays["images"][:, np.newaxis], arrays["labels"]
    chosen = _is_test_sample(labels) == (split == "test")
    return images[chosen], labels[chosen]


def _is_test_sample(labels):
    """bool (N,): true for each class's 5th, 10th, 15th … sample; the same in every version of every library."""
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return test


def _read_cifar10(split, root):
    """The CIFAR-10 binary version: records of one label byte and 3×32×32 pixel bytes."""
    stems = [f"data_batch_{batch}" for batch in range(1, 6)] if split == "train" else ["test_batch"]
    folder = _root("cifar10", root) / "cifar-10-batches-bin"
    records = np.concatenate([_cifar10_records(folder / f"{stem}.bin") for stem in stems])
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def _cifar10_records(path):
    _require(path, "cifar10: the binary version of CIFAR-10 (cs.toronto.edu/~kriz/cifar.html), unpacked")
    content = np.fromfile(path, np.uint8)
    if content.size == 0 or content.size % CIFAR10_RECORD:
        raise DataError(f"{path}: found {content.size} bytes, expected a positive multiple of {CIFAR10_RECORD}")
    records = content.reshape(-1, CIFAR10_RECORD)
    _require_labels(path, records[:, 0], len(CIFAR10_CLASSES))
    return records


def _read_fashion(split, root):
    """Fashion-MNIST in MNIST's gzipped IDX format."""
    stem = "train" if split == "train" else "t10k"
    folder = _root("fashion-mnist", root) / "fashion-mnist"
    images = _idx(folder / f"{stem}-images-idx3-ubyte.gz", dimensions=3)
    labels = _idx(folder / f"{stem}-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(labels) or images.shape[1:] != (28, 28):
        raise DataError(f"{folder}: found {images.shape} images and {len(labels)} labels, expected N×28×28 and N")
    _require_labels(folder / f"{stem}-labels-idx1-ubyte.gz", labels, len(FASHION_CLASSES))
    return images[:, np.newaxis], labels


def _idx(path, dimensions):
    """uint8 array of one gzipped IDX file: magic 0x0800 + dimensions, big-endian sizes, then the bytes."""
    _require(path, "fashion-mnist: the four IDX files of github.com/zalandoresearch/fashion-mnist")
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: found a damaged gzip file ({error}), expected an IDX file") from error
    header = 4 * (dimensions + 1)
    if len(content) < header or struct.unpack_from(">I", content)[0] != 0x0800 + dimensions:
        raise DataError(f"{path}: found another header, expected IDX bytes of {dimensions} dimension(s)")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    if len(content) - header != np.prod(shape, dtype=object):
        raise DataError(f"{path}: found {len(content) - header} bytes of data, expected {'×'.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _root(name, root):
    """The folder of data sets: the argument, or $ADDERHW_DATA."""
    chosen = root or os.environ.get("ADDERHW_DATA")
    if not chosen:
        raise DataError(f"data set {name}: found no folder, expected ADDERHW_DATA (or root) to name the one it is in")
    return Path(chosen)


def _require(path, what):
    if not path.is_file():
        raise DataError(f"{path}: found no such file, expected {what}")


def _require_labels(path, labels, classes):
    if labels.size and labels.max() >= classes:
        raise DataError(f"{path}: found label {labels.max()}, expected 0 to {classes - 1}")


_REGISTRY = {
    "digits": _Entry(
        _read_digits,
        tuple("0123456789"),
        16,
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998, doi:10.24432/C50P49 (the 1,797 images distributed with scikit-learn), CC BY 4.0",
    ),
    "cifar10": _Entry(
        _read_cifar10,
        CIFAR10_CLASSES,
        255,
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009 (CIFAR-10, no licence stated)",
    ),
    "fashion-mnist": _Entry(
        _read_fashion,
        FASHION_CLASSES,
        255,
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017, MIT licence",
    ),
}
