"""The heartbeat of this process."""

import threading
import time

import pytest

from caveatlib.instruments import heartbeat


@pytest.mark.timed
def test_gaps_add_up_to_what_passed():
    """Each is a wait at least, none is lost, and nothing beats once the context is left."""
    threads, began = threading.active_count(), time.monotonic()
    with heartbeat.gaps(0.01) as gaps:
        time.sleep(0.2)
        last_s = time.monotonic() - began
    assert min(gaps) >= 0.0099
    assert last_s - 0.1 < sum(gaps) <= time.monotonic() - began
    beaten = len(gaps)
    time.sleep(0.03)
    assert (len(gaps), threading.active_count()) == (beaten, threads)
