"""The claims of `defaults`, and what decides each."""

from __future__ import annotations

from typing import NamedTuple

from caveatlib.claims import Claim, from_ledger
from caveatlib.experiments.defaults.designs import (
    ASKED_BYTES,
    CALLS,
    CLOSE,
    DEFAULTS,
    DISK_BYTES,
    FEW_FILES,
    HOST_NETWORK,
    LIMIT_BYTES,
    LINE_BYTES,
    LINES,
    LOCAL_LOG,
    LOG,
    NETWORK,
    PACKAGED_FILES,
    WITHOUT_FILTER,
)
from caveatlib.experiments.kit.sentences import CLASSIC_STORE
from caveatlib.support.quantities import format_quantity

NAME = "defaults"
DEAR = 1.1
"""Ours: a default that makes something this many times as dear costs something."""
PERCENT = (DEAR - 1) * 100

PROTECTED = from_ledger(
    "C16",
    decides="for user namespaces, seccomp and AppArmor, whether each is on by default and alone "
    "stops something that a container could do otherwise; mixed if some do and others do not; "
    f"{CLASSIC_STORE}",
)
_STOPS = (
    "operations of our list that are refused by default, are not refused with {} alone off, and "
    "that a privileged container may do; holds if it is on by default and there is at least one"
)


def _part(of: Claim, part: str, text: str, decides: str) -> Claim:
    return Claim(f"{of.id}/{part}", text, "derived", decides, NAME)


SECCOMP = _part(
    PROTECTED,
    "seccomp",
    "a seccomp filter is on by default and stops something that nothing else stops",
    _STOPS.format("the filter"),
)
USER_NAMESPACES = _part(
    PROTECTED,
    "user-namespaces",
    "a container has a user namespace by default, and it stops something that nothing else stops",
    "whether root in a container is another user outside, and operations that are refused where "
    "it is (userns-remap) and allowed where it is not; holds if it is so by default and there is "
    "at least one",
)
APPARMOR = _part(
    PROTECTED,
    "apparmor",
    "an AppArmor profile is on by default and stops something that nothing else stops",
    _STOPS.format("the profile"),
)
IN_GUEST = _part(
    PROTECTED,
    "apparmor-guest",
    "in a kernel that has AppArmor, Docker's profile stops something that nothing else stops",
    _STOPS.format("the profile") + "; in a guest, a container of runc as Docker tells it, with "
    "the profile that dockerd holds",
)

STUDIED = from_ledger(
    "C19",
    decides="its parts, each a default against what stands against it; holds if at least one "
    f"default makes something usual more than {PERCENT:.0f} % dearer (ours); {CLASSIC_STORE}",
)


class Price(NamedTuple):
    """A default, or what stands for one, what it is laid against, and what is measured.

    Attributes
    ----------
    task, default, other : str
        Arms: a task, and the two settings.
    lines : int
    measure : str
        Column; more of it is dearer.
    label : str
        What is compared, default first.
    says : str
        A sentence's beginning, of which the ratio is the end.
    """

    task: str
    default: str
    other: str
    lines: int
    measure: str
    label: str
    says: str


PRICES = {
    "log-time": Price(
        LOG, DEFAULTS, LOCAL_LOG, LINES, "line_s",
        f"a line of {LINE_BYTES} bytes logged, json-file over local",
        f"writing a line of {LINE_BYTES} bytes to the log, compared with the log driver 'local'",
    ),
    "log-disk": Price(
        LOG, DEFAULTS, LOCAL_LOG, LINES, "log_bytes",
        f"lines of {LINE_BYTES} bytes on the disk, json-file over local",
        f"the log of lines of {LINE_BYTES} bytes on the disk, compared with the log driver 'local'",
    ),
    "round-trip": Price(
        NETWORK, DEFAULTS, HOST_NETWORK, 0, "round_trip_s",
        "a round trip, bridge over host network",
        "a round trip between containers, compared with the host's network",
    ),
    "network-start": Price(
        NETWORK, DEFAULTS, HOST_NETWORK, 0, "first_output_s",
        "a start, bridge over host network",
        "a start, compared with the host's network",
    ),
    "filter-call": Price(
        CALLS, DEFAULTS, WITHOUT_FILTER, 0, "getppid_s",
        "a getppid, seccomp filter over none",
        "a system call, compared with no seccomp filter",
    ),
}  # fmt: skip
"""Part of C19 -> what is compared."""
COSTS = {
    part: _part(
        STUDIED,
        part,
        f"by default more is paid for {price.says}",
        f"{price.label}, ratio above {DEAR:g} (ours); the A/A control is the default twice",
    )
    for part, price in PRICES.items()
}

