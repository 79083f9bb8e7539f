"""CIFAR-10 and CIFAR-100: both versions of each give the same arrays, and bad files one line."""

import pickle

import numpy as np
import pytest

from adderhw import datasets
from adderhw.cifar import CIFAR10, CIFAR100, unpickle
from adderhw.errors import DataError


def write_cifar10(root, per_file=2, label=3):
    """A synthetic CIFAR-10 folder whose every pixel of record r of a file is r."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for stem in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        records = b"".join(bytes([label]) + bytes([r]) * 3072 for r in range(per_file))
        (folder / f"{stem}.bin").write_bytes(records)
    return folder


def write_cifar100(root, images, labels):
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    for stem in ("train", "test"):
        records = [bytes([7, label]) + image.tobytes() for image, label in zip(images, labels, strict=True)]
        (folder / f"{stem}.bin").write_bytes(b"".join(records))


def write_pickles(root, cifar, images, labels, **changes):
    """The python version of a data set, every file with the same images."""
    folder = root / cifar.python
    folder.mkdir(parents=True, exist_ok=True)
    content = {b"data": images.reshape(len(images), -1), cifar.labels: list(labels), b"batch_label": b"a batch"}
    for stem in (*cifar.train, *cifar.test):
        (folder / stem).write_bytes(pickle.dumps({**content, **changes}, protocol=2))


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), np.uint8)


def test_cifar10_is_read_from_its_binary_version(tmp_path, monkeypatch):
    write_cifar10(tmp_path)
    train = datasets.load("cifar10", "train", root=tmp_path)
    monkeypatch.setenv("ADDERHW_DATA", str(tmp_path))
    test = datasets.load("cifar10", "test")
    assert (train.images.shape, test.images.shape) == ((10, 3, 32, 32), (2, 3, 32, 32))
    assert train.labels.tolist() == [3] * 10
    assert test.images[1].min() == test.images[1].max() == 1


def test_a_truncated_cifar10_file_is_refused(tmp_path):
    path = write_cifar10(tmp_path) / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="found 6145 bytes, expected a positive multiple of 3073"):
        datasets.load("cifar10", "test", root=tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path):
    write_cifar10(tmp_path, label=10)
    with pytest.raises(DataError, match="found label 10, expected 0 to 9"):
        datasets.load("cifar10", "test", root=tmp_path)


@pytest.mark.parametrize("cifar", [CIFAR10, CIFAR100])
def test_both_versions_give_the_same_arrays(cifar, tmp_path):
    pixels, labels = images(4), [3, 9, 0, 5]
    write_pickles(tmp_path / "python", cifar, pixels, labels)
    if cifar is CIFAR100:
        write_cifar100(tmp_path / "binary", pixels, labels)
    else:
        folder = write_cifar10(tmp_path / "binary")
        records = b"".join(bytes([label]) + image.tobytes() for image, label in zip(pixels, labels, strict=True))
        for path in folder.iterdir():
            path.write_bytes(records)
    for split in datasets.SPLITS:
        found = [datasets.load(cifar.name, split, root=tmp_path / version) for version in ("binary", "python")]
        assert len(found[0]) == 4 * len(cifar.train if split == "train" else cifar.test)
        np.testing.assert_array_equal(found[0].images[:4], pixels)
        np.testing.assert_array_equal(found[0].images, found[1].images)
        np.testing.assert_array_equal(found[0].labels, found[1].labels)
        assert (found[1].images.dtype, found[1].labels.dtype) == (np.uint8, np.int64)


def test_cifar100_takes_the_fine_label_of_a_binary_record(tmp_path):
    write_cifar100(tmp_path, images(2), [99, 42])
    dataset = datasets.load("cifar100", "train", root=tmp_path)
    assert dataset.labels.tolist() == [99, 42]
    assert [dataset.classes[label] for label in dataset.labels] == ["worm", "leopard"]
    assert len(dataset.classes) == len(set(dataset.classes)) == 100


def test_a_truncated_cifar100_file_is_refused(tmp_path):
    write_cifar100(tmp_path, images(2), [1, 2])
    path = tmp_path / "cifar-100-binary" / "train.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train\.bin: found 6147 bytes, expected a positive multiple of 3074"):
        datasets.load("cifar100", "train", root=tmp_path)


class Ordered:
    """Stands for an order that a pickle may carry: write to a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_asks_for_more_than_data_is_refused_and_nothing_is_done(tmp_path):
    write_pickles(tmp_path, CIFAR10, images(1), [1], **{"batch_label": Ordered(tmp_path / "done")})
    with pytest.raises(
        DataError, match=r"test_batch: found \w+\.open, expected a pickle of plain containers and NumPy"
    ):
        datasets.load("cifar10", "test", root=tmp_path)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no pickle", pickle.dumps(list(range(100)), protocol=2)[:-9], b"cos\nsystem\n."]
)
def test_a_file_that_is_no_pickle_is_refused(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=r"file: found .+, expected a pickle of plain containers and NumPy arrays"):
        unpickle(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({b"labels": [1, 10]}, "found label 10, expected 0 to 9"),
        ({b"labels": [1, -1]}, "found label -1, expected 0 to 9"),
        ({b"labels": [1]}, "found other arrays, expected data uint8"),
        ({b"labels": [1, 2.5]}, "found other arrays"),
        ({b"data": np.zeros((2, 3072), np.int32)}, "found other arrays"),
        ({b"data": np.zeros((2, 3071), np.uint8)}, "found other arrays"),
        ({b"data": b"bytes"}, "found other arrays"),
    ],
)
def test_pickles_with_other_arrays_are_refused(changes, message, tmp_path):
    write_pickles(tmp_path, CIFAR10, images(2), [1, 2])
    content = pickle.loads((tmp_path / CIFAR10.python / "test_batch").read_bytes())
    (tmp_path / CIFAR10.python / "test_batch").write_bytes(pickle.dumps({**content, **changes}, protocol=2))
    with pytest.raises(DataError, match=message):
        datasets.load("cifar10", "test", root=tmp_path)


def test_a_pickle_of_something_else_is_refused(tmp_path):
    write_pickles(tmp_path, CIFAR10, images(2), [1, 2])
    (tmp_path / CIFAR10.python / "test_batch").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="found other content, expected a dictionary with data and labels"):
        datasets.load("cifar10", "test", root=tmp_path)
