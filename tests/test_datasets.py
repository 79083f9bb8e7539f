"""Data sets: contents, splits, and one-line errors for files that are missing or malformed."""

import gzip
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from adderhw import datasets
from adderhw.errors import DataError

needs_real_data = pytest.mark.skipif("ADDERHW_DATA" not in os.environ, reason="ADDERHW_DATA is not set")


def write_cifar10(root, per_file=2, label=3):
    """A synthetic CIFAR-10 folder whose every pixel of record r of a file is r."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for stem in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        records = b"".join(bytes([label]) + bytes([r]) * 3072 for r in range(per_file))
        (folder / f"{stem}.bin").write_bytes(records)
    return folder


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_fashion(root, images, labels):
    for stem in ("train", "t10k"):
        write_idx(root / "fashion-mnist" / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(root / "fashion-mnist" / f"{stem}-labels-idx1-ubyte.gz", labels)


def test_digits_are_those_of_scikit_learn():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    reference = sklearn_datasets.load_digits()
    train, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    is_test = datasets._is_test_sample(reference.target)
    for split, chosen in ((train, ~is_test), (test, is_test)):
        np.testing.assert_array_equal(split.images[:, 0], reference.images[chosen])
        np.testing.assert_array_equal(split.labels, reference.target[chosen])


def test_digits_have_the_documented_shape_and_types():
    train, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    assert len(train) + len(test) == 1797
    assert train.images.shape == (len(train), 1, 8, 8)
    assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int64)
    assert train.images.max() == train.pixel_max == 16
    assert "CC BY 4.0" in train.source


def test_every_fifth_digit_of_each_class_is_a_test_sample():
    train, test = datasets.load("digits", "train"), datasets.load("digits", "test")
    for label in range(10):
        in_test, in_all = (test.labels == label).sum(), (test.labels == label).sum() + (train.labels == label).sum()
        assert in_test == in_all // 5


def test_limit_takes_the_first_images():
    whole, few = datasets.load("digits", "test"), datasets.load("digits", "test", limit=7)
    assert len(few) == 7
    np.testing.assert_array_equal(few.images, whole.images[:7])


@pytest.mark.parametrize(
    ("name", "split", "limit", "message"),
    [
        ("digit", "test", None, "data set: found 'digit', expected one of digits, cifar10, fashion-mnist"),
        ("digits", "val", None, "data set digits, split: found 'val', expected one of train, test"),
        ("digits", "test", 0, "data set digits, limit: found 0, expected at least 1"),
    ],
)
def test_bad_calls_say_what_was_found_and_expected(name, split, limit, message):
    with pytest.raises(DataError) as error:
        datasets.load(name, split, limit=limit)
    assert str(error.value) == message


def test_names_lists_every_data_set():
    assert datasets.names() == ("digits", "cifar10", "fashion-mnist")


def test_classes_are_known_without_the_files(monkeypatch):
    monkeypatch.delenv("ADDERHW_DATA", raising=False)
    assert datasets.classes("digits") == tuple("0123456789")
    assert datasets.classes("cifar10")[3] == "cat"


def test_cifar10_is_read_from_its_binary_version(tmp_path, monkeypatch):
    write_cifar10(tmp_path)
    train = datasets.load("cifar10", "train", root=tmp_path)
    monkeypatch.setenv("ADDERHW_DATA", str(tmp_path))
    test = datasets.load("cifar10", "test")
    assert (train.images.shape, test.images.shape) == ((10, 3, 32, 32), (2, 3, 32, 32))
    assert train.labels.tolist() == [3] * 10
    assert test.images[1].min() == test.images[1].max() == 1


def test_missing_files_say_what_to_put_where(tmp_path):
    with pytest.raises(DataError, match=r"test_batch\.bin: found no such file, expected cifar10: the binary version"):
        datasets.load("cifar10", "test", root=tmp_path)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: found no such file, expected fashion-mnist"):
        datasets.load("fashion-mnist", "test", root=tmp_path)


def test_without_a_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("ADDERHW_DATA", raising=False)
    with pytest.raises(DataError, match="found no folder, expected ADDERHW_DATA"):
        datasets.load("cifar10", "test")


def test_a_truncated_cifar10_file_is_refused(tmp_path):
    path = write_cifar10(tmp_path) / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="found 6145 bytes, expected a positive multiple of 3073"):
        datasets.load("cifar10", "test", root=tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path):
    write_cifar10(tmp_path, label=10)
    with pytest.raises(DataError, match="found label 10, expected 0 to 9"):
        datasets.load("cifar10", "test", root=tmp_path)


def test_fashion_mnist_is_read_from_idx_files(tmp_path):
    images = np.arange(2 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)
    write_fashion(tmp_path, images, np.array([9, 0], np.uint8))
    test = datasets.load("fashion-mnist", "test", root=tmp_path)
    np.testing.assert_array_equal(test.images[:, 0], images)
    assert test.labels.tolist() == [9, 0]


def test_a_truncated_idx_file_is_refused(tmp_path):
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8)
    write_fashion(tmp_path, images, labels)
    path = tmp_path / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(DataError, match="found 1567 bytes of data, expected 2×28×28"):
        datasets.load("fashion-mnist", "test", root=tmp_path)


def test_a_damaged_gzip_file_is_refused(tmp_path):
    write_fashion(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    path = tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="found a damaged gzip file"):
        datasets.load("fashion-mnist", "test", root=tmp_path)


def test_images_and_labels_must_be_as_many(tmp_path):
    write_fashion(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"found \(2, 28, 28\) images and 3 labels"):
        datasets.load("fashion-mnist", "train", root=tmp_path)


def test_loading_digits_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys; from adderhw import datasets; datasets.load('digits', 'test'); "
        "print(*{'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@needs_real_data
def test_real_cifar10_has_its_official_counts():
    assert len(datasets.load("cifar10", "train")) == 50_000
    assert np.bincount(datasets.load("cifar10", "test").labels).tolist() == [1000] * 10


@needs_real_data
def test_real_fashion_mnist_loads():
    assert datasets.load("fashion-mnist", "test").images.shape[1:] == (1, 28, 28)