MANY_FILES = Price(
    CLOSE, PACKAGED_FILES, FEW_FILES, 0, "close_all_s",
    "closing all descriptors, most open files over 1,024",
    "closing every descriptor, compared with a limit of 1,024 open files",
)  # fmt: skip
"""Not of C19: what a container may open by default is its containerd's, of which one was measured.
What a unit of the package states, this machine may not allow."""
OPEN_FILES = Claim(
    "defaults-open-files",
    "where a container may open more files, closing every descriptor takes longer",
    "ours",
    "as many open files as the packaged unit states, or all that this machine allows if that is "
    f"less, over 1,024, ratio above {DEAR:g} (ours); the A/A control is the same limit twice. "
    "Recorded: the unit of containerd 1.7.24; that of 2.1.5, of Docker 29, states none, and "
    "containers have 1,024",
    NAME,
)
"""moby, issue 51485; Docker Docs, "Docker Engine version 29 release notes"
(docs.docker.com/engine/release-notes/29)."""

TOLD = Claim(
    "defaults-info",
    "docker info tells which of seccomp, user namespaces and AppArmor a container has by default",
    "ours",
    "what it names beside what a container with the defaults sees of itself, with user namespaces "
    "and without; holds if they agree",
    NAME,
)
SETUID = Claim(
    "defaults-setuid",
    "by default a setuid program gives root's rights in a container, with no-new-privileges not",
    "ours",
    "the effective user of a setuid program that an unprivileged user starts",
    NAME,
)
ZOMBIES = Claim(
    "defaults-init",
    "by default a container keeps its zombies, with --init it does not",
    "ours",
    "zombies left of five orphans, where the first process is one that waits for nobody",
    NAME,
)
FOUND = Claim(
    "defaults-names",
    "by default containers do not find each other by name, on a network with a name they do",
    "ours",
    "whether a neighbour's name is resolved to its address",
    NAME,
)
KEPT = Claim(
    "defaults-logs",
    "by default all that a container ever wrote stays on the disk",
    "ours",
    "size and number of the log's files after 100 MB of compressible text, one letter behind a "
    "counter; holds if one file has it all",
    NAME,
)
SERVED = Claim(
    "defaults-service-address",
    "a kernel's IPVS, which Swarm gives a service one address by, answers there where its module "
    "is loaded",
    "ours",
    "in guests, whether a connection to the address of a service of IPVS is answered by what is "
    "behind it; without the module, where IPVS itself is asked for it, nothing can answer, which "
    "is a negative control; holds if it is with and is not without; no Swarm runs",
    NAME,
)
_LIMIT, _ASKED, _DISK = (format_quantity(n, "B") for n in (LIMIT_BYTES, ASKED_BYTES, DISK_BYTES))
SIZED = Claim(
    "defaults-size",
    f"without a limit {_ASKED} are not refused; where the disk has project quotas a limit of "
    f"{_LIMIT} stops a folder there, and nobody else",
    "ours",
    f"in guests, whether {_ASKED} can be written through an overlay on an XFS of {_DISK}: without "
    "a limit on its folder, with one, beside that, and where project quotas are off; holds if only "
    "the limited one is stopped, and the limit is refused where they are off; no engine runs, and "
    "no disk is filled",
    NAME,
)
