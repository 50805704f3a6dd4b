"""Things hidden in an image, and which tool names them.

Each image is a small Debian's skeleton with one thing planted. An image's history is text of its
author, here ours: it is tried with the steps in it, as a build would name them, and made up. A tool
names a thing if what it prints has the path (of a renamed base: what the base really is).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from caveatlib import images
from caveatlib.experiments.trust import made
from caveatlib.experiments.trust.site import Site
from caveatlib.images.secrets import PRIVATE_KEY
from caveatlib.places.engines import answers
from caveatlib.places.engines.connection import CALL_S
from caveatlib.places.engines.engine import Engine

STEPS, MADE_UP = "history as built", "history made up"
"""Both written by us. The first names the steps as a build would; version 1 recorded it by this
name, which `TOLD` has in words."""
HISTORIES = (STEPS, MADE_UP)
TOLD = {STEPS: "history that names the steps"}
CLEAN = "nothing planted"
SECRET, SHELL, SETUID, BASE = "deleted key", "script as /bin/sh", "setuid shell", "renamed base"
PLANTS = (SECRET, SHELL, SETUID, BASE)
BY = ("history", "inspect", "packages", "files", "secrets", "olives")
"""Where a tool named it."""
NAME = f"{made.NAME}:planted"
_CLAIMED = "org.opencontainers.image.base.name"
_IDLE = "RUN apt-get update && apt-get upgrade"
_KEY, _SETUID = "root/.ssh/id_rsa", "usr/lib/.cache/run"
_ELF = b"\x7fELF" + bytes(60)
_SCRIPT = b"#!/usr/bin/python3\nprint('Nothing to see here.')\n"
_BASE = {
    "bin/sh": _ELF,
    "etc/os-release": b'ID=debian\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\n',
    "var/lib/dpkg/status": b"Package: dash\nStatus: install ok installed\nVersion: 0.5\n"
    b"Architecture: amd64\nMaintainer: nobody\nDescription: shell\n",
    "var/lib/dpkg/info/dash.list": b"/.\n/bin\n/bin/sh\n",
}


class Plant(NamedTuple):
    """What is planted: layers on top of the base, the lines a build writes for them, its trace."""

    layers: tuple[Mapping[str, bytes], ...]
    lines: tuple[str, ...]
    trace: str


OF = {
    SECRET: Plant(
        ({_KEY: b"-----BEGIN OPENSSH PRIVATE KEY-----\n"}, {"root/.ssh/.wh.id_rsa": b""}),
        (f"COPY id_rsa /{_KEY}", f"RUN rm /{_KEY}"),
        f"/{_KEY}",
    ),
    SHELL: Plant(({"bin/sh": _SCRIPT},), ("COPY sh /bin/sh",), "/bin/sh"),
    SETUID: Plant(({_SETUID: _ELF},), (f"COPY run /{_SETUID}",), f"/{_SETUID}"),
    BASE: Plant((), (), "ebian"),
    CLEAN: Plant((), (), ""),
}


def archive(plant: str, history: str) -> bytes:
    """Return an image as ``docker load`` takes it."""
    of = OF[plant]
    modes = {"bin/sh": 0o755, _SETUID: 0o4755}
    layers = [made.tar(files, modes) for files in (_BASE, *of.layers)]
    lines = ["ADD debian-13-rootfs.tar /" if plant == BASE else "ADD rootfs.tar /", *of.lines]
    if history == MADE_UP:
        lines = [_IDLE] * len(lines)
    labels = {_CLAIMED: "alpine:3.20" if plant == BASE else "debian:13"}
    config = json.loads(made.config_of(layers, "/bin/sh", Labels=labels))
    config["history"] = [{"created_by": line} for line in lines]
    settings = made.dumps(config)
    item = {
        "Config": made.config_name(settings),
        "RepoTags": [NAME],
        "Layers": [made.layer_name(layer) for layer in layers],
    }
    files = {made.layer_name(layer): layer for layer in layers}
    return made.tar(files | {item["Config"]: settings, "manifest.json": made.dumps([item])})


Said = Mapping[str, str]
"""Part of what a tool says (one of `BY`) -> the text."""
Teller = Callable[[Site, Path], Said]
"""Given an archive, returns what a tool says of it."""


def named(said: Said, plant: str) -> str:
    """Return by what a tool named the thing planted; "" if by nothing.

    Of an image with nothing planted: what it would have named.
    """
    sought = [p for p in PLANTS if p != BASE] if plant == CLEAN else [plant]
    traces = [OF[p].trace for p in sought]
    return next((by for by, text in said.items() if any(t in text for t in traces)), "")


def by_docker(engine: Engine) -> Teller:
    """Return what ``docker history`` and ``docker inspect`` say."""

    def tell(site: Site, path: Path) -> Said:
        api = engine.api
        engine.load(path, timeout_s=CALL_S)
        lines = answers.as_list(engine.call("history", api.history, NAME))
        about = answers.as_dict(engine.call("inspect", api.inspect_image, NAME))
        created = " ".join(str(line.get("CreatedBy")) for line in lines)
        # A container of it would run /bin/sh, whatever that is.
        about.get("Config", {}).pop("Cmd", None)
        return {"history": created, "inspect": json.dumps(about)}

    return tell


def by_reader(site: Site, path: Path) -> Said:
    """Return what `caveatlib.images` lists."""
    found = images.read(path, olives=True)
    files, secrets, olives = found.files, found.secrets, found.olives
    setuid = files["path"][files["setuid"] & files["hidden_by"].isna()]
    scripts = olives["path"][olives["expected"].str.contains("/bin/sh")]
    managers = {"dpkg": "Debian", "apk": "Alpine"}
    return {
        "secrets": " ".join(secrets["path"][secrets["kind"] == PRIVATE_KEY]),
        "olives": " ".join(scripts),
        "files": " ".join(setuid),
        "packages": " ".join(managers.get(m, m) for m in found.packages["manager"].unique()),
    }


def by_syft(site: Site, path: Path) -> Said:
    """Return what syft catalogues: packages, and the distribution."""
    env = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
    argv = ["syft", "scan", f"docker-archive:{path}", "--quiet", "--output", "syft-json"]
    value = json.loads(site.run(argv, env=env))
    distribution = value.get("distro", {}).get("prettyName", "")
    names = [f"{a.get('name')} {a.get('type')}" for a in value.get("artifacts", [])]
    return {"packages": f"{distribution} {' '.join(names)}"}
