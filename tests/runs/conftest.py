"""What every test of runs starts with."""

import pytest
from runs import made


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    """Let the sample experiment, of which runs are made, be one of those that are known."""
    made.known(monkeypatch)
