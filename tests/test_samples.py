"""Samples for a network: labels are classes of it, or one line."""

import numpy as np
import onnx
import pytest

import adderhw
from adderhw.errors import DataError
from adderhw.samples import Samples, check_labels, open_samples
from tests.foreign.models import float_cnn


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


@pytest.fixture
def tallied(tmp_path):
    """The file of a float network of 5 classes and an input of 3 × 8 × 8: it is tallied and never run."""
    onnx.save(float_cnn(), tmp_path / "f.onnx")
    return tmp_path / "f.onnx"


FITS = {"x": np.zeros((2, 3, 8, 8), np.float32), "y": np.array([0, 4])}
UNFIT = {
    "shape": ({"x": np.zeros((2, 3, 8, 9), np.float32)}, r"found shape \[2, 3, 8, 9\], expected \[N, 3, 8, 8\]"),
    "dtype": ({"x": np.zeros((2, 3, 8, 8), np.int64)}, "found dtype int64, expected float32"),
    "labels": ({"y": np.array([0, 5])}, "found labels from 0 to 5, expected 0 to 4"),
}


@pytest.mark.parametrize("arithmetic", [None, "adder"])
@pytest.mark.parametrize(("changed", "words"), UNFIT.values(), ids=UNFIT)
def test_data_that_does_not_fit_is_refused_where_nothing_runs_too(tallied, changed, words, arithmetic):
    np.savez(tallied.with_name("d.npz"), **FITS | changed)
    with pytest.raises(DataError, match=words):
        adderhw.simulate(tallied, data=tallied.with_name("d.npz"), arithmetic=arithmetic)


def test_data_that_fits_leaves_a_tally_as_it_is(tallied):
    np.savez(tallied.with_name("d.npz"), **FITS)
    with_data, without = (adderhw.simulate(tallied, data=data) for data in (tallied.with_name("d.npz"), None))
    assert with_data == without


def test_data_that_does_not_fit_this_toolkits_topology_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", **FITS)
    with pytest.raises(DataError, match=r"found shape \[2, 3, 8, 8\], expected \[N, 1, 8, 8\]"):
        adderhw.simulate(data=tmp_path / "d.npz", arithmetic="cnn")
