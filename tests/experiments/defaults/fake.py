"""Fakes of the places of `defaults`: containers that answer as real ones were seen to.

For tests without an engine; never makes a number that is shown.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

import numpy as np
from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments.defaults import designs as d
from caveatlib.experiments.defaults.containers import FEW
from caveatlib.experiments.defaults.operations import HIDDEN, OPERATIONS
from caveatlib.experiments.defaults.places import PLACES as REAL

_number = count()
FILTERED = ("unshare-user", "keyctl", "add-key", "io-uring", "personality", "vsock")
NEEDS_RIGHTS = ("setns", "syslog", "nice", "fanotify", "sethostname")
BOTH = ("mount", "swapoff", "userfaultfd", "reboot")
MASKED, DEVICES, REST = ("read-timers", "write-proc-sys"), ("open-disk",), ("write-sys",)
REMAPPED = ("mknod-char", "mknod-block")
BY_PROFILE = ("mount", "write-sys", "write-proc-sys")
ABSENT = {d.DOCKER: ("kexec", "iopl"), d.GUEST: ("vsock",)}
OPEN = (d.ALL_OFF, d.PRIVILEGED, d.NO_CONTAINER, d.APPARMOR_ONLY)
LONGEST_S = 2.0
LINE_S = {d.DEFAULTS: 5e-6, d.LOCAL_LOG: 4e-6, d.NO_LOG: 2e-6}
LINE_BYTES = {d.DEFAULTS: 170.0, d.LOCAL_LOG: 12.0, d.NO_LOG: 0.0}


def answers(place: str, setting: str) -> dict[str, int]:
    """Return what each operation is answered."""
    said = dict.fromkeys(OPERATIONS, 0)
    if setting not in OPEN:
        filtered = setting not in (d.WITHOUT_FILTER, d.NEITHER, d.CAP_ADD_ALL)
        bare = setting not in (d.ALL_CAPABILITIES, d.NEITHER, d.CAP_ADD_ALL)
        said |= dict.fromkeys(FILTERED, errno.EPERM if filtered else 0)
        said |= dict.fromkeys(NEEDS_RIGHTS, errno.EPERM if bare else 0)
        said |= dict.fromkeys(BOTH, errno.EPERM if filtered or bare else 0)
        said |= dict.fromkeys(MASKED, HIDDEN if setting != d.UNMASKED else 0)
        said |= dict.fromkeys(DEVICES, errno.EPERM if setting != d.ALL_DEVICES else 0)
        said |= dict.fromkeys(REST, errno.EROFS)
    if place == d.USERNS:
        said |= dict.fromkeys(REMAPPED, errno.EPERM)
    if setting == d.NO_NEW:
        said["setuid-program"] = errno.EPERM
    if setting == d.APPARMOR_ONLY:
        said |= dict.fromkeys(BY_PROFILE, errno.EACCES)
    if place != d.GUEST and setting not in (*OPEN, d.WITHOUT_APPARMOR):
        said["read-kcore"] = errno.EACCES  # this machine's own profile stops one thing alone
    return said | dict.fromkeys(ABSENT[d.GUEST if place == d.GUEST else d.DOCKER], errno.ENOSYS)


class FakeContainers:
    """Stands for `Containers`, for `Guests` and for `Asked`."""

    def __init__(self, name: str):
        self.name = name

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}

    def says(self) -> dict[str, float]:
        """Return what is on."""
        if self.name == d.GUEST:
            return {}
        userns = float(self.name == d.USERNS)
        return {"info_seccomp": 1.0, "info_user_namespace": userns, "info_apparmor": 1.0}

    def probe(self, setting: str) -> str:
        """Return lines as the program writes them, with the heads that an engine puts before."""
        head = "\x01\x00\x00\x00\x00\x00\x00\x0b"
        filtered = setting not in (d.WITHOUT_FILTER, d.NEITHER, *OPEN)
        profiled = setting != d.WITHOUT_APPARMOR and (setting not in OPEN or "only" in setting)
        seen = {
            "seccomp": filtered,
            "user_namespace": self.name == d.USERNS,
            "apparmor": profiled,
            "no_new_privileges": setting == d.NO_NEW,
            "capabilities": 41 if setting in OPEN else 14,
        }
        said = [f"seen {name} {int(value)}\n" for name, value in seen.items()]
        said += [f"= {n} {number}\n" for n, number in answers(self.name, setting).items()]
        return head + head.join(said)

    def calls(self, setting: str) -> tuple[float, str]:
        """Return a start, and the line of the two calls."""
        first, call, opened = _uneven(3)
        more = 0.0 if setting in (d.WITHOUT_FILTER, d.PRIVILEGED) else 0.3
        cost, little = 1 + more, 1 + more / 10
        return 0.15 * little * first, f"= {cost * 1.6e-7 * call:.9g} {4e-6 * little * opened:.9g}\n"

    def log(self, setting: str, lines: int) -> dict[str, float]:
        """Return what a driver does; json-file does not rotate."""
        (slow,) = _uneven(1)
        found = {
            "line_s": LINE_S[setting] * slow,
            "log_bytes": LINE_BYTES[setting] * lines,
            "log_files": 0.0 if setting == d.NO_LOG else 1.0 + 4 * (setting == d.LOCAL_LOG),
        }
        return found | ({"kept_lines": float(lines)} if setting == d.DEFAULTS else {})

    def network(self, setting: str) -> dict[str, float]:
        """Return that the host's network is faster."""
        trip, start = _uneven(2)
        far = 1.0 if setting == d.HOST_NETWORK else 1.5
        return {"round_trip_s": 1.4e-5 * far * trip, "first_output_s": 0.1 * far * start}

    def close_all(self, setting: str) -> dict[str, float]:
        """Return a time for each descriptor."""
        most = 20_000.0 if setting == d.PACKAGED_FILES else float(FEW)
        return {"open_files": most, "packaged_files": 1048576.0,
                "close_all_s": most * 1e-7 * _uneven(1)[0]}  # fmt: skip

    def reap(self, setting: str) -> float:
        """Return that somebody must reap."""
        return 0.0 if setting == d.INIT else 5.0

    def names(self, setting: str) -> bool:
        """Return that only a named network has names."""
        return setting == d.NAMED_NETWORK

    def ask(self, setting: str) -> str:
        """Return the lines of the programs that guests are asked by."""
        if self.name == d.IPVS_GUEST:
            return f"= {errno.ENOPROTOOPT} 1 0\n" if setting == d.WITHOUT_IPVS else "= 0 1 1\n"
        limit = 0 if setting == d.DEFAULTS else d.LIMIT_BYTES
        refused = errno.ENOSYS if setting == d.WITHOUT_QUOTAS else 0
        stopped = limit and not refused
        written, error = (d.LIMIT_BYTES, errno.ENOSPC) if stopped else (d.ASKED_BYTES, 0)
        return f"= {limit} {refused}\n= {written} {error}\n= {d.ASKED_BYTES} 0\n"


def _uneven(count: int) -> list[float]:
    CLOCK.passes(LONGEST_S)  # time enough on a machine that is ten times slower
    return list(np.random.default_rng(next(_number)).uniform(0.99, 1.01, count))


PLACES = {name: spec(FakeContainers, name) for name in REAL}


@contextmanager
def patched() -> Iterator[None]:
    """Let made-up times pass, and be the same whatever was made up before."""
    with on_clock(), patch(f"{__name__}._number", count()):
        yield
