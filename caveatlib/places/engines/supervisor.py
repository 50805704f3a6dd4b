"""First process of a private engine: ends it when its owner ends. Standard library only.

Run by path in a new pid, mount and network namespace, as
``python -I -S supervisor.py SETTINGS``. It is process 1 there: when it ends,
the kernel kills everything else in the namespace, and mounts and network
devices go with their namespaces. A parent-death signal would not do: it fires
when the THREAD that started the engine ends.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys

MS_BIND = 4096
MNT_DETACH = 2
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def main(settings: dict) -> int:
    """Start the engine and stay until it, or its owner, has ended.

    Parameters
    ----------
    settings : dict
        ``argv`` of the engine, its ``log`` file and ``env``, the ``run``
        folder that stays visible, ``owner`` (a pidfd), ``congestion_control``
        (empty for the kernel's choice), and ``bound``: file of the host -> file
        that stands in its place here.
    """
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    hide_host(settings["run"])
    for target, source in settings["bound"].items():
        mount(source, target, None, MS_BIND)
    leave_hybrid_cgroups()
    set_up_loopback()
    if settings["congestion_control"]:
        with open("/proc/sys/net/ipv4/tcp_congestion_control", "w") as file:
            file.write(settings["congestion_control"])
    with open(settings["log"], "ab") as log:
        engine = subprocess.Popen(
            settings["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=settings["env"]
        )
    poll = select.poll()
    for handle in (0, settings["owner"], wake):  # end of input, owner ended, a child ended
        poll.register(handle, select.POLLIN)
    while True:
        ready = {handle for handle, _ in poll.poll()}
        if ready & {0, settings["owner"]}:
            return 0
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                if ended == engine.pid:
                    return 1


def hide_host(run: str) -> None:
    """Put an empty ``/run`` over the host's, for this mount namespace alone.

    Else the engine would find the host's firewall daemon and container
    daemon there, and leave sockets of its own.
    """
    keep = os.open(run, os.O_PATH)
    mount("tmpfs", "/run", "tmpfs", 0)
    if not os.path.isdir(run):
        os.makedirs(run)
        mount(f"/proc/self/fd/{keep}", run, None, MS_BIND)
    os.close(keep)


def leave_hybrid_cgroups() -> None:
    """Unmount a v2 hierarchy beside v1 hierarchies: crun refuses the mixture."""
    unified = b"/sys/fs/cgroup/unified"
    if os.path.exists(os.path.join(unified, b"cgroup.controllers")):
        ctypes.CDLL(None).umount2(unified, MNT_DETACH)


def set_up_loopback() -> None:
    """Bring the loopback device of this network namespace up."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Call mount(2).

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(source), os.fsencode(target), kind.encode() if kind else None
    if libc.mount(*names, ctypes.c_ulong(flags), None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
