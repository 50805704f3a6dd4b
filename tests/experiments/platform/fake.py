"""Fakes of the places of `platform`: containers that answer as `syscalls` does, a host that traces.

For tests without an engine; never makes a number that is shown.
"""

from __future__ import annotations

import errno
import os

from places.fake import FakePlace, spec

from caveatlib.experiments.platform import workloads
from caveatlib.places.base import Workload

RARE = sorted({*workloads.names().values()} - {"write"})[-60:]
LACKING = {"runc": {"uselib"}, "docker-runsc": {"uselib", "rseq", *RARE[10:]}}
LACKING["docker-runsc-rights"] = {"uselib", "rseq", *RARE}
RUNSC = {"runsc_version": "0.0~20240729.0", "runsc_platform": "systrap"}
COST_S = {"docker-runc": 2e-7, "docker-runsc": 4e-6}
USUAL = sorted(workloads.names().values())[:20]
MADE = {"openat", "read", "rseq", "write", "close", "mmap", "vfork", *USUAL}


class FakeCalls(FakePlace):
    """A container in which the program of the experiment answers at once."""

    def create(self, workload: Workload):
        """Make an instance that writes what the program would, as an engine hands it on."""
        instance = super().create(workload)
        instance.start = lambda: os.write(instance._write, self._said(workload.script))
        return instance

    def metadata(self) -> dict[str, str]:
        """Return the runtime, and of gVisor's its version and platform."""
        runtime = "runsc" if "runsc" in self.name else "runc"
        return {"runtime": runtime, **(RUNSC if runtime == "runsc" else {})}

    def _said(self, script: str) -> bytes:
        if script.startswith("calls "):
            cost = COST_S[self.name] * (1 + self.created % 5 / 500)
            lines = [f"= {cost:.9g} {5 * cost:.9g}\n"]
        else:
            calls = workloads.names()
            lines = [
                f"= {n} "
                + " ".join(["14" if self._has(calls.get(n)) else str(errno.ENOSYS)] * 3)
                + "\n"
                for n in range(workloads.LAST + 1)
            ]
        head = b"\x01\x00\x00\x00\x00\x00\x00 "
        return head + head.join(line.encode() for line in lines) + head + b"over\n"

    def _has(self, name: str | None) -> bool:
        return name is not None and name not in LACKING[self.name]


class FakeHost:
    """Traces nothing: every program makes the same calls."""

    def calls(self, program: str) -> set[str]:
        """Return the same for each."""
        return MADE

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


PLACES = {
    **{name: spec(FakeCalls, name) for name in (*COST_S, *LACKING)},
    "host": spec(lambda name: FakeHost(), "host"),
}
