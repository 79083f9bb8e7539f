"""Image folders: order, classes, decoding, and one line for what is missing or damaged."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from adderhw import datasets, image_folder
from adderhw.errors import DataError
from adderhw.samples import Samples, batches, open_samples

pillow = pytest.importorskip("PIL.Image", reason="Pillow writes the images")


def write_folder(root, counts, size=(320, 256)):
    """imagenet/train and imagenet/val with counts[class] images; the gray of an image says which it is."""
    for split in ("train", "val"):
        for label, (name, count) in enumerate(counts.items()):
            folder = root / "imagenet" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pillow.new("L", size, 50 * label + index).save(folder / f"{index}.png")


def test_the_first_images_are_of_all_classes(tmp_path):
    write_folder(tmp_path, {"n02": 1, "n01": 3, "n03": 2})
    found = datasets.find_folder("imagenet", "train", root=tmp_path)
    assert found.classes == ("n01", "n02", "n03")
    assert found.labels.tolist() == [0, 1, 2, 0, 2, 0]
    assert [path.name for path in found.paths] == ["0.png", "0.png", "0.png", "1.png", "1.png", "2.png"]
    assert len(datasets.find_folder("imagenet", "train", limit=4, root=tmp_path)) == 4


def test_loading_decodes_to_arrays(tmp_path):
    write_folder(tmp_path, {"n01": 2, "n02": 1})
    test = datasets.load("imagenet", "test", limit=2, root=tmp_path)
    assert (test.images.shape, test.images.dtype) == ((2, 3, 224, 224), np.uint8)
    assert test.classes == ("n01", "n02")
    assert np.unique(test.images[1]).tolist() == [50]


def test_the_middle_of_a_shorter_side_of_256_is_kept_pixel_by_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)
    pillow.fromarray(pixels).save(tmp_path / "image.png")
    decoded = image_folder.decode(tmp_path / "image.png")
    np.testing.assert_array_equal(decoded, pixels[16:240, 48:272].transpose(2, 0, 1))
    np.testing.assert_array_equal(image_folder.decode(tmp_path / "image.png", mirrored=True), decoded[..., ::-1])


def test_a_box_is_scaled_to_the_size(tmp_path):
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:50, :50] = 200
    pillow.fromarray(pixels).save(tmp_path / "image.png")
    decoded = image_folder.decode(tmp_path / "image.png", box=lambda size: (0, 0, size[0] / 2, size[1] / 2))
    assert np.unique(decoded[:, :220, :220]).tolist() == [200]


def test_a_class_without_an_image_is_named(tmp_path):
    write_folder(tmp_path, {"n01": 1, "n02": 0})
    with pytest.raises(DataError, match=r"val/n02: found no image, expected a folder for each class"):
        datasets.load("imagenet", "test", root=tmp_path)


def test_a_folder_without_classes_is_refused(tmp_path):
    (tmp_path / "imagenet" / "val").mkdir(parents=True)
    with pytest.raises(DataError, match=r"val: found no folder, expected a folder for each class, of \.jpeg"):
        datasets.load("imagenet", "test", root=tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_image_is_named(content, tmp_path):
    write_folder(tmp_path, {"n01": 1})
    (tmp_path / "imagenet" / "val" / "n01" / "0.png").write_bytes(content)
    with pytest.raises(DataError, match=r"n01/0\.png: found no readable image \(.+\), expected a JPEG or PNG file"):
        datasets.load("imagenet", "test", root=tmp_path)


def test_without_pillow_one_line_says_what_to_install(tmp_path, monkeypatch):
    write_folder(tmp_path, {"n01": 1})
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"found no Pillow, expected it installed: pip install adderhw\[images\]"):
        datasets.load("imagenet", "test", root=tmp_path)


def test_images_are_chosen_as_in_an_array_and_decoded_only_where_they_are_read(tmp_path, monkeypatch):
    write_folder(tmp_path, {"n01": 3, "n02": 3})
    everything = datasets.load("imagenet", "test", root=tmp_path).images
    images = image_folder.Images(datasets.find_folder("imagenet", "test", root=tmp_path).paths)
    assert (images.shape, images.dtype, images.ndim, len(images)) == (everything.shape, np.uint8, 4, 6)
    decoded, decode = [], image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda path: decoded.append(path) or decode(path))
    for index in (slice(1, 4), np.array([5, 0]), np.array([True, False] * 3), slice(2, 2)):
        chosen = images[index]
        assert not decoded
        assert (np.asarray(chosen) == everything[index]).all()
        assert len(decoded) == len(chosen)
        decoded.clear()
    assert np.asarray(images[:1], np.float32).dtype == np.float32


def test_a_model_is_fed_from_a_folder_two_batches_at_a_time(tmp_path, monkeypatch):
    write_folder(tmp_path, {"n01": 5, "n02": 5})
    monkeypatch.setenv("ADDERHW_DATA", str(tmp_path))
    everything = datasets.load("imagenet", "test").images
    decoded, decode = [], image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda path: decoded.append(path) or decode(path))
    tensor = SimpleNamespace(name="image", shape=(None, 3, 224, 224), dtype=np.dtype(np.float32), is_float=True)
    graph = SimpleNamespace(inputs=[tensor], metadata={"adderhw.preprocess": '{"mean": [5, 6, 7], "std": [1, 2, 4]}'})
    left_out = tmp_path / "left_out.npz"
    np.savez(left_out, test=np.array([3]))
    samples = open_samples(graph, "imagenet", "test", None, left_out)
    kept = np.delete(everything, 3, axis=0).astype(np.float32)
    expected = (kept - np.float32([5, 6, 7]).reshape(3, 1, 1)) / np.float32([1, 2, 4]).reshape(3, 1, 1)
    assert samples.labels.tolist() == [0, 1, 0, 0, 1, 0, 1, 0, 1]
    parts = []
    for start, values in batches(samples, 2):
        assert start == 2 * len(parts)
        assert len(decoded) <= start + 4
        parts.append(values)
    assert [len(part) for part in parts] == [2, 2, 2, 2, 1]
    assert (np.concatenate(parts) == expected).all()


def test_a_damaged_image_ends_the_batches_with_its_name(tmp_path):
    write_folder(tmp_path, {"n01": 4})
    paths = datasets.find_folder("imagenet", "test", root=tmp_path).paths
    paths[2].write_bytes(b"no image")
    samples = Samples("imagenet", "test", image_folder.Images(paths), None)
    with pytest.raises(DataError, match=re.escape(f"{paths[2]}: found no readable image")):
        list(batches(samples, 1))


def test_an_image_file_is_decoded_as_jpeg_or_png_alone(tmp_path):
    pixels = pillow.new("RGB", (300, 300), (10, 20, 30))
    for kind in ("JPEG", "PNG"):
        pixels.save(tmp_path / f"{kind}.jpeg", kind)
        assert image_folder.decode(tmp_path / f"{kind}.jpeg").shape == (3, 224, 224)
    for kind in ("GIF", "BMP", "TIFF", "PPM", "EPS"):
        pixels.save(tmp_path / f"{kind}.jpeg", kind)
        with pytest.raises(DataError, match="found no readable image"):
            image_folder.decode(tmp_path / f"{kind}.jpeg")
