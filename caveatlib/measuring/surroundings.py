"""What this machine is itself inside of: a virtual machine of some product, a sandbox, a container.

Told from files alone; nothing is started and nobody is asked. What each product leaves
there, and where that can be read:

* WSL: "Microsoft" in the name of the kernel, ``-microsoft-standard-WSL2`` of version 2
  (github.com/microsoft/WSL, issues 423 and 4555).
* Docker Desktop: a kernel named ``-linuxkit`` (github.com/linuxkit/linuxkit).
* Lima, and Colima, which is built on it: ``/mnt/lima-cidata``, and Colima's disk at
  ``/mnt/lima-colima`` (github.com/lima-vm/lima, ``docs/internals``).
* Podman machine: ``/etc/containers/podman-machine``, from version 6.0 on
  ``/etc/podman-machine`` (github.com/containers/podman, ``pkg/machine/marker.go``).
* Kata: a share named ``kataShared`` in the table of mounts (github.com/kata-containers).
* gVisor: a build date that its code states (github.com/google/gvisor,
  ``pkg/sentry/syscalls/linux/linux64.go``).
* Firecracker: ``FIRECK`` as the maker of its ACPI tables (github.com/firecracker-microvm).
* Containers: ``/.dockerenv``, ``/run/.containerenv``, ``/run/systemd/container``
  (systemd.io/CONTAINER_INTERFACE).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SENTRY = "Sun Jan 10 15:06:54 PST 2016"
"""When gVisor says that its kernel was built, whichever version it says it is."""


class Surrounding(NamedTuple):
    """Something that this machine is inside of.

    Attributes
    ----------
    name : str
    means : str
        What it means for what caveatlib measures here, in a sentence.
    """

    name: str
    means: str


def surroundings(root: Path = Path("/")) -> list[Surrounding]:
    """Return what this machine is inside of, the outermost first; empty if nothing is told.

    Parameters
    ----------
    root : path
        Where the machine's files are.
    """
    return [Surrounding(name, means) for name, inside, means in _KINDS if inside(root)]


def _text(root: Path, path: str) -> str:
    """Return the beginning of a file; empty if there is none to read."""
    try:
        with (root / path).open("rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""


def _kernel(root: Path) -> str:
    return _text(root, "proc/version")


def _any(*paths: str) -> Callable[[Path], bool]:
    return lambda root: any((root / path).exists() for path in paths)


def _wsl(root: Path) -> bool:
    return "microsoft" in _kernel(root).lower()


def _wsl2(root: Path) -> bool:
    return "WSL2" in _kernel(root) or "microsoft-standard" in _kernel(root)


_colima = _any("mnt/lima-colima")
_KINDS: tuple[tuple[str, Callable[[Path], bool], str], ...] = (
    (
        "WSL 1",
        lambda root: _wsl(root) and not _wsl2(root),
        "Windows answers the system calls, there is no Linux kernel: no namespaces, no control "
        "groups, no engine. Bare processes can be measured, the rest is replayed.",
    ),
    (
        "WSL 2",
        _wsl2,
        "Linux runs in a virtual machine of Windows: what is measured holds for that machine, "
        "and a folder under /mnt is one of Windows.",
    ),
    (
        "Docker Desktop",
        lambda root: "-linuxkit" in _kernel(root),
        "Containers run in a virtual machine of Docker Desktop: what is measured holds for that "
        "machine, and its proxy to the laptop is not what `ports` measures.",
    ),
    (
        "Colima",
        _colima,
        "Containers run in a virtual machine of Colima: what is measured holds for that machine.",
    ),
    (
        "Lima",
        lambda root: _any("mnt/lima-cidata")(root) and not _colima(root),
        "This is a virtual machine of Lima: what is measured holds for that machine.",
    ),
    (
        "Podman machine",
        _any("etc/podman-machine", "etc/containers/podman-machine"),
        "Containers run in a virtual machine of Podman: what is measured holds for that machine.",
    ),
    (
        "Firecracker",
        lambda root: "FIRECK" in _text(root, "sys/firmware/acpi/tables/FACP"),
        "This is a microVM of Firecracker: virtual machines within it are emulated unless its "
        "host nests KVM.",
    ),
    (
        "Kata",
        lambda root: "kataShared" in _text(root, "proc/self/mountinfo"),
        "This container has a virtual machine and a kernel of its own: what `kernel` says of a "
        "shared one does not hold for it and its neighbours.",
    ),
    (
        "gVisor",
        lambda root: SENTRY in _kernel(root),
        "Every system call is answered by gVisor: what is measured is its kernel, not Linux.",
    ),
    (
        "a container",
        _any(".dockerenv", "run/.containerenv", "run/systemd/container"),
        "Root may lack rights that live measuring needs; the abilities above say which.",
    ),
)
"""Name, how it is told by the files below a root, and what it means here."""
