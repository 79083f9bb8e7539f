"""Training images as tensors: preprocessing, the validation split, augmentation, and batches that a seed fixes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt

import numpy as np
import torch
from torch.nn import functional

from adderhw import datasets, image_folder
from adderhw.errors import DataError, ModelError

VALIDATION_EVERY = 10
SPLITS = ("test", "validation", "training")


@dataclass(frozen=True)
class Preprocess:
    """x = (pixel − mean) / std per channel, in units of pixels."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images):
        """uint8 (N, C, H, W) -> float32 (N, C, H, W) in channels-last memory, on the same device."""
        mean, std = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return ((images.float() - mean) / std).to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Augmentation:
    """Shifts by up to `shift` pixels each way (zero pixels move in), and mirror images where `flip` is true."""

    shift: int
    flip: bool

    def draw(self, count, generator):
        """int64 (count, 3) from a CPU's generator: offsets from top and left of the padded image, mirrored or not."""
        top, left = torch.randint(2 * self.shift + 1, (2, count), generator=generator)
        mirrored = torch.zeros(count, dtype=torch.bool)
        if self.flip:
            mirrored = torch.rand((count, 1, 1, 1), generator=generator).flatten() < 0.5
        return torch.stack([top, left, mirrored], 1)

    def __call__(self, images, draws):
        """uint8 (N, C, H, W) and what `draw` gave for N images, on one device -> the same shape."""
        batch, channels, height, width = images.shape
        count = partial(torch.arange, device=images.device)
        top, left, mirrored = draws.T[:, :, None]
        padded = functional.pad(images, [self.shift] * 4)
        rows, columns = top + count(height), left + count(width)
        columns = torch.where(mirrored > 0, columns.flip(1), columns)
        places = (count(batch)[:, None, None, None], count(channels)[:, None, None])
        return padded[*places, rows[:, None, :, None], columns[:, None, None, :]]


@dataclass(frozen=True)
class RandomCrop:
    """Parts of 8 to 100 % of an image file's area, of 3:4 to 4:3, anywhere, scaled to 224×224; half are mirrored."""

    def draw(self, count, generator):
        """float64 (count, 5) in [0, 1): area, shape, place across, place down, mirrored."""
        return torch.rand((count, 5), generator=generator, dtype=torch.float64)

    def __call__(self, images, draws):
        """ImageFiles and what `draw` gave for N of them -> uint8 (N, 3, 224, 224) on the files' device."""
        return images.decoded(draws.tolist())


def crop_box(size, area, shape, across, down):
    """(left, top, right, bottom) of the part that numbers in [0, 1) choose of an image of (width, height) pixels.

    Sides longer than the image's are cut to them.
    """
    width, height = size
    pixels = width * height * (0.08 + 0.92 * area)
    ratio = (3 / 4) * (16 / 9) ** shape
    wide, high = min(width, sqrt(pixels * ratio)), min(height, sqrt(pixels / ratio))
    left, top = across * (width - wide), down * (height - high)
    return left, top, left + wide, top + high


class ImageFiles:
    """Image files that are decoded where they are needed; selecting and moving them works as with a tensor.

    paths: of N files. device: where decoded images go. shape: (N, 3, 224, 224).
    """

    def __init__(self, paths, device="cpu"):
        self.paths, self.device = np.asarray(paths, dtype=object), torch.device(device)
        self.shape = (len(self.paths), 3, image_folder.SIDE, image_folder.SIDE)

    def __getitem__(self, chosen):
        return ImageFiles(self.paths[chosen.cpu().numpy() if isinstance(chosen, torch.Tensor) else chosen], self.device)

    def to(self, device):
        """The same files, to be decoded for `device`."""
        return ImageFiles(self.paths, device)

    def decoded(self, draws=None):
        """uint8 (N, 3, 224, 224) on the device: the middle of each image, or the part that RandomCrop's `draws` say."""
        options = None if draws is None else map(_cropped, draws)
        return torch.from_numpy(image_folder.decode_all(self.paths, options)).to(self.device)


