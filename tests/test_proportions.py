"""Standard errors of shares: numpy's deviation of the images' own values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adderhw.proportions import paired_difference, standard_error


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_errors_are_the_deviation_of_the_images_over_the_root_of_their_number(right):
    first, second = np.array(right, float).T
    count = len(right)
    error = standard_error(int(first.sum()), count)
    assert error == pytest.approx(first.std() / np.sqrt(count), abs=1e-7)
    gained, lost = int((second > first).sum()), int((first > second).sum())
    expected = (second - first).mean(), (second - first).std() / np.sqrt(count)
    assert paired_difference(gained, lost, count) == pytest.approx(expected, abs=1e-7)
