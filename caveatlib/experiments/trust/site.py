"""A real registry in namespaces without a way out, its storage, and programs that run beside it.

The registry listens on loopback there, which every tool lets pass without TLS. The images come
into it by a push, as anybody's would. Programs share its network and its processes, so they end
with it; what they write lies below the lease.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from caveatlib.errors import MeasurementError
from caveatlib.experiments.trust import made
from caveatlib.instruments import published
from caveatlib.places import leases, netns, privileges, rootfs
from caveatlib.places.base import Capability
from caveatlib.places.engines import apart
from caveatlib.places.engines.engine import Engine
from caveatlib.support import programs

HOST, PORT = "127.0.0.1", 5000
LISTENS_S = 10.0
PUSH_S = 20.0
TOOL_S = 60.0
T = TypeVar("T")
# skopeo keeps a list of blobs it has seen below /var/lib; here that is forgotten with the mount.
_HIDE = """
mkdir /run/keep && mount --bind "$1" /run/keep && mount -t tmpfs tmpfs /var/lib &&
mkdir -p "$1" && mount --bind /run/keep "$1"
"""


@cache
def probe() -> Capability:
    """Return whether a registry can run in namespaces of its own, by making such namespaces."""
    missing = [p for p in ("docker-registry", "unshare", "nsenter") if programs.find(p) is None]
    if missing:
        reason = f"missing: {', '.join(missing)}"
        return Capability("own-registry", False, reason, rootfs.SYSTEM_FIX)
    try:
        programs.run(["unshare", *apart.UNSHARE, "true"])
    except MeasurementError as error:
        reason = f"the kernel refuses its namespaces: {error}"
        return privileges.refused("own-registry", reason, needs=["CAP_SYS_ADMIN"])
    return Capability("own-registry", True, "docker-registry and namespaces found")


@dataclass(frozen=True)
class Site:
    """A registry that runs, and where things lie.

    Attributes
    ----------
    pid : int
        A process whose network and pid namespaces, and mounts, are the registry's.
    storage : Path
        The registry's folder, as everybody sees it.
    folder : Path
        Where tools may write.
    address : str
        ``host:port`` of the registry, in its network namespace.
    timeout_s : float
        How long a program may take.
    """

    pid: int
    storage: Path
    folder: Path
    address: str = f"{HOST}:{PORT}"
    timeout_s: float = TOOL_S

    @property
    def repository(self) -> str:
        """Return the name under which the images are asked for, without tag or digest."""
        return f"{self.address}/{made.NAME}"

    def run(self, argv: Sequence[str], **options) -> str:
        """Run a program beside the registry; see `programs.run`."""
        home = {"HOME": str(self.folder), "COSIGN_PASSWORD": "", **options.pop("env", {})}
        inside = ["nsenter", f"--target={self.pid}", "--net", "--pid", "--mount", "--"]
        what = Path(argv[0]).name
        return programs.run(
            [*inside, *argv], timeout_s=self.timeout_s, what=what, env=home, **options
        )

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the registry's network namespace."""
        return netns.call_in(self.pid, function)

    def path(self, name: str) -> Path:
        """Return where the registry keeps a blob, ``blobs/sha256/<hex>``, or ``tags/<tag>``."""
        top = self.storage / "docker/registry/v2"
        kind, _, rest = name.partition("/")
        if kind == "tags":
            tags = top / "repositories" / made.NAME / "_manifests/tags"
            return tags / rest / "current/link"
        digest = rest.rpartition("/")[2]
        return top / "blobs/sha256" / digest[:2] / digest / "data"


@contextmanager
def alone() -> Iterator[Site]:
    """Start a registry in namespaces of its own, with the images in it."""
    leases.sweep()
    with leases.leased() as lease:
        config, storage = _configured(lease)
        argv = [programs.need("docker-registry"), "serve", str(config)]
        with apart.running(argv, lease) as process:
            what = "No namespaces were made for the registry"
            pid = programs.wait_until(lambda: apart.first(process), LISTENS_S, what)
            _await(pid)
            inside = ["nsenter", f"--target={pid}", "--mount", "--"]
            programs.run([*inside, "sh", "-c", _HIDE, "hide", str(lease.data)])
            site = Site(pid, storage, _folder(lease))
            push(site, made.in_registry())
            yield site


@contextmanager
def beside(engine: Engine) -> Iterator[Site]:
    """Start a registry in the namespaces of a private engine, with the images in it."""
    assert engine.pid is not None  # a private engine has one
    with leases.leased() as lease:
        config, storage = _configured(lease)
        argv = [programs.need("docker-registry"), "serve", str(config)]
        with apart.joined(engine.pid, argv):
            _await(engine.pid)
            site = Site(engine.pid, storage, _folder(lease))
            push(site, made.in_registry())
            yield site


def _configured(lease: leases.Lease) -> tuple[Path, Path]:
    """Write the registry's configuration; return it, and the storage's folder."""
    storage, config = lease.data / "registry", lease.run / "registry.json"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": f"{HOST}:{PORT}"},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML, too
    return config, storage


def _folder(lease: leases.Lease) -> Path:
    folder = lease.data / "tools"
    folder.mkdir()
    return folder


def _await(pid: int) -> None:
    what = "The registry did not listen"
    programs.wait_until(lambda: published.listeners(pid, port=PORT), LISTENS_S, what)


def push(site: Site, files: Mapping[str, bytes]) -> None:
    """Push blobs, and the manifests that tags name, as the distribution API has it.

    Parameters
    ----------
    site : Site
    files : mapping
        As `made.in_registry` returns them.

    Raises
    ------
    MeasurementError
        If the registry refuses one.
    """
    named = {name.partition("/")[2]: text.decode() for name, text in files.items()
             if name.startswith("tags/")}  # fmt: skip
    blobs = {made.digest(data): data for name, data in files.items() if name.startswith("blobs/")}

    def sent() -> None:
        connection = http.client.HTTPConnection(*_host(site.address), timeout=PUSH_S)
        try:
            for digest, data in blobs.items():
                _upload(connection, digest, data)
            # An index is refused as long as a manifest that it names is not there.
            for tag in sorted(named, key=lambda tag: tag == made.MANY):
                data = blobs[named[tag]]
                kind = {"Content-Type": json.loads(data)["mediaType"]}
                path = f"/v2/{made.NAME}/manifests/{tag}"
                _asked(connection, "PUT", path, data, kind)
        finally:
            connection.close()

    site.call(sent)


def _host(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _upload(connection, digest: str, data: bytes) -> None:
    where = _asked(connection, "POST", f"/v2/{made.NAME}/blobs/uploads/", b"", {})
    address = urlsplit(where)
    path = f"{address.path}?{address.query}&digest={digest.replace(':', '%3A')}"
    _asked(connection, "PUT", path, data, {"Content-Type": "application/octet-stream"})


def _asked(connection, method: str, path: str, data: bytes, headers: dict) -> str:
    """Send a request and return the Location in its answer."""
    connection.request(method, path, body=data, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status not in (201, 202):
        what = path.partition("?")[0].rpartition("/")[0]
        raise MeasurementError(f"The registry answered {answer.status} to {method} {what}.")
    return answer.getheader("Location") or ""
