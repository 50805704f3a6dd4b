"""How many CPUs tools report that they may use, asked inside a limited group.

A tool is asked as its users ask it: by the call or command that programs take
their number of threads from. "Inside" means that the tool's process is in the
limited group from its first instruction; it runs on the host's own files, so
that every tool installed here can be asked, under any container's limits.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from caveatlib.errors import DeadlineExceeded, MeasurementError, Unavailable, UsageError
from caveatlib.places import cache
from caveatlib.places.cgroups.cgroup import Group
from caveatlib.support import programs

TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 300.0

_ANSWERS = (
    "GOMAXPROCS",
    "PYTHON_CPU_COUNT",
    "LOKY_MAX_CPU_COUNT",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "OMP_NUM_THREADS",
    "OMP_THREAD_LIMIT",
)
"""Variables that would answer in the tool's place."""

_GO = 'package main\nimport "runtime"\nfunc main() { print(runtime.GOMAXPROCS(0)) }\n'


class Answer(NamedTuple):
    """A tool's version, and how many CPUs it reports."""

    version: str
    cpus: int


def installed() -> list[str]:
    """Return the names of the tools that can be asked on this machine, in fixed order."""
    return [name for name, (here, _) in _TOOLS.items() if here()]


def ask(tool: str, group: Group) -> Answer:
    """Ask one tool inside a group.

    Raises
    ------
    UsageError
        If there is no such tool.
    Unavailable
        If it is not installed here.
    DeadlineExceeded
        If it does not answer within a minute.
    MeasurementError
        If its answer holds no number of CPUs.
    """
    if tool not in _TOOLS:
        raise UsageError(f"Unknown tool {tool!r}. Must be one of {', '.join(_TOOLS)}.")
    here, asked = _TOOLS[tool]
    if not here():
        raise Unavailable(f"{tool} is not installed here.")
    return Answer(*asked(group))


def _python(expression: str) -> Callable:
    code = f"import os, platform; print(platform.python_version(), {expression})"
    return lambda group: _pair(_output(group, [sys.executable, "-I", "-c", code]))


def _module(name: str) -> Callable:
    code = f"import {name}; print({name}.__version__, {name}.cpu_count())"
    return lambda group: _pair(_output(group, [sys.executable, "-I", "-W", "ignore", "-c", code]))


def _nproc(group: Group) -> tuple[str, int]:
    # "nproc (GNU coreutils) 9.7"
    version = _output(group, ["nproc", "--version"]).splitlines()[0]
    return _number(r"([\d.]+)$", version), int(_number(r"^(\d+)$", _output(group, ["nproc"])))


def _busybox(group: Group) -> tuple[str, int]:
    # "BusyBox v1.37.0 (Debian 1:1.37.0-6+b9) multi-call binary."
    version = _number(r"BusyBox v([\d.]+)", _output(group, ["busybox"]))
    return version, int(_number(r"^(\d+)$", _output(group, ["busybox", "nproc"])))


def _node(expression: str) -> Callable:
    code = f"console.log(process.versions.node, {expression})"
    return lambda group: _pair(_output(group, ["node", "-e", code]))


def _java(group: Group) -> tuple[str, int]:
    text = _output(group, ["java", "-XshowSettings:system", "-version"])
    # 'openjdk version "17.0.21" 2026-10-20' and '    Effective CPU Count: 1'
    version = _number(r'version "([^"]+)"', text)
    return version, int(_number(r"Effective CPU Count: (\d+)", text))


def _go(group: Group) -> tuple[str, int]:
    # "go version go1.24.4 linux/amd64"
    version = _number(r"go version go(\S+)", programs.run(["go", "version"], timeout_s=TIMEOUT_S))
    return version, int(_number(r"^(\d+)$", _output(group, [str(_go_program(version))])))


def _go_program(version: str) -> Path:
    """Return a program that says GOMAXPROCS, built once per version of Go."""
    artefact = cache.Artefact(
        "go-cpus",
        "a program of three lines in Go",
        recipe=lambda: {"source": _GO, "version": version},
        build=_build_go,
        disk_bytes=2_000_000,
    )
    return cache.ensure(artefact) / "cpus"


def _build_go(folder: Path) -> None:
    (folder / "main.go").write_text(_GO)
    environment = {"GOCACHE": str(folder / "build"), "CGO_ENABLED": "0"}
    argv = ["go", "build", "-trimpath", "-o", str(folder / "cpus"), str(folder / "main.go")]
    try:
        programs.run(argv, env=environment, timeout_s=BUILD_TIMEOUT_S, what="go build")
    finally:
        shutil.rmtree(folder / "build", ignore_errors=True)


def _output(group: Group, argv: list[str]) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in _ANSWERS}
    process = group.spawn(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        try:
            return process.communicate(timeout=TIMEOUT_S)[0].strip()
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(f"{argv[0]} did not answer within {TIMEOUT_S:g} s.") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _pair(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\S+) (\d+)", text)  # "3.13.5 2"
    if not found:
        raise MeasurementError(f"No version and number of CPUs in {text[:80]!r}.")
    return found[1], int(found[2])


def _number(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise MeasurementError(f"No {pattern!r} in {text[:80]!r}.")
    return found[1]


def _program(name: str) -> Callable[[], bool]:
    return lambda: programs.find(name) is not None


def _importable(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


_TOOLS: dict[str, tuple[Callable[[], bool], Callable]] = {
    "nproc": (_program("nproc"), _nproc),
    "busybox nproc": (_program("busybox"), _busybox),
    "python os.cpu_count": (lambda: True, _python("os.cpu_count()")),
    "python os.process_cpu_count": (
        lambda: hasattr(os, "process_cpu_count"),
        _python("os.process_cpu_count()"),
    ),
    "python os.sched_getaffinity": (lambda: True, _python("len(os.sched_getaffinity(0))")),
    "joblib.cpu_count": (_importable("joblib"), _module("joblib")),
    "loky.cpu_count": (_importable("loky"), _module("loky")),
    "node os.cpus": (_program("node"), _node("os.cpus().length")),
    "node os.availableParallelism": (_program("node"), _node("os.availableParallelism()")),
    "java availableProcessors": (_program("java"), _java),
    "go GOMAXPROCS": (_program("go"), _go),
}

TOOLS = tuple(_TOOLS)
"""Names of all tools that can be asked where they are installed, in fixed order."""
