"""CIFAR-10 and CIFAR-100 as their authors distribute them: the binary version, or the pickles of the python version."""

import io
import pickle
import warnings
from dataclasses import dataclass

import numpy as np

from adderhw.data_files import data_root, require_file, require_labels
from adderhw.errors import DataError

IMAGE = (3, 32, 32)
PIXELS = 3 * 32 * 32
HOME = "cs.toronto.edu/~kriz/cifar.html"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_NAMES.split())


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets. title: its name in full; classes: how many.

    binary, python: the folders of its two versions; train, test: the stems of the files of each split there.
    label_bytes: bytes before the pixels of a binary record, of which the last is the label; labels: the python
    version's key.
    """

    name: str
    title: str
    classes: int
    binary: str
    python: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    suffix: str
    label_bytes: int
    labels: bytes

    def read(self, split, root):
        """(images uint8 (N, 3, 32, 32), labels (N,)) of 'train' or 'test', from the version that lies in `root`."""
        folder = data_root(self.name, root)
        stems = self.train if split == "train" else self.test
        if (folder / self.python).is_dir() and not (folder / self.binary).is_dir():
            parts = [self._pickled(folder / self.python / stem) for stem in stems]
        else:
            parts = [self._records(folder / self.binary / f"{stem}{self.suffix}") for stem in stems]
        images, labels = zip(*parts, strict=True)
        return np.concatenate(images).reshape(-1, *IMAGE), np.concatenate(labels)

    def _records(self, path):
        """One file of the binary version: records of label bytes and 3·32·32 pixel bytes."""
        what = f"{self.name}: the binary version of {self.title} ({HOME}), unpacked, or {self.python}/ beside it"
        require_file(path, what)
        content, size = np.fromfile(path, np.uint8), self.label_bytes + PIXELS
        if content.size == 0 or content.size % size:
            raise DataError(f"{path}: found {content.size} bytes, expected a positive multiple of {size}")
        records = content.reshape(-1, size)
        labels = records[:, self.label_bytes - 1]
        require_labels(path, labels, self.classes)
        return records[:, self.label_bytes :], labels

    def _pickled(self, path):
        """One file of the python version: a dictionary with uint8 (N, 3072) and a list of N labels."""
        require_file(path, f"{self.name}: the python version of {self.title} ({HOME}), unpacked")
        content = unpickle(path)
        if not isinstance(content, dict) or not {b"data", self.labels} <= content.keys():
            raise DataError(f"{path}: found other content, expected a dictionary with data and {self.labels.decode()}")
        images, labels = content[b"data"], content[self.labels]
        if not _is_bytes_matrix(images) or not _are_integers(labels) or len(labels) != len(images):
            raise DataError(f"{path}: found other arrays, expected data uint8 (N, {PIXELS}) and N whole numbers")
        labels = np.array(labels, np.int64)
        require_labels(path, labels, self.classes)
        return images, labels


CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    classes=len(CIFAR10_CLASSES),
    binary="cifar-10-batches-bin",
    python="cifar-10-batches-py",
    train=tuple(f"data_batch_{batch}" for batch in range(1, 6)),
    test=("test_batch",),
    suffix=".bin",
    label_bytes=1,
    labels=b"labels",
)
CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    classes=len(CIFAR100_CLASSES),
    binary="cifar-100-binary",
    python="cifar-100-python",
    train=("train",),
    test=("test",),
    suffix=".bin",
    label_bytes=2,
    labels=b"fine_labels",
)

# What a pickle of plain containers, numbers, strings and NumPy arrays needs; both names of NumPy's module are in use.
SAFE = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _SafeUnpickler(pickle.Unpickler):
    """Builds plain containers and NumPy arrays, and refuses every other name a pickle may ask for."""

    def find_class(self, module, name):
        if (module, name) not in SAFE:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def unpickle(path):
    """What the pickle in a file holds, its Python 2 strings as bytes; nothing but data is built from it.

    Raises DataError for a file that is no pickle, or asks for anything but plain containers and NumPy arrays.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # NumPy's, of types that a damaged pickle spells oddly
            return _SafeUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError, ImportError,
            OSError, OverflowError, MemoryError) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: found {reason}, expected a pickle of plain containers and NumPy arrays") from error


def _is_bytes_matrix(array):
    return isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == PIXELS


def _are_integers(values):
    return isinstance(values, list) and all(type(value) is int and abs(value) < 2**31 for value in values)
