"""What a run leaves on the machine: processes, groups, mounts, files, descriptors.

Other programs run beside the tests, so only what can be ours is looked at: what
carries our owner's mark, or names the state folder of the test or a lease in it.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import psutil

from caveatlib.places import leases, netns
from caveatlib.places.cgroups import cgroupfs
from caveatlib.places.engines import choice, private_engine
from caveatlib.support import processes as running

GONE_S = 5.0
ROOT = Path(__file__).parents[1]
LIST = ("containers", "images", "networks", "volumes", "firewall")


@contextmanager
def state():
    """Set a state folder, short enough for sockets, that must be empty at the end."""
    folder = tempfile.mkdtemp(prefix="cv-")
    os.chmod(folder, 0o711)
    before = os.environ.get("CAVEATLIB_STATE")
    os.environ["CAVEATLIB_STATE"] = folder
    try:
        yield Path(folder)
    finally:
        leases.sweep()
        if before is None:
            del os.environ["CAVEATLIB_STATE"]
        else:
            os.environ["CAVEATLIB_STATE"] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reader_engine():
    """Start an engine that stands for the reader's own, outside of the test's state folder."""
    with state(), private_engine.private_engine() as engine:
        # What makes it findable as ours does not count for a reader's engine.
        with tempfile.TemporaryDirectory(prefix="cv-") as folder:
            before = os.environ["CAVEATLIB_STATE"]
            os.environ["CAVEATLIB_STATE"] = folder
            os.environ["DOCKER_HOST"] = engine.where.url
            forget_probes()
            try:
                yield engine
            finally:
                os.environ["CAVEATLIB_STATE"] = before
                del os.environ["DOCKER_HOST"]
                forget_probes()


def forget_probes() -> None:
    """Let every probe try again: the machine, or what a test shows of it, has changed."""
    modules = [m for name, m in sys.modules.items() if name.startswith("caveatlib.")]
    probes = [m.probe for m in modules if hasattr(m, "probe")]
    for kept in (*probes, choice._answers, choice._runtimes):
        kept.cache_clear()


def listing(engine) -> dict[str, list]:
    """Return all there is on an engine, and the firewall rules of its namespace."""
    api = engine.api
    rules = subprocess.run(
        netns.argv_in(engine.pid, ["iptables-save"]),
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout
    found = (
        sorted(c["Id"] for c in api.containers(all=True)),
        sorted((i["Id"], *(i["RepoTags"] or [])) for i in api.images(all=True)),
        sorted(n["Id"] for n in api.networks()),
        sorted(v["Name"] for v in api.volumes()["Volumes"] or []),
        # ":DOCKER - [0:0]": policies stay, their counters do not
        [r.partition(" [")[0] for r in rules.splitlines() if not r.startswith("#")],
    )
    return dict(zip(LIST, found, strict=True))


def processes(owner: str = "", *, state: Path | None = None, spaces: frozenset = frozenset()):
    """Return processes that carry the owner's mark, name the folder, or live in the namespaces."""
    names = [f"caveatlib-{p.name}" for p in state.glob("data/*")] if state else []
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        pid, environment = process.pid, process.info["environ"] or {}
        if pid == os.getpid() or not running.is_running(pid):
            continue
        said = " ".join([*(process.info["cmdline"] or []), *environment.values()])
        groups = ""
        with contextlib.suppress(OSError):
            groups = Path(f"/proc/{pid}/cgroup").read_text()
        if (
            (owner and environment.get(running.OWNER) == owner)
            or (state and str(state) in said)
            or any(name in groups for name in names)
            or (spaces & namespaces(pid))
        ):
            found.append(pid)
    return found


def namespaces(pid: int) -> frozenset:
    """Return a process's network, mount and pid namespaces."""
    found = set()
    for kind in ("net", "mnt", "pid"):
        with contextlib.suppress(OSError):
            found.add((kind, os.stat(f"/proc/{pid}/ns/{kind}").st_ino))
    return frozenset(found)


def cgroups(names) -> list[Path]:
    """Return the control groups of leases by name."""
    return [folder for name in names for folder in cgroupfs.folders(f"/caveatlib-{name}")]


def mounts(folder: Path) -> list[str]:
    """Return the mounts that name a folder."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


def killed(code: str, *, ready) -> None:
    """Kill a process of its own that measures, and see that it leaves nothing.

    Five seconds later no process or mount of it is left, and after a sweep no group or lease.

    Parameters
    ----------
    code : str
        Python that writes a line ``open`` once its places are, and goes on.
    ready : callable
        Given the pids that are its own, whether it is far enough to be killed.
    """
    with state() as folder:
        owner = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            assert owner.stdout.readline() == "open\n"
            assert until(lambda: ready(processes(state=folder)), 30)
            running = processes(state=folder)
            spaces = frozenset().union(*map(namespaces, running)) - namespaces(os.getpid())
            names = [path.name for path in folder.glob("data/*")]
            owner.kill()
            owner.wait(5)
            assert until(lambda: not processes(state=folder, spaces=spaces))
            assert not mounts(folder)
        finally:
            owner.kill()
            owner.communicate()
            leases.sweep()
        assert not list(folder.iterdir())
        assert not cgroups(names)


def here() -> Counter:
    """Return what this very process holds: threads, children, descriptors."""
    found = Counter(("thread", t.name) for t in threading.enumerate())
    found.update(("child", pid) for pid in running.children(os.getpid()))
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if "/proc/" not in target:
                found["descriptor", target] += 1
    return found


def more(before: Counter) -> Counter:
    """Return what this process holds and did not before; a thread may take a moment to end."""
    until(lambda: not here() - before)
    return here() - before


def until(condition, seconds: float = GONE_S):
    """Wait until a condition holds; return its last value."""
    end = time.monotonic() + seconds
    while not (done := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return done
