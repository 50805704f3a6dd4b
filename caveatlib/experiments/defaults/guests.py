"""The same attempts in guests, whose kernel has AppArmor and more that this machine's may lack.

A guest has no engine. Its containers are made by runc from what Docker told runc on this machine
for a container with its defaults, and for a privileged one: capabilities, filter, masked paths,
devices. Docker's AppArmor profile is taken from dockerd itself, which holds it as a template.
"""

from __future__ import annotations

import functools
import json
import mmap
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from caveatlib.errors import CaveatError, MeasurementError, Unavailable
from caveatlib.experiments.defaults.containers import ATTEMPT, HOST
from caveatlib.experiments.defaults.designs import (
    APPARMOR_ONLY,
    DEFAULTS,
    NO_CONTAINER,
    PRIVILEGED,
    WITHOUT_APPARMOR,
)
from caveatlib.experiments.defaults.kernels import said
from caveatlib.places import cache
from caveatlib.places.base import Capability
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.places.machines import cpio, vm
from caveatlib.support import programs

PROFILE = "docker-default"
_BEGINS = b"profile {{.Name}} flags=(attach_disconnected,mediate_deleted) {"
_ENDS = b"\n}\n"
_RANGES = re.compile(r"\{\{range \$value := \.InnerImports\}\}.*?\{\{end\}\}", re.DOTALL)
MOST_BYTES = 16 << 10
"""Longer the template is not."""
FEATURES = "/usr/share/apparmor-features/features"
"""Of Debian's package of AppArmor, for the kernels of that release."""
OF_DOCKER = {
    DEFAULTS: (DEFAULTS, True),
    WITHOUT_APPARMOR: (DEFAULTS, False),
    APPARMOR_ONLY: (PRIVILEGED, True),
    PRIVILEGED: (PRIVILEGED, False),
}
"""Setting in a guest -> Docker's, and whether the profile is on."""
KINDS = ("proc", "tmpfs", "devpts", "sysfs", "mqueue", "cgroup")
"""Mounts that a guest can make; the others are files of the engine's machine."""

LOAD = """mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
cat /apparmor/profile >/sys/kernel/security/apparmor/.load || exit 98
mkdir /folder
"""
BARE = "attempt /folder\necho over\n"
CONTAINED = """mkdir -p /t/rootfs/proc /t/rootfs/dev /t/rootfs/sys /t/rootfs/tmp
cp /bin/attempt /t/rootfs/attempt
echo {config} >/t/config.json
runc run --no-pivot --bundle /t attempt </dev/null
echo over
"""


@dataclass(frozen=True)
class Guests:
    """Guests, one for each trial; see `Containers` for what they stand beside."""

    vm: vm.Vm

    def probe(self, setting: str) -> str:
        """Boot a guest and return what the program of `operations` wrote in it."""
        script = LOAD + (BARE if setting == NO_CONTAINER else contained(setting))
        return said(self.vm, script, ATTEMPT)

    def says(self) -> dict[str, float]:
        """Return nothing: there is no `docker info`."""
        return {}

    def metadata(self) -> dict[str, str]:
        """Return what the guest is."""
        return self.vm.metadata() | {"apparmor_profile": PROFILE}


@contextmanager
def guests() -> Iterator[Guests]:
    """Open what boots guests with the profile in them."""
    with vm.vm_place("inception") as place:
        archives = (*place.machine.archives, cache.ensure(APPARMOR) / "initramfs")
        yield Guests(replace(place, machine=replace(place.machine, archives=archives)))


def contained(setting: str) -> str:
    """Return the part of a guest's script that tries it in a container."""
    of, profiled = OF_DOCKER[setting]
    config = adapted(told_to_runc()[of], profile=PROFILE if profiled else "")
    return CONTAINED.format(config=shlex.quote(json.dumps(config, separators=(",", ":"))))


