"""Training images as tensors: preprocessing, the validation split, augmentation, and batches that a seed fixes."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch.nn import functional

from adderhw import datasets
from adderhw.errors import DataError

VALIDATION_EVERY = 10


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
class Moves:
    """What augmentation does to each of N images: int64 (N,) offsets from the top and left, bool (N,) mirrored or not.

    Offsets count from the image padded on all sides: the padding's width leaves the image where it was.
    """

    top: torch.Tensor
    left: torch.Tensor
    mirrored: torch.Tensor

    def __getitem__(self, chosen):
        return Moves(self.top[chosen], self.left[chosen], self.mirrored[chosen])

    def to(self, device):
        return Moves(self.top.to(device), self.left.to(device), self.mirrored.to(device))

    @staticmethod
    def joined(parts):
        """The moves of all parts' images, in order."""
        return Moves(*(torch.cat([getattr(each, name) for each in parts]) for name in ("top", "left", "mirrored")))


@dataclass(frozen=True)
class Augmentation:
    """Shifts by up to `shift` pixels each way (zero pixels move in), and mirror images where `flip` is true."""

    shift: int
    flip: bool

    def draw(self, count, generator):
        """The Moves of `count` images, drawn from a generator of the CPU."""
        top, left = torch.randint(2 * self.shift + 1, (2, count), generator=generator)
        if not self.flip:
            return Moves(top, left, torch.zeros(count, dtype=torch.bool))
        return Moves(top, left, torch.rand((count, 1, 1, 1), generator=generator).flatten() < 0.5)

    def __call__(self, images, moves):
        """uint8 (N, C, H, W) and the Moves of N images on the same device -> the same shape."""
        batch, channels, height, width = images.shape
        count = partial(torch.arange, device=images.device)
        padded = functional.pad(images, [self.shift] * 4)
        rows = (moves.top[:, None] + count(height))[:, None, :, None]
        columns = moves.left[:, None] + count(width)
        columns = torch.where(moves.mirrored[:, None], columns.flip(1), columns)[:, None, None, :]
        return padded[count(batch)[:, None, None, None], count(channels)[:, None, None], rows, columns]


# CIFAR-10: He 2016's 4-pixel crop and flip. The means and deviations are those of the training pixels.
PREPROCESS = {
    "digits": Preprocess((0.0,), (16.0,)),
    "cifar10": Preprocess((125.31, 122.95, 113.87), (62.99, 62.09, 66.70)),
    "fashion-mnist": Preprocess((72.94,), (90.02,)),
}
AUGMENTATION = {
    "digits": Augmentation(shift=1, flip=False),
    "cifar10": Augmentation(shift=4, flip=True),
    "fashion-mnist": Augmentation(shift=2, flip=True),
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
    """Images of the data set `name`. images: uint8 tensor (N, C, H, W); labels: int64 tensor (N,)."""

    name: str
    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, chosen):
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    @property
    def classes(self):
        """How many classes the data set has."""
        return len(datasets.classes(self.name))

    @property
    def input_shape(self):
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    @property
    def preprocess(self):
        """The data set's Preprocess."""
        return PREPROCESS[self.name]

    def to(self, device):
        """The same images in the memory of `device`, where batches are then made."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def epoch_batches(self, batch_size, *, seed, epoch, start=0, rank=0, world=1):
        """Yields the epoch's Batches from number `start` on, augmented; each holds process `rank`'s share of `world`.

        The order and every image's augmentation are drawn from (seed, epoch) on the CPU: they depend neither on the
        device, nor on where an interrupted epoch goes on, nor on the number of processes.
        """
        order, moves = self._drawn(batch_size, seed, epoch)
        for whole in _slices(len(self), batch_size)[start:]:
            part = _share(whole, rank, world)
            images = AUGMENTATION[self.name](self.images[order[part]], moves[part])
            yield Batch(self.preprocess(images), self.labels[order[part]], whole.stop - whole.start)

    def batches_in_order(self, batch_size, *, rank=0, world=1):
        """Yields all images as Batches, as they are; each holds process `rank`'s share of `world`."""
        for whole in _slices(len(self), batch_size):
            part = _share(whole, rank, world)
            yield Batch(self.preprocess(self.images[part]), self.labels[part], whole.stop - whole.start)

    def _drawn(self, batch_size, seed, epoch):
        """(order int64 (N,), Moves) of one epoch, on the images' device."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order, augmentation = torch.randperm(len(self), generator=generator), AUGMENTATION[self.name]
        batches = _slices(len(self), batch_size)
        moves = Moves.joined([augmentation.draw(batch.stop - batch.start, generator) for batch in batches])
        return order.to(self.images.device), moves.to(self.images.device)


def load_training(name, *, limit=None, root=None):
    """(training, validation) LabelledImages: the training split, every tenth image of each class for validation.

    limit: only the first `limit` images of the training split. Raises DataError for a data set without
    preprocessing, and for a limit that leaves a part empty.
    """
    if name not in PREPROCESS:
        raise DataError(f"data set: found {name!r}, expected one of {', '.join(PREPROCESS)}")
    whole = _tensors(datasets.load(name, "train", limit=limit, root=root))
    validation = _every_nth_of_class(whole.labels, VALIDATION_EVERY)
    if not validation.any():
        raise DataError(
            f"data set {name}: found {len(whole)} training images, expected {VALIDATION_EVERY} or more of a class"
        )
    return whole[~validation], whole[validation]


def load_test(name, *, root=None):
    """The test images; they are for the figure at the end of a run, never for a choice."""
    return _tensors(datasets.load(name, "test", root=root))


def _tensors(dataset):
    return LabelledImages(dataset.name, torch.from_numpy(dataset.images), torch.from_numpy(dataset.labels))


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
