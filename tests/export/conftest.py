"""Fixtures of the export tests."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    """A random generator with a fixed seed."""
    return np.random.default_rng(20)
