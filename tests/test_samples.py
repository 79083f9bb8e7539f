"""Samples for a network: labels are classes of it, or one line."""

import numpy as np
import pytest

import adderhw
from adderhw.errors import DataError
from adderhw.samples import Samples, check_labels, open_samples


def labelled(labels):
    return Samples("d", "test", np.zeros((len(labels), 1)), np.array(labels))


@pytest.mark.parametrize(
    ("labels", "words"),
    [([0, 10], "found labels from 0 to 10, expected 0 to 9"), ([-1, 3], "found labels from -1 to 3, expected 0 to 9")],
)
def test_labels_that_are_no_classes_are_one_line(labels, words):
    with pytest.raises(DataError, match=words):
        check_labels(labelled(labels), np.zeros((1, 10)))


def test_labels_of_classes_or_none_are_taken():
    check_labels(labelled([0, 9]), np.zeros((1, 10)))
    check_labels(Samples("d", "test", np.zeros((2, 1)), None), np.zeros((1, 10)))
    check_labels(labelled([12]), np.zeros((1, 10, 2, 2)))


@pytest.mark.parametrize("shift", [1, -1])
def test_a_run_is_refused_before_its_images(tmp_path, shift):
    samples = open_samples(adderhw.load().graph, "digits", "test", 100)
    np.savez(tmp_path / "d.npz", x=samples.batch(0, 100), y=samples.labels + shift)
    with pytest.raises(DataError, match="expected 0 to 9, the network's classes"):
        adderhw.simulate(data=tmp_path / "d.npz", threads=1, progress=lambda *_: pytest.fail("images ran"))
