"""What `attempt.c` tries, in words, and how its answers are read."""

from __future__ import annotations

import errno
from collections.abc import Mapping

OPERATIONS: Mapping[str, str] = {
    "mount": "mount a file system",
    "fsopen": "begin a mount by the new interface",
    "pivot-root": "change the root mount",
    "chroot": "change the root folder",
    "chown": "give a file to somebody else",
    "read-any-file": "read somebody else's closed file",
    "open-by-handle": "open a file by its handle",
    "swapoff": "take swap away",
    "acct": "begin process accounting",
    "fanotify": "watch all that opens files",
    "mknod-char": "make a character device",
    "mknod-block": "make a block device",
    "open-disk": "make a disk's device and open it",
    "open-memory": "make the memory's device and open it",
    "open-log": "make the kernel log's device and open it",
    "write-proc-sys": "open a setting in /proc/sys for writing",
    "write-sys": "open a setting in /sys for writing",
    "write-cgroup": "open a control group for writing",
    "sysrq": "open /proc/sysrq-trigger for writing",
    "read-kcore": "open the kernel's memory, /proc/kcore",
    "read-timers": "open /proc/timer_list",
    "read-keys": "open /proc/keys",
    "list-firmware": "list /sys/firmware",
    "unshare-user": "make a user namespace",
    "unshare-mount": "make a mount namespace",
    "setns": "enter a namespace",
    "clone3": "fork by clone3",
    "ptrace": "trace a process of one's own",
    "read-process": "read the memory of a process of one's own",
    "kcmp": "compare two processes",
    "setuid": "become another user",
    "setuid-program": "become root by a setuid program",
    "nice": "raise one's own priority",
    "raise-limit": "raise a limit of one's own",
    "personality": "switch address randomisation off",
    "keyctl": "look up the session's keyring",
    "add-key": "keep a key in the kernel",
    "bpf": "make a BPF map",
    "perf-event": "count events of one's own",
    "io-uring": "set up an io_uring",
    "userfaultfd": "handle page faults",
    "mempolicy": "read the memory policy",
    "syslog": "read the kernel log's size",
    "settimeofday": "set the clock",
    "sethostname": "set the host's name",
    "reboot": "reboot",
    "kexec": "load another kernel",
    "load-module": "load a kernel module",
    "iopl": "reach input and output ports",
    "raw-socket": "open a raw socket",
    "packet-socket": "open a packet socket",
    "vsock": "open a socket to the hypervisor",
    "port-80": "listen on port 80",
    "change-interface": "change a network interface",
}
"""Name in the program -> what is tried; none of it changes anything."""
NOTHING = "nothing"
"""Stands for the list of what is refused where that is empty."""
HIDDEN = errno.ENODATA
"""What the program says of a file behind /dev/null, and of an empty folder in another's place."""
ABSENT = (
    errno.ENOSYS,
    errno.ENOENT,
    errno.ENXIO,
    errno.ENODEV,
    errno.EAFNOSUPPORT,
    errno.EOPNOTSUPP,
)
"""What a kernel answers that lacks something, to whoever asks."""


def listed(answers: Mapping[str, int]) -> str:
    """Return the refusals among answers as text: ``"mount=1 sysrq=30"``."""
    return " ".join(f"{n}={said}" for n, said in sorted(answers.items()) if said) or NOTHING


def read(text: str) -> dict[str, int]:
    """Return what `listed` has written: operation -> error number."""
    parts = (word.partition("=") for word in text.split() if "=" in word)
    return {name: int(number) for name, _, number in parts}


def named(number: int) -> str:
    """Return the name of what an operation was answered: ``"EPERM"``."""
    own = {0: "allowed", HIDDEN: "hidden", -1: "hangs", -2: "ends"}
    return own.get(number) or errno.errorcode.get(number, str(number))