@functools.cache
def told_to_runc() -> dict[str, dict]:
    """Return what Docker tells runc of a container with its defaults, and of a privileged one."""
    with private_engine() as engine:
        return {setting: _told(engine, setting) for setting in (DEFAULTS, PRIVILEGED)}


def _told(engine: Engine, setting: str) -> dict:
    container = engine.create(["sleep", "60"], host={"runtime": "runc", **HOST[setting]})
    try:
        engine.start(container)
        run = Path(engine.where.url.removeprefix("unix://")).parent
        (path,) = run.glob(f"exec/containerd/daemon/*.task/moby/{container}/config.json")
        return json.loads(path.read_text())
    except ValueError:
        raise MeasurementError("What the engine told runc was not found, or cannot be.") from None
    finally:
        engine.remove(container)


def adapted(told: dict, *, profile: str) -> dict:
    """Return a container's configuration (runtime-spec 1.0.2) for a guest.

    Who may do what stays; network, control group and files of the engine's machine go.
    """
    process, linux = told["process"], told["linux"]
    spaces = [{"type": space["type"]} for space in linux["namespaces"]]
    kept = ("maskedPaths", "readonlyPaths", "seccomp", "sysctl")
    own = {name: process[name] for name in ("user", "capabilities") if name in process}
    return {
        "ociVersion": told["ociVersion"],
        "process": own
        | {
            "args": ["/attempt", "/tmp"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "apparmorProfile": profile,
            "noNewPrivileges": process.get("noNewPrivileges", False),
        },
        "root": {"path": "/t/rootfs"},
        "mounts": [mount for mount in told["mounts"] if mount["type"] in KINDS],
        "linux": {name: linux[name] for name in kept if name in linux}
        | {
            "cgroupsPath": "/attempt",
            "namespaces": spaces,
            "resources": {"devices": linux["resources"].get("devices", [])},
        },
    }


@functools.cache
def profile_text() -> str:
    """Return Docker's AppArmor profile, filled in as dockerd fills it.

    Raises
    ------
    Unavailable
        If this dockerd holds none, or one of another form.
    """
    path = programs.need("dockerd")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = data.find(_BEGINS)
        end = data.find(_ENDS, begin, begin + MOST_BYTES)
        if begin < 0 or end < 0:
            raise Unavailable("This dockerd holds no AppArmor profile of a known form.")
        template = data[begin : end + len(_ENDS)].decode()
    text = _RANGES.sub("", template)
    text = text.replace("{{.Name}}", PROFILE).replace("{{.DaemonProfile}}", "unconfined")
    if "{{" in text:
        raise Unavailable("This dockerd holds an AppArmor profile of another form.")
    return f"@{{PROC}}=/proc/\n{text}"


def _build(out: Path) -> None:
    parser = programs.need("apparmor_parser")
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "source"), Path(folder, "binary")
        source.write_text(profile_text())
        # What the kernel can enforce: this machine's may have nothing to ask.
        features = [f"--{whose}-features={FEATURES}" for whose in ("kernel", "policy")]
        options = ("--skip-kernel-load", "--skip-cache", "--ofile", str(binary))
        programs.run([parser, *features, *options, str(source)], timeout_s=60)
        entries = {"apparmor/profile": (cpio.REGULAR, binary.read_bytes())}
    (out / "initramfs").write_bytes(cpio.archive(entries))


APPARMOR = cache.Artefact(
    "guest-apparmor",
    "Docker's AppArmor profile for virtual machines",
    lambda: {"profile": profile_text(), "features": FEATURES},
    _build,
    disk_bytes=1_000_000,
)


@functools.cache
def probe() -> Capability:
    """Return whether Docker's profile can be put into a guest."""
    name = "AppArmor in a guest"
    try:
        cache.ensure(APPARMOR)
    except CaveatError as error:
        return Capability(name, False, str(error), cache.PREPARE)
    return Capability(name, True, "the profile is dockerd's own")
