"""MNIST's IDX format, which Fashion-MNIST shares: big-endian sizes, then bytes, gzipped or not."""

import gzip
import io
import struct
import zlib
from math import prod

import numpy as np

from adderhw.data_files import data_root, require_file, require_labels
from adderhw.errors import DataError

LARGEST = 1 << 28
"""Bytes that a gzipped file may unpack to, more than five times the largest of MNIST."""
HOMES = {"mnist": "MNIST (yann.lecun.com/exdb/mnist)", "fashion-mnist": "github.com/zalandoresearch/fashion-mnist"}


def reader(name):
    """read(split, root) of 'mnist' or 'fashion-mnist', whose four files lie in root/`name`."""

    def read(split, root):
        """(images uint8 (N, 1, 28, 28), labels (N,)) of 'train' or 'test'."""
        folder, stem = data_root(name, root) / name, "train" if split == "train" else "t10k"
        what = f"{name}: the four IDX files of {HOMES[name]}"
        images = read_array(_either(folder / f"{stem}-images-idx3-ubyte"), 3, what)
        path = _either(folder / f"{stem}-labels-idx1-ubyte")
        labels = read_array(path, 1, what)
        if len(images) != len(labels) or images.shape[1:] != (28, 28):
            raise DataError(f"{folder}: found {images.shape} images and {len(labels)} labels, expected N×28×28 and N")
        require_labels(path, labels, 10)
        return images[:, np.newaxis], labels

    return read


def read_array(path, dimensions, what):
    """The uint8 array of one IDX file, gzipped if it is named .gz: magic 0x0800 + dimensions, sizes, bytes."""
    require_file(path, what)
    content = _content(path)
    header = 4 * (dimensions + 1)
    if len(content) < header or struct.unpack_from(">I", content)[0] != 0x0800 + dimensions:
        raise DataError(f"{path}: found another header, expected IDX bytes of {dimensions} dimension(s)")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    if len(content) - header != prod(shape):
        raise DataError(f"{path}: found {len(content) - header} bytes of data, expected {'×'.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path):
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(io.BytesIO(path.read_bytes())) as file:
            content = file.read(LARGEST + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: found a damaged gzip file ({error}), expected an IDX file") from error
    if len(content) > LARGEST:
        raise DataError(f"{path}: found more than {LARGEST >> 20} MiB when unpacked, expected an IDX file of images")
    return content


def _either(path):
    """The file as it is where it lies unpacked, else its gzipped form."""
    return path if path.is_file() else path.with_name(f"{path.name}.gz")
