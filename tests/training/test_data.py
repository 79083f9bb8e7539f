"""Training images: preprocessing, the validation split, augmentation, and batches that (seed, epoch) fix."""

import hashlib

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


def test_an_unknown_data_set_is_refused():
    with pytest.raises(DataError, match="found 'svhn', expected one of digits, cifar10, cifar100, mnist"):
        data.load_training("svhn")


def moved(pixels, *, shift, flip):
    augmentation = data.Augmentation(shift, flip)
    return augmentation(pixels, augmentation.draw(len(pixels), torch.Generator().manual_seed(1)))


def test_every_augmented_image_is_a_shift_of_its_own():
    pixels = images(40)
    shifted = moved(pixels, shift=1, flip=False)
    padded = torch.nn.functional.pad(pixels, [1] * 4)
    shifts = set()
    for before, after in zip(padded, shifted, strict=True):
        matches = [(i, j) for i in range(3) for j in range(3) if torch.equal(before[:, i : i + 8, j : j + 8], after)]
        assert len(matches) == 1
        shifts.update(matches)
    assert len(shifts) == 9


def test_flips_mirror_about_half_of_the_images():
    pixels = images(40, channels=3)
    after = moved(pixels, shift=0, flip=True)
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(after, pixels, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(after, pixels, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 10 < sum(mirrored) < 30


@pytest.fixture
def digits():
    training, _ = data.load_training("digits", limit=200)
    return training


def batches(digits, epoch=0, **options):
    return list(digits.epoch_batches(64, seed=1, epoch=epoch, **options))


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)
        assert a.total == b.total


def test_an_epoch_visits_every_image_once_in_an_order_that_seed_and_epoch_fix(digits, monkeypatch):
    monkeypatch.setitem(data.AUGMENTATION, "digits", data.Augmentation(shift=0, flip=False))
    first, again, second = batches(digits), batches(digits), batches(digits, epoch=1)
    assert_equal(first, again)
    assert not torch.equal(first[0].images, second[0].images)
    everything = torch.cat([batch.images for batch in first])
    expected = digits.preprocess(digits.images)
    assert sorted(map(bytes, everything.numpy())) == sorted(map(bytes, expected.numpy()))
    assert [len(batch) for batch in first] == [batch.total for batch in first] == [64, 64, len(digits) - 128]


# Whoever changes this cannot repeat the runs of the model that ships.
@pytest.mark.parametrize(("name", "expected"), [("digits", "5ea50eb91ce2e5f5"), ("cifar10", "0a6cfeea39d123ae")])
def test_a_seed_gives_the_batches_that_it_always_gave(name, expected, monkeypatch):
    side, channels = (8, 1) if name == "digits" else (32, 3)
    pixels, preprocess = images(30, channels, side), data.PREPROCESS[name]
    labelled = data.LabelledImages(name, pixels, torch.arange(30), classes=30, preprocess=preprocess)
    digest = hashlib.sha256()
    for batch in labelled.epoch_batches(8, seed=2, epoch=3):
        digest.update(batch.images.contiguous().numpy().tobytes() + batch.labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == expected


def test_an_epoch_goes_on_from_any_batch(digits):
    assert_equal(batches(digits, start=2), batches(digits)[2:])
    assert batches(digits, start=3) == []


def test_processes_share_each_batch(digits):
    parts = [batches(digits, rank=rank, world=3) for rank in range(3)]
    for whole, shares in zip(batches(digits), zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
        assert torch.equal(torch.cat([share.labels for share in shares]), whole.labels)
        assert [share.total for share in shares] == [len(whole)] * 3
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_in_order_images_come_as_they_are_and_processes_share_them(digits):
    parts = [list(digits.batches_in_order(100, rank=rank, world=2)) for rank in range(2)]
    shares = [share for pair in zip(*parts, strict=True) for share in pair]
    assert torch.equal(torch.cat([share.images for share in shares]), digits.preprocess(digits.images))
    assert torch.equal(torch.cat([share.labels for share in shares]), digits.labels)


def test_a_process_may_get_no_image_of_a_small_batch(digits):
    shares = [next(digits[:1].batches_in_order(8, rank=rank, world=2)) for rank in range(2)]
    assert [(len(share), share.total, share.images.shape) for share in shares] == [
        (1, 1, (1, 1, 8, 8)),
        (0, 1, (0, 1, 8, 8)),
    ]


@pytest.mark.parametrize("chosen", [(0, 0, 0, 0), (0.99, 0.99, 0.99, 0.99), (1, 0, 0.5, 0.5), (0.3, 0.7, 0.2, 0.9)])
@pytest.mark.parametrize("size", [(500, 375), (40, 400), (224, 224)])
def test_random_crops_lie_in_the_image_and_have_area_and_shape(size, chosen):
    left, top, right, bottom = data.crop_box(size, *chosen)
    slack = 1e-9
    assert -slack <= left < right <= size[0] + slack
    assert -slack <= top < bottom <= size[1] + slack
    wide, high = right - left, bottom - top
    if wide < size[0] and high < size[1]:
        assert wide * high == pytest.approx(size[0] * size[1] * (0.08 + 0.92 * chosen[0]))
        assert wide / high == pytest.approx((3 / 4) * (16 / 9) ** chosen[1])


@pytest.fixture
def folder(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for split, count in (("train", 10), ("val", 2)):
        for label in range(2):
            path = tmp_path / "imagenet" / split / f"n0{label}"
            path.mkdir(parents=True)
            for index in range(count):
                pillow.new("RGB", (30, 20), (100 * label + index, index, 0)).save(path / f"{index}.png")
    return tmp_path


def test_image_files_are_decoded_batch_by_batch_and_crops_repeat(folder):
    training, validation = data.load_training("imagenet", root=folder)
    assert (len(training), len(validation), training.classes) == (18, 2, 2)
    assert training.input_shape == (3, 224, 224)
    found, again = ([*training.epoch_batches(8, seed=0, epoch=0)] for _ in range(2))
    assert_equal(found, again)
    assert [tuple(batch.images.shape) for batch in found] == [(8, 3, 224, 224), (8, 3, 224, 224), (2, 3, 224, 224)]
    mean, std = training.preprocess.mean[0], training.preprocess.std[0]
    for batch in found:
        red = batch.images[:, 0].mean((1, 2)) * std + mean
        assert torch.equal(red.round() >= 100, batch.labels == 1)


def test_image_files_in_order_are_the_middles(folder):
    test = data.load_test("imagenet", root=folder)
    parts = [list(test.batches_in_order(3, rank=rank, world=2)) for rank in range(2)]
    assert [len(batch) for pair in zip(*parts, strict=True) for batch in pair] == [2, 1, 1, 0]
    mean, std = test.preprocess.mean[0], test.preprocess.std[0]
    red = torch.cat([batch.images[:, 0, 0, 0] for pair in zip(*parts, strict=True) for batch in pair]) * std + mean
    assert red.round().tolist() == [0, 100, 1, 101]
