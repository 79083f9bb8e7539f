"""Data sets: contents, splits, and one-line errors for files that are missing or malformed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from adderhw import datasets
from adderhw.errors import DataError

needs_real_data = pytest.mark.skipif("ADDERHW_DATA" not in os.environ, reason="ADDERHW_DATA is not set")


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
        (
            "digit",
            "test",
            None,
            "data set: found 'digit', expected one of digits, cifar10, cifar100, mnist, fashion-mnist, imagenet",
        ),
        ("digits", "val", None, "data set digits, split: found 'val', expected one of train, test"),
        ("digits", "test", 0, "data set digits, limit: found 0, expected at least 1"),
    ],
)
def test_bad_calls_say_what_was_found_and_expected(name, split, limit, message):
    with pytest.raises(DataError) as error:
        datasets.load(name, split, limit=limit)
    assert str(error.value) == message


def test_names_lists_every_data_set():
    assert datasets.names() == ("digits", "cifar10", "cifar100", "mnist", "fashion-mnist", "imagenet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "cifar10",
            r"cifar-10-batches-bin/test_batch\.bin: found no such file, expected cifar10: the binary version of "
            r"CIFAR-10 \(cs\.toronto\.edu/~kriz/cifar\.html\), unpacked, or cifar-10-batches-py/ beside it",
        ),
        (
            "cifar100",
            r"cifar-100-binary/test\.bin: found no such file, expected cifar100: the binary version of CIFAR-100",
        ),
        ("mnist", r"mnist/t10k-images-idx3-ubyte\.gz: found no such file, expected mnist: the four IDX files of MNIST"),
        (
            "fashion-mnist",
            r"t10k-images-idx3-ubyte\.gz: found no such file, expected fashion-mnist: the four IDX files",
        ),
        (
            "imagenet",
            r"imagenet/val: found no such folder, expected imagenet: a folder for each class, of images in it",
        ),
    ],
)
def test_missing_files_say_what_to_put_where(name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        datasets.load(name, "test", root=tmp_path)


def test_without_a_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("ADDERHW_DATA", raising=False)
    with pytest.raises(DataError, match="found no folder, expected ADDERHW_DATA"):
        datasets.load("cifar10", "test")


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
