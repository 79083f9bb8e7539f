"""Training images: preprocessing, the validation split, and augmentation drawn from a generator."""

import pytest
import torch

from adderhw.errors import DataError
from training import data


def images(count, channels=1, side=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 17, (count, channels, side, side), generator=generator).to(torch.uint8)


def test_preprocessing_subtracts_and_divides_in_units_of_pixels():
    pixels = images(2, channels=2)
    x = data.Preprocess((1.0, 2.0), (4.0, 8.0))(pixels)
    torch.testing.assert_close(x[:, 1], (pixels[:, 1].float() - 2) / 8)


def test_validation_is_every_tenth_training_image_of_each_class():
    training, validation = data.load_training("digits")
    for label in range(10):
        held_out, kept = int((validation.labels == label).sum()), int((training.labels == label).sum())
        assert held_out == (held_out + kept) // 10


def test_training_and_validation_images_are_not_test_images():
    training, validation = data.load_training("digits")
    seen = {image.numpy().tobytes() for part in (training, validation) for image in part.images}
    assert not seen & {image.numpy().tobytes() for image in data.load_test("digits").images}


def test_a_limit_that_leaves_no_validation_image_is_refused():
    with pytest.raises(DataError, match="found 20 training images, expected 10 or more of a class"):
        data.load_training("digits", limit=20)


def test_a_data_set_without_preprocessing_is_refused():
    with pytest.raises(DataError, match="found 'mnist', expected one of digits, cifar10, fashion-mnist"):
        data.load_training("mnist")


def test_every_augmented_image_is_a_shift_of_its_own():
    pixels = images(40)
    shifted = data.Augmentation(shift=1, flip=False)(pixels, torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(pixels, [1] * 4)
    shifts = set()
    for before, after in zip(padded, shifted, strict=True):
        matches = [(i, j) for i in range(3) for j in range(3) if torch.equal(before[:, i : i + 8, j : j + 8], after)]
        assert len(matches) == 1
        shifts.update(matches)
    assert len(shifts) == 9


def test_flips_mirror_about_half_of_the_images():
    pixels = images(40, channels=3)
    after = data.Augmentation(shift=0, flip=True)(pixels, torch.Generator().manual_seed(1))
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(after, pixels, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(after, pixels, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 10 < sum(mirrored) < 30


def test_an_epoch_visits_every_image_once_in_an_order_that_its_generator_fixes():
    training, _ = data.load_training("digits", limit=200)
    still = data.Augmentation(shift=0, flip=False)

    def epoch(seed):
        batches = data.epoch_batches(training, 64, still, torch.Generator().manual_seed(seed))
        return torch.cat([batch.images for batch in batches])

    assert torch.equal(epoch(1), epoch(1))
    assert not torch.equal(epoch(1), epoch(2))
    assert torch.equal(epoch(1).flatten(1).float().sum(0), training.images.flatten(1).float().sum(0))
