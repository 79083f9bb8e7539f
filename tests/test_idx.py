"""IDX files: what is in them is what is read, gzipped or not, and damaged ones are refused in one line."""

import gzip
import struct

import numpy as np
import pytest

from adderhw import datasets
from adderhw.errors import DataError


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_fashion(root, images, labels):
    for stem in ("train", "t10k"):
        write_idx(root / "fashion-mnist" / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(root / "fashion-mnist" / f"{stem}-labels-idx1-ubyte.gz", labels)


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


def test_mnist_is_read_from_its_own_folder_and_files_may_lie_unpacked(tmp_path):
    images, labels = np.full((2, 28, 28), 7, np.uint8), np.array([4, 1], np.uint8)
    write_fashion(tmp_path, images, labels)
    (tmp_path / "fashion-mnist").rename(tmp_path / "mnist")
    for path in list((tmp_path / "mnist").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    train = datasets.load("mnist", "train", root=tmp_path)
    assert train.images.shape == (2, 1, 28, 28)
    assert train.labels.tolist() == [4, 1]
