"""ImageNet, or any data set of image files in a folder for each class; needs Pillow, which decodes them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np

from adderhw.data_files import data_root
from adderhw.errors import DataError

SUFFIXES = (".jpeg", ".jpg", ".png")
FORMATS = ("JPEG", "PNG")  # whatever a file's name is, Pillow tries no other: some of its decoders start programs
SPLITS = {"train": "train", "test": "val"}
SIDE, SHORT_SIDE = 224, 256


@dataclass(frozen=True)
class ImageFolder:
    """The image files of one split. paths: in order; labels: int64 (N,), indices into `classes`, the folders' names.

    The order takes one image of each class in turn, so that the first N are of all classes.
    """

    paths: tuple
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self):
        return len(self.paths)

    def first(self, count):
        """The first `count` images, or all if None."""
        return ImageFolder(self.paths[:count], self.labels[:count], self.classes)


class Images:
    """Image files as an array uint8 (N, 3, 224, 224) that is decoded only where np.asarray asks for it.

    images[index] takes what an index along the first axis of an array takes, and decodes nothing.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, paths):
        self.paths = np.array(paths, object)

    @property
    def shape(self):
        return len(self.paths), 3, SIDE, SIDE

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return Images(self.paths[index])

    def __array__(self, dtype=None, copy=None):
        """The images as decode_all gives them."""
        images = decode_all(self.paths)
        return images if dtype is None else images.astype(dtype, copy=False)


def find(name, split, root):
    """The ImageFolder of 'train' or 'test' in root/`name`/train/CLASS/… or root/`name`/val/CLASS/….

    Raises DataError where there is no such folder, or a class without an image.
    """
    folder = data_root(name, root) / name / SPLITS[split]
    if not folder.is_dir():
        raise DataError(f"{folder}: found no such folder, expected {name}: a folder for each class, of images in it")
    files = {each.name: _images(each) for each in sorted(folder.iterdir()) if each.is_dir()}
    empty = [each for each, images in files.items() if not images]
    if empty or not files:
        where = f"{folder / empty[0]}: found no image" if empty else f"{folder}: found no folder"
        raise DataError(f"{where}, expected a folder for each class, of {', '.join(SUFFIXES)} files")
    turns = zip_longest(*([(path, label) for path in images] for label, images in enumerate(files.values())))
    paths, labels = zip(*(each for each in chain(*turns) if each), strict=True)
    return ImageFolder(paths, np.array(labels, np.int64), tuple(files))


def decode(path, box=None, mirrored=False):
    """uint8 (3, 224, 224): the part of an image that `box` says, scaled; by default what test images are reduced to.

    box: size -> (left, top, right, bottom) in pixels, given the file's (width, height). The default is the middle
    224×224 of the image scaled to a shorter side of 256. Scaling is bilinear, with antialiasing.
    Raises DataError for a file that cannot be decoded, or without Pillow.
    """
    module = _pillow()
    try:
        with module.open(path, formats=FORMATS) as file:
            image = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, module.DecompressionBombError) as error:
        raise DataError(f"{path}: found no readable image ({error}), expected a JPEG or PNG file") from error
    part = (box or middle)(image.size)
    pixels = np.asarray(image.resize((SIDE, SIDE), module.Resampling.BILINEAR, part))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[..., :: -1 if mirrored else 1])


def decode_all(paths, options=None):
    """uint8 (N, 3, 224, 224): the files decoded by several threads.

    options: for each path what `decode` is told besides it. Raises DataError as `decode`.
    """
    images = np.empty((len(paths), 3, SIDE, SIDE), np.uint8)
    options = [{}] * len(paths) if options is None else options
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda path, told: decode(path, **told), paths, options)
        for image, pixels in zip(images, decoded, strict=True):
            image[:] = pixels
    return images


def middle(size):
    """The box of the middle square of an image, of 224/256 of its shorter side."""
    width, height = size
    side = min(size) * SIDE / SHORT_SIDE
    return ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def _images(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _pillow():
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("image folders: found no Pillow, expected it installed: pip install adderhw[images]") from error
    return Image
