"""The echo server and its probes: known delays, addresses and counts."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from caveatlib.instruments import echo


@contextmanager
def serving(delay_s: float = 0.0):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    child = subprocess.Popen(echo.serve_command(port, host="127.0.0.1", delay_s=delay_s))
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port, child.pid
    finally:
        child.kill()
        child.wait(5)


def asked(kind: str, port: int, seconds: float = 0.3, host: str = "127.0.0.1") -> dict:
    command = echo.probe_command(kind, host, port, seconds=seconds)
    done = subprocess.run(command, capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL, check=True)  # fmt: skip
    return json.loads(done.stdout)


def least_s(port: int) -> float:
    found = echo.round_trips("127.0.0.1", port, duration_s=1.0, rate_per_s=30)
    assert found["sent"] == len(found["latency_s"]) == 30
    return min(found["latency_s"])


def test_known_delay():
    """An echo delayed by 20 ms reads 20 +- 1 ms more than one that is not."""
    with serving() as (prompt, _), serving(delay_s=0.02) as (delayed, _):
        assert least_s(delayed) - least_s(prompt) == pytest.approx(0.02, abs=0.001)


def test_stall_is_not_hidden():
    """A server that stands still for 0.3 s delays every message that falls due meanwhile."""
    with serving() as (port, pid):
        threading.Timer(0.2, os.kill, (pid, signal.SIGSTOP)).start()
        threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
        found = echo.round_trips("127.0.0.1", port, duration_s=0.8, rate_per_s=100)
    assert len(found["latency_s"]) == found["sent"] == 80
    # 30 fall due in the stall; a closed loop would have sent one of them (coordinated omission).
    assert sum(latency > 0.05 for latency in found["latency_s"]) >= 20


def test_a_late_sender_is_not_hidden(monkeypatch):
    """A probe that falls behind counts its own lateness: due times, not sending times."""
    with serving() as (port, _):
        real = socket.create_connection
        monkeypatch.setattr(socket, "create_connection", lambda *a, **k: _Late(real(*a, **k)))
        found = echo.round_trips("127.0.0.1", port, duration_s=0.5, rate_per_s=100)
    assert sum(latency > 0.05 for latency in found["latency_s"]) >= 10


class _Late:
    """A connection whose tenth message takes 0.2 s to hand over."""

    def __init__(self, link):
        self._link, self._sent = link, 0

    def sendall(self, data):
        self._sent += 1
        if self._sent == 10:
            time.sleep(0.2)
        self._link.sendall(data)

    def __getattr__(self, name):
        return getattr(self._link, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._link.close()


def test_peer_sees_both_ends():
    """The server names the client's address, also one of its own choosing."""
    with serving() as (port, _):
        found = asked("peer", port)
        assert (found["accepted"], found["answered"]) == (True, True)
        assert found["own"] == found["seen"] == "127.0.0.1"
        with socket.create_connection(
            ("127.0.0.1", port), timeout=5, source_address=("127.9.8.7", 0)
        ) as link:
            assert link.recv(99).startswith(b"127.9.8.7 ")


def test_refused_and_unheard():
    """A closed port is refused; one that accepts and stays silent has not answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = asked("peer", silent.getsockname()[1])
        assert (found["accepted"], found["answered"], found["error"]) == (True, False, "timed out")
        port = silent.getsockname()[1]
    found = asked("peer", port)
    assert (found["accepted"], found["error"]) == (False, "connection refused")


def test_connects_are_those_that_were_greeted():
    """Connections count when the server greeted, not when they were accepted."""
    with serving() as (port, _):
        found = echo.connects("127.0.0.1", port, duration_s=0.2)
        assert found["connects"] > 10
        assert found["failed"] == 0
        assert 0.2 <= found["elapsed_s"] < 2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0)
        found = echo.connects("127.0.0.1", port, duration_s=0.05)
        assert found["connects"] == 0
        assert found["failed"] > 0


def test_runs_by_itself():
    """The file needs nothing but the standard library: isolated and without site-packages."""
    command = echo.probe_command("peer", "127.0.0.1", 1, seconds=1)
    assert command[:3] == [sys.executable, "-I", "-S"]
    assert asked("peer", 1)["error"] == "connection refused"
