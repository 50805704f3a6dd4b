"""Fixtures shared by all tests."""

import os
import shutil
import signal

import left
import pytest

EXEMPT = frozenset({"kvm", "cgroup-v2"})
"""Abilities of hardware and kernel, which no installation can mend."""


def _lacking(reason: str) -> None:
    if os.environ.get("CAVEATLIB_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def lacking():
    """Return what a test calls, with the reason, that finds out only later that it cannot judge.

    It skips; with ``CAVEATLIB_REQUIRE=all`` it fails.
    """
    return _lacking


@pytest.fixture(scope="session")
def require():
    """Return a check for what a test needs: a program, a path, or an ability by name.

    Missing means skip; with ``CAVEATLIB_REQUIRE=all`` it means fail, unless no
    package could bring it (`EXEMPT`).
    """
    from caveatlib import host

    # Asked once, before any test changes the environment.
    abilities = {a.name: a for a in host.capabilities()}

    def check(name: str) -> None:
        # A program that is there may still be of no use: runc needs root, say.
        ability = abilities.get(name)
        if ability.available if ability else (shutil.which(name) or os.path.exists(name)):
            return
        reason = f"{name} is missing: {ability.reason if ability else 'not found'}"
        if name in EXEMPT:
            pytest.skip(reason)
        _lacking(reason)

    return check


@pytest.fixture
def fresh_probes():
    """Let probes try again within a test that changes what they find, and after it."""
    left.forget_probes()
    yield
    left.forget_probes()


_BARS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_BARS] = []
    # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session):
    # A process that runs a part of the tests hands its figures to the one that prints them.
    if hasattr(session.config, "workeroutput"):
        rows = session.config.stash[_BARS]
        session.config.workeroutput["bars"] = [tuple(map(str, row)) for row in rows]


def pytest_testnodedown(node):
    node.config.stash[_BARS] += getattr(node, "workeroutput", {}).get("bars", [])


@pytest.fixture(scope="session")
def bars(request):
    """Collect ``(name, figure, bar)``; they are printed as a table at the end."""
    return request.config.stash[_BARS]


def pytest_terminal_summary(terminalreporter, config):
    rows = [tuple(map(str, row)) for row in config.stash[_BARS]]
    if not rows:
        return
    terminalreporter.section("figures beside their bars")
    width = max(len(name) for name, _, _ in rows)
    for name, figure, bar in rows:
        terminalreporter.write_line(f"{name:<{width}}  {figure:>16}  bar {bar}")
