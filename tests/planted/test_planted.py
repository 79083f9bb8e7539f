"""The list of planted faults is in step with the code; python -m tests.planted runs them."""

from pathlib import Path

import pytest

from tests.planted.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_can_be_planted_and_names_tests_that_exist(fault):
    assert (ROOT / fault.file).read_text().count(fault.before) == 1
    assert fault.before != fault.after
    assert all((ROOT / test).exists() for test in fault.tests.split())


def test_names_differ():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25
