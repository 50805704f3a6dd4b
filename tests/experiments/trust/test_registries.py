"""Real registries and tools: one trial of each kind, nothing left, and registries that lie."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import left
import pytest
from serving import send, serving

from caveatlib.errors import CaveatError, DeadlineExceeded, MeasurementError, Unavailable
from caveatlib.experiments.trust import bench, made, places, planted, site, tampering, tools, words
from caveatlib.experiments.trust.designs import COSIGN, DOCKER, GPG, PINNED, READER, SKOPEO, UMOCI
from caveatlib.experiments.trust.made import CURRENT, image
from caveatlib.experiments.trust.site import Site
from caveatlib.experiments.trust.tampering import ARCHIVE, DIGEST, LAYOUT, TAG
from caveatlib.places import leases, spec
from caveatlib.support import processes

pytestmark = pytest.mark.beside

SAW = {
    DOCKER: [(TAG, "layer-replaced", words.LAYER), (ARCHIVE, "config-replaced", "")],
    SKOPEO: [(DIGEST, "manifest-annotated", words.MANIFEST), (TAG, "manifest-other-layer", "")],
    UMOCI: [(LAYOUT, "layers-swapped", words.LAYER), (LAYOUT, "rewritten", "")],
    READER: [(TAG, "config-replaced", words.CONFIG), (TAG, "tag-older", "")],
    GPG: [(TAG, "tag-unsigned", words.SIGNATURE), (TAG, "tag-older", "")],
    COSIGN: [(TAG, "tag-other-key", words.SIGNATURE), (TAG, "layer-replaced", "")],
    PINNED: [(TAG, "layer-replaced", words.LAYER), (TAG, "tag-older", "")],
}
"""Tool -> what it was seen to do: the check that refused, or "" where it took the image."""


SELDOM = (COSIGN, PINNED)


@pytest.mark.parametrize(
    "tool", [pytest.param(tool, marks=pytest.mark.slow) if tool in SELDOM else tool for tool in SAW]
)
def test_real_tools(tool, require):
    """What nobody touched passes; one tampering is refused and one is not; nothing is left."""
    for probe in places.PLACES[tool].probes():
        require(probe().name)
    with left.state() as folder:
        before = left.here()
        with spec.opened({tool: places.PLACES[tool]}, engine="none") as opened:
            there = opened[tool]
            assert not isinstance(there, Exception), there
            form = SAW[tool][0][0]
            good = there.fetch(form, tampering.NOTHING)
            assert (good["accepted"], good["same_content"]) == (1, 1)
            for given, what, check in SAW[tool]:
                found = there.fetch(given, what)
                assert found["accepted"] == float(not check), (given, what)
                assert found.get("check", "") == check
                assert found["altered_bytes"] > 0
            again = there.fetch(form, tampering.NOTHING)
            assert (again["accepted"], again["same_content"]) == (1, 1)
            if tool == DOCKER:
                facts = there.metadata()
                assert facts["storage_driver"] == "overlay2"  # not a snapshotter of containerd
                assert facts["engine_version"]
                named = there.planted(planted.MADE_UP)
                assert set(named.values()) == {""}
                assert there.planted(planted.STEPS)[planted.SECRET] == "history"
        assert left.until(lambda: not left.processes(state=folder))
        assert not left.more(before)
        assert not list(folder.rglob("*.key"))
        assert not left.mounts(folder)


@pytest.mark.parametrize("tool", [GPG, DOCKER])
@pytest.mark.slow
def test_killed_nothing_is_left(tool, require):
    """After SIGKILL no process, mount, namespace or key is left once the next start has swept."""
    for probe in places.PLACES[tool].probes():
        require(probe().name)
    code = (
        "import time\n"
        "from caveatlib.experiments.trust import places\n"
        "from caveatlib.places import spec\n"
        f"with spec.opened({{'t': places.PLACES[{tool!r}]}}, engine='none') as opened:\n"
        "    assert not isinstance(opened['t'], Exception), opened['t']\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with left.state() as folder:
        owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert left.processes(state=folder)
        if tool == GPG:
            assert list(folder.rglob("gpg-mine/**/*.key"))  # else nothing would be shown below
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(10)
        assert left.until(lambda: not left.processes(state=folder))
        leases.sweep()
        assert not list(folder.rglob("*"))
        assert not left.mounts(folder)


# Registries that lie. They stand on this machine's loopback; the tools run where we do.


@contextlib.contextmanager
def served(answer):
    """Serve requests with ``answer(handler, data, media_type)``; yields ``host:port``.

    The data are those that an honest registry of our images would send.
    """
    files = made.in_registry()
    blobs = {made.digest(data): data for name, data in files.items() if name[:5] == "blobs"}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            name = self.path.rpartition("/")[2]
            name = files.get(f"tags/{name}", name.encode()).decode()
            if self.path.rstrip("/") == "/v2":
                return send(self, b"{}")
            if name not in blobs:
                return send(self, b"{}", 404)
            kind = json.loads(blobs[name])["mediaType"] if "/manifests/" in self.path else "a/b"
            answer(self, blobs[name], kind)
            return None

        def handle(self):
            with contextlib.suppress(OSError):
                super().handle()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        yield address


def honest(handler, data, kind):
    send(handler, data, Content_Type=kind)


def says_more(handler, data, kind):
    big = "/blobs/" in handler.path
    send(handler, data, Content_Type=kind, Content_Length=str(len(data) + 1000 * big))
    handler.close_connection = True


def closes(handler, data, kind):
    if "/blobs/" not in handler.path:
        return send(handler, data, Content_Type=kind)
    send(handler, data[: len(data) // 2], Content_Type=kind, Content_Length=str(len(data)))
    handler.close_connection = True
    return None


def drips(handler, data, kind):
    send(handler, b"", Content_Type=kind, Content_Length=str(len(data)))
    for byte in data:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.2)


def elsewhere(handler, data, kind):
    send(handler, b"", 307, Location="http://registry.invalid/v2/")


LIES = [says_more, closes, drips, elsewhere]


def here(folder: Path, address: str, timeout_s: float) -> Site:
    """Return a site where we are, with a registry at an address."""
    return Site(os.getpid(), folder / "none", folder, address, timeout_s=timeout_s)


@pytest.mark.parametrize("tool", [tools.skopeo, tools.reader], ids=lambda t: t.__name__)
@pytest.mark.parametrize("lie", [honest, *LIES], ids=lambda f: f.__name__)
def test_a_registry_that_lies_is_a_failed_trial(tool, lie, tmp_path, require, monkeypatch):
    """It fails in one line, within its time; a lie of the transport is no tampering noticed."""
    require("skopeo")
    require("mounts")
    if tool is tools.reader and lie is drips:
        from caveatlib.images.registry import Registry

        real = Registry.__init__
        monkeypatch.setattr(Registry, "__init__", lambda self, name, **options: real(
            self, name, **options | {"deadline_s": 1}))  # fmt: skip
    started = time.monotonic()
    with served(lie) as address:
        there = here(tmp_path, address, 1.0 if lie is drips else 20.0)
        asked = bench.Bench(there, tool)
        if lie is honest:
            found = asked.fetch(TAG, tampering.NOTHING)
            assert (found["accepted"], found["same_content"]) == (1, 1)
            return
        with pytest.raises((MeasurementError, Unavailable)) as caught:
            asked.fetch(TAG, tampering.NOTHING)
    assert time.monotonic() - started < 30
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, CaveatError)
    if lie is drips:
        assert isinstance(caught.value, DeadlineExceeded)
    assert not list((tmp_path / "out").iterdir())


def test_a_registry_that_does_not_come_up(require, monkeypatch):
    """One that never listens is one line within the time, and nothing of it stays."""
    require("own-registry")
    monkeypatch.setattr(site, "LISTENS_S", 0.5)
    monkeypatch.setattr(site.published, "listeners", lambda *_, **__: [])
    with left.state() as folder:
        with pytest.raises(DeadlineExceeded, match="did not listen"), site.alone():
            pass
        assert not list(folder.rglob("*"))
        assert not left.processes(state=folder)


def test_what_is_pushed_lies_where_it_is_looked_for(require):
    """Blobs and tags of a real registry, byte for byte; all that it holds is ours."""
    require("own-registry")
    with left.state(), site.alone() as there:
        for name, data in made.in_registry().items():
            assert there.path(name).read_bytes() == data, name
        held = {p.parent.name for p in there.storage.rglob("data")}
        assert held == {made.digest(d)[7:] for n, d in made.in_registry().items() if n[0] == "b"}
        assert image(CURRENT).digest[7:] in held
        owner = processes.owner_token()
        assert left.processes(owner)
    assert left.until(lambda: not left.processes(owner))
