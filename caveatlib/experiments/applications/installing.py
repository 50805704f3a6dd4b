"""Images of applications, installed with apt on a full and a minimal Debian, once, and kept.

As a Dockerfile's ``RUN apt-get install`` would: in a container of the base, whose changes become a
layer. On the full Debian with what the packages recommend, on the minimal one without, as people do
who want small images. A private engine has no network, so apt on the host downloads beforehand, by
the base's own list of packages, from the archive that the base is of; the container is given what
came. The lists are not kept in the image, and neither are the packages, as Debian's own images see
to. An image is kept as an archive, to be read and loaded, and in a registry's folder, to be pulled.
Both are large: they are made on request alone (see `caveatlib.prepare`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache as cached
from functools import partial
from pathlib import Path

from caveatlib.errors import MeasurementError
from caveatlib.experiments.applications import catalogue
from caveatlib.experiments.applications.catalogue import Application
from caveatlib.instruments.registry import REGISTRY, served_beside
from caveatlib.places import cache, debian, debians, leases
from caveatlib.places.base import Capability
from caveatlib.places.engines import belongings
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.support import programs

RECOMMENDS = {"full": True, "minimal": False}
"""Whether what packages recommend is installed, too."""
FETCH_S, INSTALL_S = 900.0, 900.0
STATUS = "var/lib/dpkg/status"
ABOUT, STORAGE = "about.json", "registry"
_LISTS, _ARCHIVES, _SOURCES = "lists", "archives", "sources.list"
# As in Debian's own images: no service is started while packages are installed, and apt's indexes,
# tens of megabytes, are not kept.
_INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y --no-download {options} install {packages}
rm -f /var/cache/apt/*.bin
mkdir -p /srv/marks
for n in $(seq 1 {marks}); do echo "$n" >"/srv/marks/$n"; done
dpkg-query -W -f '{told} ${{Package}} ${{Version}}\\n' {packages}
{setup}
"""
_TOLD = "installed:"


def name_of(application: str, base: str) -> str:
    """Return what an image is called in an engine, ``"caveatlib/redis:full"``."""
    return f"{belongings.REPOSITORIES}{application}:{base}"


def archive_of(application: str, base: str) -> Path:
    """Return the archive of an image.

    Raises
    ------
    Unavailable
        If it is not prepared.
    """
    return cache.find(artefact_of(application)) / f"{base}.tar.zst"


def pushed_as(application: str, base: str) -> str:
    """Return what an image is called in the registry."""
    return f"{REGISTRY}/{application}:{base}"


def storage_of(application: str) -> Path:
    """Return the folder of the registry that has an application's images.

    Raises
    ------
    Unavailable
        If they are not prepared.
    """
    return cache.find(artefact_of(application)) / STORAGE


def about(application: str) -> dict[str, str]:
    """Return of which suite an application is, and the versions of what was asked of apt."""
    found = json.loads((cache.find(artefact_of(application)) / ABOUT).read_text())
    return {str(name): str(value) for name, value in found.items()}


def _build(application: Application, bases: Sequence[str], out: Path) -> None:
    made = cache.ensure(debians.ARTEFACT)
    versions: dict[str, str] = {}
    for base in bases:
        fetched = out / f"fetched-{base}"
        _fetch(application, base, made / f"{base}.tar", fetched)
        with private_engine(insecure_registries=[REGISTRY]) as engine:
            versions |= _install(engine, application, base, fetched)
            if application.port:
                _push(engine, application, base, out / STORAGE)
            raw = out / f"{base}.tar"
            with raw.open("wb") as target:
                for chunk in engine.saved(name_of(application.name, base), timeout_s=INSTALL_S):
                    target.write(chunk)
        programs.run(["zstd", "-q", "-3", "--rm", str(raw)], timeout_s=INSTALL_S)
        programs.run(["rm", "-r", str(fetched)], timeout_s=60)
    told = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    facts = {"suite": debian.archive()[0], "packages": told}
    (out / ABOUT).write_text(json.dumps(facts, indent=1))


def _fetch(application: Application, base: str, tree: Path, out: Path) -> None:
    """Download what apt would, were it asked on the base."""
    for folder in (_LISTS, _ARCHIVES):
        (out / folder / "partial").mkdir(parents=True)
    argv = ["tar", "-xf", str(tree), "-C", str(out), f"./{STATUS}"]
    programs.run(argv, timeout_s=FETCH_S)
    suite, mirror = debian.archive()
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (out / _SOURCES).write_text(f"deb [signed-by={key}] {mirror} {suite} main\n")
    own = (
        f"Dir::State::status={out / STATUS}",
        f"Dir::State::extended_states={out / 'extended'}",
        f"Dir::State::lists={out / _LISTS}",
        f"Dir::Cache::archives={out / _ARCHIVES}",
        f"Dir::Etc::sourcelist={out / _SOURCES}",
        "Dir::Etc::sourceparts=-",
        "Dir::Etc::preferences=-",
        "Dir::Etc::preferencesparts=-",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        f"Dir::Cache::pkgcache={out / 'pkgcache.bin'}",
        f"Dir::Cache::srcpkgcache={out / 'srcpkgcache.bin'}",
    )
    options = [word for setting in own for word in ("-o", setting)]
    programs.run(["apt-get", "-q", *options, "update"], timeout_s=FETCH_S)
    argv = ["apt-get", "-q", "-y", "--download-only", *options, *_recommends(base).split()]
    programs.run([*argv, "install", *application.packages], timeout_s=FETCH_S)


