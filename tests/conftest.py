"""Fixtures shared by all tests."""

import os
import shutil
import signal

# Before numpy is imported: where others run beside, too many threads of OpenBLAS wait by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import left
import pytest
import tried

EXEMPT = frozenset({"kvm", "cgroup-v2", "published-alpine"})
"""Abilities of hardware and kernel, which no installation can mend, and what is prepared only on
request."""

RUNC_FAILS = "waiting for init preliminary setup: read init-p: connection reset by peer"
"""What Docker and runc say where now and then one start fails and the next does not: see `TRIES` of
`caveatlib.places.runc`. In a run it is a failed trial with its reason; a test tries again."""

# An example may take a second where others keep the machine busy.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")


def _lacking(reason: str) -> None:
    required = os.environ.get("CAVEATLIB_REQUIRE")
    if required == "all" or (required == "installed" and "needs CAP_" not in reason):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def lacking():
    """Return what a test calls, with the reason, that finds out only later that it cannot judge.

    It skips; with ``CAVEATLIB_REQUIRE=all`` it fails, with ``installed`` it fails
    unless the reason names a Linux capability that this process lacks.
    """
    return _lacking


@pytest.fixture(scope="session")
def require():
    """Return a check for what a test needs: a program, a path, or an ability by name.

    Missing means what `lacking` says, unless no package could bring it
    (`EXEMPT`): then the test is skipped.
    """
    from caveatlib import host

    # Asked once, before any test changes the environment.
    abilities = {a.name: a for a in (*host.capabilities(), *(probe() for probe in tried.ALL))}

    def check(name: str) -> None:
        # A program that is there may still be of no use: runc needs CAP_SYS_ADMIN.
        ability = abilities.get(name)
        if ability.available if ability else (shutil.which(name) or os.path.exists(name)):
            return
        reason = f"{name} is missing: {ability.reason if ability else 'not found'}"
        if name in EXEMPT:
            pytest.skip(reason)
        _lacking(reason)

    return check


@pytest.fixture(scope="session")
def recorded_entries():
    """Return what is known of every claim by the recorded data: it takes seconds to judge."""
    from caveatlib import scorecard

    return scorecard.entries("recorded")


@pytest.fixture
def fresh_probes():
    """Let probes try again within a test that changes what they find, and after it."""
    left.forget_probes()
    yield
    left.forget_probes()


_BARS = pytest.StashKey[list]()


def pytest_collection_modifyitems(items):
    """Mark the tests that ask what this machine can do: all that may be skipped for it.

    Those in which runc did not start are tried again, and those that time the machine.
    """
    for item in items:
        asks = {"require", "lacking"} & set(getattr(item, "fixturenames", ()))
        if asks:
            item.add_marker("asks")
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=5))
        elif asks:
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=RUNC_FAILS))


def pytest_xdist_make_scheduler(config, log):
    """Share the tests out by file and by experiment where they are to be shared out by file."""
    if config.getoption("dist") != "loadfile":
        return None
    from shares import Shares

    return Shares(config, log)


def pytest_configure(config):
    config.stash[_BARS] = []
    # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session):
    # A process that runs a part of the tests hands its figures to the one that prints them.
    if hasattr(session.config, "workeroutput"):
        rows = session.config.stash[_BARS]
        session.config.workeroutput["bars"] = [tuple(map(str, row)) for row in rows]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
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
