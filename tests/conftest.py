"""Fixtures shared by all tests."""

import os
import shutil

import pytest


@pytest.fixture
def require():
    """Return a check for what a test needs: a program, or an ability by name.

    Missing means skip; with ``CAVEATLIB_REQUIRE=all`` it means fail, unless no
    package could bring it (`EXEMPT`).
    """
    return _require


EXEMPT = frozenset({"kvm", "cgroup-v2"})
"""Abilities of hardware and kernel, which no installation can mend."""


def _require(name: str) -> None:
    if shutil.which(name):
        return
    from caveatlib import host

    ability = {a.name: a for a in host.abilities()}.get(name)
    if ability is not None and ability.available:
        return
    reason = f"{name} is missing: {ability.reason if ability else 'no such program'}"
    if os.environ.get("CAVEATLIB_REQUIRE") == "all" and name not in EXEMPT:
        pytest.fail(reason)
    pytest.skip(reason)
