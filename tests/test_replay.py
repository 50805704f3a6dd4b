"""Everything that replays, as nobody: read-only tree, no network, no socket, no home.

The first test shows on every run that the cage holds: the hook names a
connection that is tried, and nothing can be written.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import browser as browsers
import pytest
import tried
from contained import assert_self_contained

from caveatlib import notebooks
from caveatlib.experiments import ALL, recorded

pytestmark = pytest.mark.beside

ROOT = Path(__file__).parent.parent
HOOK = """
import os, sys

def _note(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[-1] if event.startswith("socket.connect") else arguments[:2]
        host = where[0] if isinstance(where, tuple) else where
        if host not in LOCAL:
            with open(LOG, "a") as file:
                file.write(f"{event} {where!r}\\n")

LOCAL = ("127.0.0.1", "localhost")  # kernels of notebooks are spoken to on loopback
LOG = os.environ["CONNECT_LOG"]
sys.addaudithook(_note)
"""
SMALL = """
from caveatlib import claims, host, images, literature, page, report, scorecard, store, trials
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import complete

for experiment in map(complete, ALL):
    for version in store.versions(experiment.NAME):
        rows = trials.get(experiment, source="recorded", version=version)
        assert len(rows) and (rows["source"] != "live").all()
        experiment.summarize(rows), experiment.verdicts(rows), experiment.answer(rows)
"""
ALL_CLAIMS = """
assert len(repr(page.Overview(scorecard.entries("recorded"))).splitlines()) >= 37
"""

BARE = """
import importlib.abc, subprocess, sys
import pandas, matplotlib, scipy.stats  # may look for what is there; what follows may not

LACKING = {"psutil", "docker", "isal", "backports", "pwd", "grp", "resource", "fcntl", "termios"}

class Nowhere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def no_process(event, arguments):
    if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"):
        raise RuntimeError(f"{event} {arguments!r}")

for name in [name for name in sys.modules if name.partition(".")[0] in LACKING]:
    del sys.modules[name]
sys.meta_path.insert(0, Nowhere())
sys.addaudithook(no_process)
"""
"""What WebAssembly (Pyodide) has neither of: some modules, and processes."""
CAGED = """
for name in ("fcntl", "isal.igzip_lib"):
    try:
        __import__(name); print("found", name)
    except ImportError: print("no", name)
try:
    subprocess.run(["true"]); print("ran")
except RuntimeError: print("no process")
"""


@pytest.fixture(scope="module")
def nobody(require, lacking, tmp_path_factory):
    """Return a function that runs a command as nobody, and one that says what it connected to.

    The tree is a copy, owned by root; the process has its own empty network
    namespace (but for loopback) and its own mounts, where the copy is read-only.
    """
    require("cage")
    with tempfile.TemporaryDirectory(prefix="caveatlib-replay-") as folder, _tree(folder) as run:
        if run([sys.executable, "-c", "import pandas"]).returncode:
            lacking("this Python is not readable for other users")
        yield run


@contextmanager
def _tree(folder: str):
    base = Path(folder)
    base.chmod(0o755)
    tree, out, site, log = (base / name for name in ("tree", "out", "site", "log"))
    for name in ("caveatlib", "data", "notebooks"):
        skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    subprocess.run(["chmod", "-R", "a+rX", tree], check=True)
    out.mkdir()
    site.mkdir()
    (site / "sitecustomize.py").write_text(HOOK)
    log.touch()
    out.chmod(0o777)
    log.chmod(0o666)

    def run(argv, timeout_s=300):
        inside = (
            'ip link set lo up; mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; '
            'cd "$1"; shift; exec "$@"'
        )
        return subprocess.run(
            [*tried.CAGE, "sh", "-ec", inside, "sh", str(tree),
             *tried.NOBODY, "--no-new-privs", "--", *map(str, argv)],
            capture_output=True, text=True, timeout=timeout_s,
            env={
                "PATH": os.environ["PATH"], "HOME": "/nonexistent", "CONNECT_LOG": str(log),
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": f"{site}:{tree}", "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(out), "LANG": "C.UTF-8",
            },
        )  # fmt: skip

    run.out, run.log, run.tree = out, log, tree
    yield run


def _ok(done) -> str:
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def test_it_is_nobody_without_anything(nobody):
    """The cage is one: no other user, no way out, nothing to be written, and the hook listens."""
    script = """
import os, socket, caveatlib, pathlib
print(os.getuid(), os.getgroups(), pathlib.Path(caveatlib.__file__).parent.parent)
for name in ("data/x", "x", "/nonexistent/x"):
    try:
        pathlib.Path(name).write_text("x"); print("written", name)
    except OSError as error: print(error.errno)
try:
    socket.create_connection(("192.0.2.1", 80), 1); print("connected")
except OSError: print("no way out")
"""
    said = _ok(nobody([sys.executable, "-c", script])).splitlines()
    assert said[0] == f"65534 [] {nobody.tree}"
    assert set(said[1:4]) <= {"30", "2", "13"}
    assert said[4] == "no way out"
    assert "192.0.2.1" in nobody.log.read_text()
    nobody.log.write_text("")


@pytest.mark.slow
def test_the_small_things_replay(nobody, bars):
    """Recorded trials, summaries, verdicts: no file, no connection."""
    _ok(nobody([sys.executable, "-c", SMALL], timeout_s=300))
    connections = nobody.log.read_text().splitlines()
    bars.append(("replay as nobody: connections", len(connections), "0"))
    assert connections == []
    assert not list(nobody.out.iterdir())


@pytest.mark.slow
def test_it_replays_where_there_are_no_processes():
    """As in a browser: without modules of Unix or compiled ones of ours, starting nothing."""
    script = BARE + CAGED + SMALL + ALL_CLAIMS
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert _ok(done).splitlines() == ["no fcntl", "no isal.igzip_lib", "no process"]


@pytest.mark.slow
def test_the_command_replays(nobody):
    """Scorecard and doctor end with status 0; doctor says what is missing and how to mend it."""
    command = [sys.executable, "-m", "caveatlib.cli"]
    lines = _ok(nobody([*command, "scorecard"])).splitlines()
    assert next(line for line in lines if line.startswith("C")).startswith("C01 ")
    assert nobody.log.read_text() == ""
    found = {a["ability"]: a for a in json.loads(_ok(nobody([*command, "doctor", "--json"])))}
    assert found["process"]["available"]
    assert not found["private-engine"]["available"]
    assert not found["own-engine"]["available"]
    connections = [c for c in nobody.log.read_text().splitlines() if "docker.sock" not in c]
    assert connections == []
    nobody.log.write_text("")


@pytest.fixture(scope="module")
def page(nobody):
    """Return the folder of the page that nobody writes from recorded data, and what is said."""
    folder = nobody.out / "page"
    command = [sys.executable, "-m", "caveatlib.cli", "report", "--source", "recorded"]
    return folder, _ok(nobody([*command, "--out", folder], timeout_s=500))


@pytest.mark.slow
def test_the_report_replays(nobody, page, bars):
    """Every notebook runs and the page is written, where alone nobody may write."""
    folder, said = page
    assert all(f"Running {path.name}." in said for path in notebooks.files())
    assert "Measured on this machine" not in (folder / "index.html").read_text(encoding="utf-8")
    connections = nobody.log.read_text().splitlines()
    bars.append(("report as nobody: connections", len(connections), "0"))
    assert connections == []
    left = {p.name for p in nobody.out.iterdir()}
    assert left == {"page"}
    assert len(ALL) >= 3


@pytest.mark.browser
@pytest.mark.slow
def test_the_recorded_report_loads_nothing(require, page, bars):
    """All notebooks on recorded data: every picture shown, every cell's words, no request."""
    require(browsers.PROGRAM)
    pages = sorted(page[0].glob("*.html"))
    assert len(pages) == len(notebooks.files()) + len(notebooks.talks()) + 1
    look = """({pictures: document.querySelectorAll('svg').length,
      wordless: [...document.querySelectorAll('svg[role=img]')]
        .filter(i => i.getAttribute('aria-label').length < 20).length,
      wide: document.documentElement.scrollWidth - innerWidth,
      astray: [...document.querySelectorAll('a[href^="#"]')]
        .filter(a => !document.getElementById(decodeURIComponent(a.hash.slice(1)))).length})"""
    pictures, requests = 0, []
    with browsers.browser() as running:
        for path in pages:
            assert_self_contained(path.read_text(encoding="utf-8"))
            shown = browsers.visit(running, path.as_uri(), evaluate=look)
            assert shown.messages == [], path.name
            assert (shown.found["wordless"], shown.found["astray"]) == (0, 0), path.name
            assert shown.found["wide"] <= 0, path.name
            pictures += shown.found["pictures"]
            requests += shown.requests
    assert requests == []
    assert pictures >= len(recorded())
    size = sum(path.stat().st_size for path in pages)
    assert size <= 2_000_000
    bars.append(("report in a browser: requests", len(requests), "0"))
    bars.append(("report: page and notebooks", f"{size / 1e6:.2f} MB", "<= 2 MB"))
