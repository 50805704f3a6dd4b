"""The trials that several tests of `quota` read, simulated once."""

import pytest
from experiments.quota.made_up import measured_rows

from caveatlib import frames
from caveatlib.experiments import quota


@pytest.fixture(scope="session")
def runs():
    """Return nine blocks of what the claims are decided by, and two of weights.

    Seven comparisons have no adjusted interval below nine blocks.
    """
    rows = measured_rows("claims", 9) + measured_rows("weights", 2) + measured_rows("limit", 9)
    return frames.from_rows(rows, quota.Trials)
