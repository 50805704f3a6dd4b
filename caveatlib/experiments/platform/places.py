"""Where `platform` measures: the kernel itself, gVisor's, and programs of the host."""

from __future__ import annotations

import functools
import platform
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from caveatlib.errors import FAILURES
from caveatlib.instruments import calls
from caveatlib.places import cache, compiled, process, runc
from caveatlib.places.base import Capability
from caveatlib.places.engines.containers import EnginePlace
from caveatlib.places.spec import Spec
from caveatlib.support import programs
from caveatlib.support.privacy import scrub

SYSCALLS = compiled.program(Path(__file__).with_name("syscalls.c"), calls.APART)
MACHINE = "x86_64"
"""Numbers of system calls differ between architectures; `calls.csv` has those of this one."""
TRACE_S = 60.0
_PYTHON = """
import asyncio, socket, sqlite3, ssl, subprocess, threading
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    reader, _ = await asyncio.open_connection(*server.sockets[0].getsockname())
    await reader.read()
asyncio.run(main())
ssl.create_default_context()
threading.Thread(target=int).start()
subprocess.run(["true"])
sqlite3.connect("base").execute("create table t (x)")
"""
_HTTPD = """
echo page > index.html
busybox httpd -f -p 127.0.0.1:{port} & server=$!
until busybox wget -q -T 5 -O got http://127.0.0.1:{port}/; do sleep 0.1; done
kill $server
"""
PROGRAMS: Mapping[str, list[str]] = {
    "busybox sh": ["busybox", "sh", "-c", "ls / | wc -l; sort /etc/passwd | head -n 1"],
    "busybox httpd, wget": ["busybox", "sh", "-ec", _HTTPD],
    "dpkg": ["dpkg", "-l", "libc6"],
    "gzip": ["gzip", "-c", "/bin/sh"],
    "python": [sys.executable, "-I", "-c", _PYTHON],
    "tar": ["tar", "-cf", "packed.tar", "-C", "/usr/share/doc", "base-files"],
}
"""Program -> what it is given to do in an empty folder; each is watched where it is installed."""


class Traced:
    """Programs of the host under strace."""

    def calls(self, program: str) -> set[str]:
        """Run one of `PROGRAMS` and return the names of the system calls that it made.

        Raises
        ------
        Unavailable
            If it is not installed.
        MeasurementError
            If it fails.
        """
        first, *rest = PROGRAMS[program]
        argv = [programs.need(first, first), *rest]
        with tempfile.TemporaryDirectory(prefix="caveatlib-trace-") as folder:
            log = Path(folder, "log")
            strace = [programs.need("strace"), "-f", "-qq", "-e", "signal=none", "-o", str(log)]
            filled = [argument.replace("{port}", str(process.free_port())) for argument in argv]
            programs.run([*strace, *filled], timeout_s=TRACE_S, what=program, cwd=Path(folder))
            lines = log.read_text(errors="replace").splitlines()
        named = (line.split(maxsplit=1)[-1].partition("(")[0] for line in lines if "(" in line)
        return {name for name in named if name.isidentifier()}

    def metadata(self) -> dict[str, str]:
        """Return the version of strace."""
        return {"strace": programs.run([programs.need("strace"), "-V"]).splitlines()[0]}


@functools.cache
def probe_machine() -> Capability:
    """Return whether the architecture is the one whose system calls are listed."""
    found = platform.machine()
    return Capability(f"machine {MACHINE}", found == MACHINE, f"{found} here")


@functools.cache
def probe_strace() -> Capability:
    """Return whether strace may watch a program."""
    try:
        programs.run([programs.need("strace"), "-o", "/dev/null", "true"])
    except FAILURES as error:
        return Capability("strace", False, scrub(error), cache.PREPARE)
    return Capability("strace", True, "watches a program")


_NEEDS = (
    probe_machine,
    partial(compiled.probe, SYSCALLS),
    partial(compiled.probe, calls.CALLS),
)


def _docker(runtime: str, **host: object) -> Spec:
    def opened(s):
        return EnginePlace(s.engine(), runtime=runtime, host=host)

    return Spec(needs=_NEEDS, runtime=runtime, open=opened)


PLACES = {
    "runc": Spec(needs=(*_NEEDS, runc.probe), open=lambda s: s.enter(runc.runc_place("runc"))),
    "docker-runc": _docker("runc"),
    "docker-runsc": _docker("runsc"),
    # gVisor alone, by its name: see `workloads.trial`
    "docker-runsc-rights": _docker("runsc", cap_add=["ALL"]),
    "host": Spec(needs=(probe_strace,), open=lambda s: Traced()),
}
