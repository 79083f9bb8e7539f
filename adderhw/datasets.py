"""Image data sets as integer arrays: the digits that ship here, and those that lie in a folder of yours."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from adderhw import idx, image_folder
from adderhw.cifar import CIFAR10, CIFAR10_CLASSES, CIFAR100, CIFAR100_CLASSES
from adderhw.errors import DataError

SPLITS = ("train", "test")
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
    """How one data set is read: read(split, root) -> (images uint8 (N, C, H, W), labels (N,)).

    An image folder has neither `read` nor `classes`: its files are found, and decoded one by one.
    """

    read: Callable[[str, str | None], tuple[np.ndarray, np.ndarray]] | None
    classes: tuple[str, ...] | None
    pixel_max: int
    source: str


def names():
    """The names that `load` knows."""
    return tuple(_REGISTRY)


def load(name, split, *, limit=None, root=None):
    """The Dataset `name`, one of `names()`, its 'train' or 'test' split.

    limit: only the first `limit` images. root: the folder of data sets; without it the environment variable
    ADDERHW_DATA names the folder. In it lie cifar-10-batches-bin/ or cifar-10-batches-py/, cifar-100-binary/ or
    cifar-100-python/, mnist/, fashion-mnist/, imagenet/train/ and imagenet/val/. `digits` needs neither.
    The images of 'imagenet' are the middle 224×224 of a shorter side of 256; all of them do not fit most memories.
    Raises DataError for an unknown name or split, a limit below 1, and files that are missing or malformed.
    """
    entry = _checked(name, split, limit)
    if entry.read is None:
        found = find_folder(name, split, limit=limit, root=root)
        images, labels = np.asarray(image_folder.Images(found.paths)), found.labels
        classes = found.classes
    else:
        classes = entry.classes
        images, labels = (np.ascontiguousarray(array[:limit]) for array in entry.read(split, root))
    return Dataset(name, split, images, labels.astype(np.int64), classes, entry.pixel_max, entry.source)


def is_folder(name):
    """Whether a data set is image files, to be decoded one by one; raises DataError for an unknown name."""
    return _entry(name).read is None


def find_folder(name, split, *, limit=None, root=None):
    """The adderhw.image_folder.ImageFolder of such a data set, undecoded; arguments and errors are those of `load`."""
    _checked(name, split, limit)
    return image_folder.find(name, split, root).first(limit)


def _checked(name, split, limit):
    entry = _entry(name)
    if split not in SPLITS:
        raise DataError(f"data set {name}, split: found {split!r}, expected one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise DataError(f"data set {name}, limit: found {limit}, expected at least 1")
    return entry


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


_REGISTRY = {
    "digits": _Entry(
        _read_digits,
        tuple("0123456789"),
        16,
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998, doi:10.24432/C50P49 (the 1,797 images distributed with scikit-learn), CC BY 4.0",
    ),
    "cifar10": _Entry(
        CIFAR10.read,
        CIFAR10_CLASSES,
        255,
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009 (CIFAR-10, no licence stated)",
    ),
    "cifar100": _Entry(
        CIFAR100.read,
        CIFAR100_CLASSES,
        255,
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009 (CIFAR-100, no licence stated)",
    ),
    "mnist": _Entry(
        idx.reader("mnist"),
        tuple("0123456789"),
        255,
        "Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST Database of Handwritten Digits (no licence stated)",
    ),
    "fashion-mnist": _Entry(
        idx.reader("fashion-mnist"),
        FASHION_CLASSES,
        255,
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017, MIT licence",
    ),
    "imagenet": _Entry(
        None,
        None,
        255,
        "O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015 (for non-commercial "
        "research, at image-net.org)",
    ),
}
