"""Small programs in C that come with the package, built static by the one prepare step.

What runs in a guest or a container beside busybox (a fork bomb, a heartbeat, a probe) is C of a
few dozen lines. One that a single experiment needs lies in its folder, others beside the
instrument that uses them. A program is an `Artefact` like any other::

    BOMB = compiled.program(Path(__file__).with_name("bomb.c"))

    ARTEFACTS = (BOMB,)                                # `caveatlib.prepare` builds it
    Spec(needs=(partial(compiled.probe, BOMB), ...))   # `doctor` names it
    Workload("bomb 500", programs=(BOMB,))             # runc, engines, virtual machines have it
    compiled.path(BOMB).read_bytes()                   # for an archive or image of one's own

It is static, so that it needs nothing where it runs, and it is in the workload's ``PATH``.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path

from caveatlib.errors import FAILURES
from caveatlib.places import cache
from caveatlib.places.base import Capability
from caveatlib.places.cache import Artefact
from caveatlib.support import programs
from caveatlib.support.privacy import scrub

FLAGS = ("-std=gnu11", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror")
COMPILE_S = 60.0
PREFIX = "program-"
"""Begins the name of such an artefact."""


def program(source: Path, *headers: Path) -> Artefact:
    """Return the program that a C file, and the headers it includes, are the source of.

    Its name is the file's. A header that several programs share lies with the instruments.
    """
    name = source.stem

    def recipe() -> dict[str, str]:
        # Not the compiler: a prepared program is good where none is installed.
        shared = {header.name: header.read_text() for header in headers}
        own = {"source": source.read_text(), "flags": " ".join(FLAGS), "for": platform.machine()}
        return own | shared

    def build(out: Path) -> None:
        gcc = programs.need("gcc", "gcc libc6-dev")
        folders = [f"-I{header.parent}" for header in headers]
        argv = [gcc, *FLAGS, *folders, "-o", str(out / name), str(source)]
        programs.run(argv, timeout_s=COMPILE_S, what=f"gcc {source.name}")

    return Artefact(f"{PREFIX}{name}", f"The program {name!r}", recipe, build, disk_bytes=1_000_000)


def name(artefact: Artefact) -> str:
    """Return a program's name, under which a workload's script calls it."""
    return artefact.name.removeprefix(PREFIX)


def is_program(artefact: Artefact) -> bool:
    """Whether an artefact is such a program, which takes a second to make and no download."""
    return artefact.name.startswith(PREFIX)


def path(artefact: Artefact) -> Path:
    """Return a program's file, and compile it first if it is not prepared.

    Raises
    ------
    Unavailable
        If it is not prepared and there is no compiler.
    MeasurementError
        If it does not compile.
    """
    return cache.ensure(artefact) / name(artefact)


@functools.cache
def probe(artefact: Artefact) -> Capability:
    """Return whether a program is there, or can be compiled here; the ability is named after it."""
    ability = f"program {name(artefact)}"
    try:
        path(artefact)
    except FAILURES as error:
        return Capability(ability, False, scrub(error), cache.PREPARE)
    return Capability(ability, True, "compiled, static")
