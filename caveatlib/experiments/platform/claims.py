"""The claims of `platform`."""

from __future__ import annotations

from caveatlib.claims import Claim, from_ledger
from caveatlib.support.quantities import percent

NAME = "platform"
COVERED, RARE, COSTLY = 0.95, 0.9, 2.0
COMMON = from_ledger(
    "C37",
    decides=f"whether gVisor, a system-call layer of today, has at least {percent(COVERED)} of the "
    f"calls that everyday programs make and at most {percent(RARE)} of all others (ours); what "
    "gets ENOSYS, with rights or without, it does not have. The post spoke of the first Windows "
    "Subsystem for Linux, which cannot be measured on Linux",
)
CHEAP = Claim(
    "platform-call",
    f"a system call takes at most {COSTLY:g} times as long under gVisor as in a container",
    "ours",
    f"getppid under docker-runsc over docker-runc, ratio below {COSTLY:g} (ours), of the version "
    "and the platform of gVisor that the card names; the A/A control is the same under docker-runc",
    NAME,
)
OPENS = Claim(
    "platform-open",
    f"opening a file takes at most {COSTLY:g} times as long under gVisor as in a container",
    "ours",
    f"openat with fstat and close under docker-runsc over docker-runc, ratio below {COSTLY:g} "
    "(ours), of the version and the platform of gVisor that the card names; the A/A control is the "
    "same under docker-runc",
    NAME,
)
