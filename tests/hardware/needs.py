"""Hardware tools in tests: where CI is set one that is missing fails the test, elsewhere the test is skipped."""

import os
import shutil

import pytest

from adderhw.hardware.areas import LIBRARIES
from adderhw.hardware.tools import PACKAGES


def needs(*tools):
    """Skips the module's tests, or lets them fail in CI, where a tool of the path is missing."""
    missing = [PACKAGES[tool] for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing) and "CI" not in os.environ, reason=f"apt-get install {' '.join(missing)}")


needs_library = pytest.mark.skipif(
    not LIBRARIES["osu018"].is_file() and "CI" not in os.environ, reason="apt-get install qflow-tech-osu018"
)