# Means and deviations are those of the training pixels: of cifar10 and fashion-mnist measured, of cifar100, mnist and
# imagenet the figures in common use. CIFAR: He 2016's 4-pixel crop and flip.
PREPROCESS = {
    "digits": Preprocess((0.0,), (16.0,)),
    "cifar10": Preprocess((125.31, 122.95, 113.87), (62.99, 62.09, 66.70)),
    "cifar100": Preprocess((129.30, 124.07, 112.43), (68.17, 65.39, 70.42)),
    "mnist": Preprocess((33.32,), (78.57,)),
    "fashion-mnist": Preprocess((72.94,), (90.02,)),
    "imagenet": Preprocess((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
AUGMENTATION = {
    "digits": Augmentation(shift=1, flip=False),
    "cifar10": Augmentation(shift=4, flip=True),
    "cifar100": Augmentation(shift=4, flip=True),
    "mnist": Augmentation(shift=2, flip=False),
    "fashion-mnist": Augmentation(shift=2, flip=True),
    "imagenet": RandomCrop(),
}


@dataclass(frozen=True)
class Batch:
    """This process's share of one batch: images float32 (N, C, H, W) channels-last, labels int64 (N,).

    total: how many images the batch has over all processes; N is its share, which may be 0.
    """

    images: torch.Tensor
    labels: torch.Tensor
    total: int

    def __len__(self):
        return len(self.labels)


@dataclass(frozen=True)
class LabelledImages:
    """Images of the data set `name`, which has so many `classes`, and the Preprocess that batches go through.

    images: uint8 tensor (N, C, H, W), or ImageFiles; labels: int64 tensor (N,).
    """

    name: str
    images: torch.Tensor | ImageFiles
    labels: torch.Tensor
    classes: int
    preprocess: Preprocess

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, chosen):
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    @property
    def input_shape(self):
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    def to(self, device):
        """The same images in the memory of `device`, where batches are then made."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def epoch_batches(self, batch_size, *, seed, epoch, start=0, rank=0, world=1):
        """Yields the epoch's Batches from number `start` on, augmented; each holds process `rank`'s share of `world`.

        The order and every image's augmentation are drawn from (seed, epoch) on the CPU: they depend neither on the
        device, nor on where an interrupted epoch goes on, nor on the number of processes.
        """
        order, draws = self._drawn(batch_size, seed, epoch)

        def batch(whole):
            part = _share(whole, rank, world)
            images = AUGMENTATION[self.name](self.images[order[part]], draws[part])
            return Batch(self.preprocess(images), self.labels[order[part]], whole.stop - whole.start)

        return self._made(batch, _slices(len(self), batch_size)[start:])

    def batches_in_order(self, batch_size, *, rank=0, world=1):
        """Yields all images as Batches, as they are; each holds process `rank`'s share of `world`."""

        def batch(whole):
            part = _share(whole, rank, world)
            images = self.images[part]
            pixels = images.decoded() if isinstance(images, ImageFiles) else images
            return Batch(self.preprocess(pixels), self.labels[part], whole.stop - whole.start)

        return self._made(batch, _slices(len(self), batch_size))

    def _made(self, batch, slices):
        """Yields batch(slice) of each; of image files the next one is decoded while one is in use."""
        if not isinstance(self.images, ImageFiles):
            yield from map(batch, slices)
            return
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(batch, whole) for whole in slices[:1]]
            for whole in slices[1:]:
                done, coming = coming, [ahead.submit(batch, whole)]
                yield done[0].result()
            yield from (each.result() for each in coming)

    def _drawn(self, batch_size, seed, epoch):
        """(order int64 (N,), draws (N, k)) of one epoch, on the images' device."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order, draw = torch.randperm(len(self), generator=generator), AUGMENTATION[self.name].draw
        draws = [draw(batch.stop - batch.start, generator) for batch in _slices(len(self), batch_size)]
        return order.to(self.labels.device), torch.cat(draws).to(self.labels.device)


def load_training(name, *, limit=None, root=None):
    """(training, validation) LabelledImages: the training split, every tenth image of each class for validation.

    limit: only the first `limit` images of the training split. Raises DataError for what adderhw.datasets.load
    refuses, and for a limit that leaves a part empty.
    """
    whole = _load(name, "train", limit, root)
    validation = _every_nth_of_class(whole.labels, VALIDATION_EVERY)
    if not validation.any():
        raise DataError(
            f"data set {name}: found {len(whole)} training images, expected {VALIDATION_EVERY} or more of a class"
        )
    return whole[~validation], whole[validation]


def load_test(name, *, root=None):
    """The test images; they are for the figure at the end of a run, never for a choice."""
    return _load(name, "test", None, root)


def load_images(metadata, path, split, root, limit=None):
    """The LabelledImages of a data set that a checkpoint was trained on, with its Preprocess.

    split: 'test', 'validation' or 'training', which are the training images less those for validation. limit: None
    takes them from all training images, a number from the first so many, as a run of that limit does. metadata: what
    checkpoint.load_network gave for the file `path`. Raises DataError for another split, a limit of test images and
    for what loading refuses, ModelError for a checkpoint that does not fit its data set.
    """
    if split not in SPLITS:
        raise DataError(f"split: found {split!r}, expected one of {', '.join(SPLITS)}")
    if split == "test" and limit is not None:
        raise DataError(f"limit: found {limit} with split test, expected split training or validation")
    found, network, name = metadata["preprocess"], metadata["network"], metadata["preprocess"]["dataset"]
    try:
        preprocess = Preprocess(tuple(map(float, found["mean"])), tuple(map(float, found["std"])))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: found preprocess {found}, expected dataset, mean and std") from error
    if split == "test":
        data = load_test(name, root=root)
    else:
        data = load_training(name, limit=limit, root=root)[split == "validation"]
    if data.input_shape != tuple(metadata["input_shape"]) or data.classes != network["classes"]:
        sizes = f"a network for {metadata['input_shape']} and {network['classes']} classes"
        raise ModelError(f"{path}: found {sizes}, expected {list(data.input_shape)} and {data.classes} as {name} has")
    return replace(data, preprocess=preprocess)


def _load(name, split, limit, root):
    if datasets.is_folder(name):
        found = datasets.find_folder(name, split, limit=limit, root=root)
        images = ImageFiles(found.paths)
    else:
        found = datasets.load(name, split, limit=limit, root=root)
        images = torch.from_numpy(found.images)
    return LabelledImages(name, images, torch.from_numpy(found.labels), len(found.classes), PREPROCESS[name])


def _cropped(draw):
    """image_folder.decode's arguments for one image's draw of RandomCrop."""
    *chosen, mirrored = draw
    return {"box": lambda size: crop_box(size, *chosen), "mirrored": mirrored < 0.5}


def _every_nth_of_class(labels, n):
    """bool (N,): true for each class's n-th, 2n-th, … sample."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[(labels == label).nonzero()[n - 1 :: n, 0]] = True
    return chosen


def _slices(count, size):
    """`count` things in runs of `size`, the last one shorter where they do not divide."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _share(whole, rank, world):
    """Process `rank`'s part of a slice: `world` parts that differ by one at most, the first ones longer."""
    least, more = divmod(whole.stop - whole.start, world)
    first = whole.start + rank * least + min(rank, more)
    return slice(first, first + least + (rank < more))
