"""Work inside another process's network namespace, on Linux and as root."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from caveatlib.errors import MeasurementError
from caveatlib.support import programs

_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def call_in(pid: int, function: Callable[[], T]) -> T:
    """Call a function in the network namespace of a process.

    A namespace belongs to a thread, so the function runs in one of its own,
    which ends with it. What it opens stays in that namespace.

    Raises
    ------
    MeasurementError
        If the process is gone or its namespace may not be entered.
    """
    result: list = []

    def run():
        try:
            _enter(pid)
            result.append((function(), None))
        except BaseException as error:  # carried over to the caller's thread
            result.append((None, error))

    thread = threading.Thread(target=run, name="caveatlib-netns")
    thread.start()
    thread.join()
    value, error = result.pop()
    try:
        if error is not None:
            raise error
        return value
    finally:
        del error  # else it and this frame hold each other, and with them an open socket


def socket_in(
    pid: int, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """Return a new socket that lives in the network namespace of a process."""
    return call_in(pid, lambda: socket.socket(family, kind))


def connect_in(pid: int, address: tuple[str, int], timeout_s: float) -> socket.socket:
    """Open a TCP connection from within the network namespace of a process.

    Parameters
    ----------
    address : tuple
        IPv4 or IPv6 address and port; names are not looked up.

    Raises
    ------
    OSError
        If nobody answers within `timeout_s`.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket_in(pid, family)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def argv_in(pid: int, argv: Sequence[str]) -> list[str]:
    """Return the command that runs `argv` in the network namespace of a process."""
    return ["nsenter", f"--target={pid}", "--net", "--", *argv]


def run_in(pid: int, argv: Sequence[str]) -> str:
    """Run a program in the network namespace of a process; see `programs.run`."""
    return programs.run(argv_in(pid, argv), what=" ".join(argv[:3]))


def sysctl_in(pid: int, name: str) -> str:
    """Return a setting as it is in the network namespace of a process."""
    return call_in(pid, lambda: sysctl(name))


def sysctl(name: str) -> str:
    """Return a kernel setting, e.g. ``"net.ipv4.tcp_congestion_control"``."""
    with open("/proc/sys/" + name.replace(".", "/")) as file:
        return file.read().strip()


def _enter(pid: int) -> None:
    try:
        handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MeasurementError(f"Network namespace of {pid}: {error.strerror}") from None
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            raise MeasurementError(f"Network namespace of {pid}: {reason}")
    finally:
        os.close(handle)