def _recommends(base: str) -> str:
    return f"-o APT::Install-Recommends={'true' if RECOMMENDS[base] else 'false'}"


def _install(engine: Engine, application: Application, base: str, fetched: Path) -> dict[str, str]:
    """Install and set up the application in a container of the base, and keep that as an image."""
    script = _INSTALL.format(
        options=_recommends(base),
        packages=" ".join(application.packages),
        marks=catalogue.MARKS,
        told=_TOLD,
        setup=application.setup,
    )
    inside = {
        _LISTS: "/var/lib/apt/lists",
        _ARCHIVES: "/var/cache/apt/archives",
        _SOURCES: "/etc/apt/sources.list",
    }
    binds = {str(fetched / name): {"bind": path, "mode": "rw"} for name, path in inside.items()}
    host = {"binds": binds, "network_mode": "none"}
    image = debians.imported(engine, base)
    container = engine.create(["sh", "-ec", script], image=image, host=host)
    try:
        engine.start(container)
        status = engine.wait(container, timeout_s=INSTALL_S)
        said = engine.call("logs", engine.api.logs, container).decode(errors="replace")
        if status:
            last = (said.strip() or f"status {status}").splitlines()[-1]
            raise MeasurementError(f"{application.title} cannot be installed on {base}: {last}")
        repository, _, tag = name_of(application.name, base).partition(":")
        engine.call(
            "commit", engine.api.commit, container, repository=repository, tag=tag,
            timeout_s=INSTALL_S,
        )  # fmt: skip
    finally:
        engine.remove(container)
    lines = [line.split() for line in said.splitlines() if line.startswith(_TOLD)]
    return {name: version for _, name, version in lines}


def _push(engine: Engine, application: Application, base: str, storage: Path) -> None:
    """Push an image to a registry that keeps it in a folder."""
    storage.mkdir(exist_ok=True)
    with (
        leases.leased() as lease,
        served_beside(
            engine.pid,
            storage=storage,
            files=lease.data,
            config=lease.run / "registry.json",
            readonly=False,
        ),
    ):
        repository, _, tag = pushed_as(application.name, base).rpartition(":")
        image = name_of(application.name, base)
        engine.call("tag", engine.api.tag, image, repository, tag)
        engine.push(f"{repository}:{tag}", timeout_s=INSTALL_S)


def _recipe(application: Application, bases: Sequence[str]) -> dict[str, str]:
    return {
        "bases": f"{' '.join(bases)} of {cache.checksum(debians.ARTEFACT)}",
        "packages": " ".join(application.packages),
        "setup": application.setup,
        "marks": str(catalogue.MARKS),
        "install": _INSTALL,
    }


def _artefact(application: Application, bases: Sequence[str], disk_bytes: int) -> cache.Artefact:
    name = f"application-{application.name}"
    return cache.Artefact(
        name,
        f"{application.title}, installed on {' and '.join(f'a {base}' for base in bases)} Debian",
        partial(_recipe, application, bases),
        partial(_build, application, bases),
        download_bytes=100_000_000 * len(bases),
        disk_bytes=disk_bytes,
        needs_root=True,
        fix=cache.on_request(name),
    )


_CLIENTS = Application(
    name=catalogue.CLIENTS,
    title="What asks the applications",
    packages=catalogue.CLIENT_PACKAGES,
    argv=("sleep", "infinity"),
    port=0,
    workload="",
)
CLIENTS = _artefact(_CLIENTS, ("minimal",), 600_000_000)
ARTEFACTS = (CLIENTS, *(_artefact(a, tuple(RECOMMENDS), 1_500_000_000) for a in catalogue.ALL))
"""Made on request: each of them is a few hundred megabytes."""
_BY_NAME = {artefact.name: artefact for artefact in ARTEFACTS}


def artefact_of(application: str) -> cache.Artefact:
    """Return what an application's images are kept as; also that of `catalogue.CLIENTS`."""
    return _BY_NAME[f"application-{application}"]


@cached
def probe(application: str) -> Capability:
    """Return whether an application's images are prepared."""
    artefact = artefact_of(application)
    if cache.path(artefact).is_dir():
        return Capability(artefact.name, True, "prepared")
    return Capability(artefact.name, False, "not prepared", f"as root: {artefact.fix}")
