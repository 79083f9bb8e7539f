"""Training images as tensors: preprocessing, the validation split, augmentation, and batches that a seed fixes."""

from dataclasses import dataclass

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
        """uint8 (N, C, H, W) -> float32 (N, C, H, W) in channels-last memory."""
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return ((images.float() - mean) / std).to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Augmentation:
    """Shifts by up to `shift` pixels each way (zero pixels move in), and mirror images where `flip` is true."""

    shift: int
    flip: bool

    def __call__(self, images, generator):
        """uint8 (N, C, H, W) -> the same shape, each image shifted and flipped on its own."""
        batch, _, height, width = images.shape
        padded = functional.pad(images, [self.shift] * 4)
        top, left = torch.randint(2 * self.shift + 1, (2, batch), generator=generator)
        rows = (top[:, None] + torch.arange(height))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width))[:, None, None, :]
        if self.flip:
            mirrored = torch.rand((batch, 1, 1, 1), generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(3), columns)
        channels = torch.arange(images.shape[1])[None, :, None, None]
        return padded[torch.arange(batch)[:, None, None, None], channels, rows, columns]


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
class LabelledImages:
    """images: uint8 tensor (N, C, H, W); labels: int64 tensor (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, chosen):
        return LabelledImages(self.images[chosen], self.labels[chosen])


def load_training(name, *, limit=None, root=None):
    """(training, validation) images: the data set's training split, every tenth image of each class for validation.

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


def epoch_batches(data, batch_size, augmentation, generator):
    """Yields LabelledImages of up to `batch_size` in an order, and with augmentations, drawn from `generator`."""
    for chosen in torch.randperm(len(data), generator=generator).split(batch_size):
        batch = data[chosen]
        yield LabelledImages(augmentation(batch.images, generator), batch.labels)


def _tensors(dataset):
    return LabelledImages(torch.from_numpy(dataset.images), torch.from_numpy(dataset.labels))


def _every_nth_of_class(labels, n):
    """bool (N,): true for each class's n-th, 2n-th, … sample."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[(labels == label).nonzero()[n - 1 :: n, 0]] = True
    return chosen
