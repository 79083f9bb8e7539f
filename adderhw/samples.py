"""Turns a data set or an array file into batches of a model's own input, without holding them all."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from adderhw import datasets
from adderhw.array_files import read_arrays
from adderhw.errors import DataError, ModelError
from adderhw.image_folder import Images
from adderhw.json_files import parse_json

ARRAY_SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True)
class Samples:
    """Images for a model. values: (N, …) as stored, an array or image files that are decoded when a batch is asked
    for; labels: int64 (N,) or None; batch(a, b) gives model input.

    mean, std: float32 (C, 1, 1) in pixel units where the values are pixels to be normalised, else None.
    """

    name: str
    split: str | None
    values: np.ndarray | Images
    labels: np.ndarray | None
    mean: np.ndarray | None = None
    std: np.ndarray | None = None

    def __len__(self):
        return len(self.values)

    def batch(self, start, stop):
        """The model's input for samples start … stop − 1."""
        part = np.asarray(self.values[start:stop])
        return part if self.mean is None else (part.astype(np.float32) - self.mean) / self.std


def batches(samples, size):
    """(start, the model's input) of each batch of up to `size` samples, in order.

    While one is worked on, a thread reads, decodes and normalises the next: two are held, however many there are.
    """
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(samples.batch, 0, size)
        for start in range(0, len(samples), size):
            inputs, following = ahead.result(), start + size
            if following < len(samples):
                ahead = pool.submit(samples.batch, following, following + size)
            yield start, inputs


def open_samples(graph, data, split, limit, leave_out=None):
    """The Samples of `data` (a data set's name, or a .npy/.npz file with x and optionally y) for `graph`'s input.

    leave_out: an .npz whose array named as the split has indices of images to leave out. Raises DataError for unknown
    names, unreadable files and arrays that do not fit the input.
    """
    samples = read_samples(data, split, limit)
    return normalised(graph, without(samples, leave_out, limit) if leave_out else samples)


def read_samples(data, split, limit):
    """The Samples of `data` as stored, whatever model they are for; raises DataError."""
    if limit is not None and limit < 1:
        raise DataError(f"limit: found {limit}, expected at least 1")
    if str(data).endswith(ARRAY_SUFFIXES):
        return from_file(Path(data), limit)
    if datasets.is_folder(data):
        found = datasets.find_folder(data, split, limit=limit)
        return Samples(data, split, Images(found.paths), found.labels)
    dataset = datasets.load(data, split, limit=limit)
    return Samples(dataset.name, dataset.split, dataset.images, dataset.labels)


def without(samples, path, limit):
    """The samples but for those whose indices are in the file `path`; indices beyond the limit leave nothing out."""
    if samples.split is None:
        raise DataError(f"{path}: found indices of images to leave out of an array file, expected a data set")
    kept = np.ones(len(samples), bool)
    indices = read_indices(path, samples.split, None if limit else len(samples))
    kept[indices[indices < len(samples)]] = False
    labels = None if samples.labels is None else samples.labels[kept]
    return replace(samples, values=samples.values[kept], labels=labels)


def read_indices(path, split, count):
    """int64 indices below `count` (None: any) from the array `split` of an .npz file; raises DataError for another."""
    loaded = read_arrays(path)
    if isinstance(loaded, np.ndarray) or split not in loaded:
        found = "one array" if isinstance(loaded, np.ndarray) else f"arrays {sorted(loaded)}"
        raise DataError(f"{path}: found {found}, expected an .npz with an array {split!r}")
    indices = loaded[split]
    within = indices.ndim == 1 and indices.dtype.kind in "iu" and (indices >= 0).all()
    if not within or (count is not None and (indices >= count).any()):
        most = "" if count is None else f" to {count - 1}"
        raise DataError(f"{path}: found other indices in {split!r}, expected whole numbers from 0{most}")
    return indices.astype(np.int64)


def from_file(path, limit):
    """Samples from an array file; `x` and `y` in an .npz, x alone in an .npy. Never unpickles."""
    loaded = read_arrays(path)
    if isinstance(loaded, np.ndarray):
        loaded = {"x": loaded}
    if "x" not in loaded:
        raise DataError(f"{path}: found arrays {sorted(loaded)}, expected x (images) and optionally y (labels)")
    x, y = loaded["x"], loaded.get("y")
    if not x.ndim:
        raise DataError(f"{path}: found a single {x.dtype} in x, expected an array of images")
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise DataError(f"{path}: found y of {y.dtype} and shape {list(y.shape)}, expected {len(x)} integer labels")
    return Samples(path.name, None, x[:limit], None if y is None else y[:limit].astype(np.int64))


def check_labels(samples, scores):
    """Raises DataError where a label is no class of a network that gives these `scores` (N, classes) of an image."""
    labels = samples.labels
    if labels is None or scores.ndim != 2 or not len(labels):
        return
    low, high, classes = int(labels.min()), int(labels.max()), scores.shape[1]
    if low < 0 or high >= classes:
        raise DataError(
            f"data {samples.name!r}: found labels from {low} to {high}, expected 0 to {classes - 1}, the "
            "network's classes"
        )


def check_data(inputs, classes, data, split, limit):
    """Raises an error where `data` is not for a model that is not run: its shape, its dtype or its labels.

    inputs: Tensors. classes: sizes of the model's output, the batch first.
    """
    samples = read_samples(data, split, limit)
    check_fit(inputs, samples)
    check_labels(samples, np.broadcast_to(0, (1, *classes[1:])))


def normalised(graph, samples):
    """The samples with the model's stated normalisation where they are pixels and its input is float."""
    check_fit(graph.inputs, samples)
    (tensor,) = graph.inputs
    if samples.values.dtype == tensor.dtype:
        return samples
    mean, std = normalisation(graph, tensor.shape[1])
    return Samples(samples.name, samples.split, samples.values, samples.labels, mean, std)


def check_fit(inputs, samples):
    """Raises an error where the samples are not for a model of these inputs: their number, shape or dtype."""
    if len(inputs) != 1:
        raise ModelError(f"model: found {len(inputs)} inputs, expected 1 to feed it from a data set")
    (tensor,) = inputs
    where = f"data {samples.name!r} for input {tensor.name!r}"
    shape, values = tensor.shape[1:], samples.values
    if values.ndim != len(tensor.shape) or values.shape[1:] != shape or not len(values):
        raise DataError(f"{where}: found shape {list(values.shape)}, expected [N, {', '.join(map(str, shape))}]")
    if values.dtype != tensor.dtype and (values.dtype != np.uint8 or not tensor.is_float):
        raise DataError(f"{where}: found dtype {values.dtype}, expected {tensor.dtype}")


def normalisation(graph, channels):
    """(mean, std) float32 (C, 1, 1) from the model's metadata `adderhw.preprocess`, in pixel units."""
    text = graph.metadata.get("adderhw.preprocess")
    if text is None:
        raise DataError("model: found no metadata adderhw.preprocess, expected mean and std to normalise pixels with")
    try:
        stated = parse_json(text)
        mean, std = (np.asarray(stated[key], np.float32).reshape(-1, 1, 1) for key in ("mean", "std"))
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"metadata adderhw.preprocess: found {text[:80]!r}, expected JSON with mean and std") from None
    if {len(mean), len(std)} - {1, channels} or not (
        np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()
    ):
        raise ModelError(
            f"metadata adderhw.preprocess: found {text[:80]!r}, expected {channels} finite means and stds above 0"
        )
    return mean, std
