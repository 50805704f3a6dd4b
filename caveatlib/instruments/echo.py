"""A TCP echo server that tells each client its address, and probes that use it.

The file runs by itself, ``python -I -S echo.py serve --port 5202``, because
its two ends live in other network namespaces than the caller: it needs nothing
but the standard library. On connecting, the server sends one line with the
peer's address and port as it sees them, then returns every byte. Each probe
prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress

MESSAGE_BYTES = 64
RATE_PER_S = 1000
"""Open-loop rate of round trips: a second of them holds a 99th percentile."""


def serve(port: int, *, host: str = "0.0.0.0", delay_s: float = 0.0) -> None:
    """Answer every connection with its own address, then echo, until killed.

    Parameters
    ----------
    port : int
    host : str
        Address to listen on.
    delay_s : float
        Waits so long before each echo, one at a time: a positive control of
        the probe.
    """
    listener = socket.create_server((host, port), backlog=1024, reuse_port=False)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                _greet(listener, poll, clients)
            else:
                _echo(clients[fd], poll, clients, delay_s)


def _greet(listener, poll, clients) -> None:
    with suppress(BlockingIOError):
        while True:
            client, peer = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            clients[client.fileno()] = client
            poll.register(client, select.EPOLLIN)
            with suppress(OSError):
                client.sendall(f"{peer[0]} {peer[1]}\n".encode())


def _echo(client, poll, clients, delay_s: float) -> None:
    data = b""
    with suppress(OSError):
        data = client.recv(65536)
    if data:
        if delay_s:
            time.sleep(delay_s)
        with suppress(OSError):
            client.sendall(data)
        return
    poll.unregister(client)
    del clients[client.fileno()]
    client.close()


def peer(host: str, port: int, *, timeout_s: float) -> dict:
    """Connect once and tell what both ends see; hold the connection until stdin ends.

    Returns
    -------
    dict
        ``accepted`` (the connection was made), ``answered`` (the server said
        whom it sees), ``own`` and ``seen`` (the client's address as the client
        and as the server see it), ``error``.
    """
    found = {"accepted": False, "answered": False, "own": "", "seen": "", "error": ""}
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            found |= {"accepted": True, "own": link.getsockname()[0]}
            line = _line(link)
            found |= {"answered": bool(line), "seen": line.split(" ")[0]}
            _say(found)
            sys.stdin.read()
            return found
    except TimeoutError:
        found["error"] = "timed out"
    except OSError as error:
        found["error"] = (error.strerror or str(error)).lower()
    _say(found)
    return found


def round_trips(host: str, port: int, *, duration_s: float, rate_per_s: float = RATE_PER_S) -> dict:
    """Send at a fixed rate over one connection, whatever comes back, and time the answers.

    Each latency counts from the time at which its message was due, so a
    stalled path cannot slow its own load down and hide (coordinated omission).

    Returns
    -------
    dict
        ``latency_s``: one float per answered message in the order sent;
        ``sent``: messages sent; ``late_s``: the largest delay of the sender.
    """
    with suppress(OSError), open("/proc/self/timerslack_ns", "w") as slack:
        slack.write("1")  # 50 us by default, as much as the path itself takes
    with socket.create_connection((host, port), timeout=5) as link:
        _line(link)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _open_loop(link, int(duration_s * rate_per_s), 1 / rate_per_s)


def _open_loop(link: socket.socket, count: int, step_s: float) -> dict:
    message = b"x" * MESSAGE_BYTES
    due: deque[float] = deque()
    latencies: list[float] = []
    sent, pending, late = 0, 0, 0.0
    start = time.monotonic() + 0.01
    while len(latencies) < count:
        now = time.monotonic()
        scheduled = start + sent * step_s
        if sent < count and now >= scheduled:
            link.sendall(message)
            due.append(scheduled)
            late = max(late, now - scheduled)
            sent += 1
            continue
        wait = scheduled - now if sent < count else 2.0
        if not select.select([link], [], [], wait)[0]:
            if sent == count:
                break  # silent for 2 s after the last message
            continue
        data = link.recv(65536)
        if not data:
            break
        now = time.monotonic()
        pending += len(data)
        while pending >= MESSAGE_BYTES:
            pending -= MESSAGE_BYTES
            latencies.append(now - due.popleft())
    return {"latency_s": latencies, "sent": sent, "late_s": late}


def connects(host: str, port: int, *, duration_s: float) -> dict:
    """Connect, wait for the server's greeting, close; one after the other.

    Returns
    -------
    dict
        ``connects``: how many were greeted; ``elapsed_s``; ``failed``.
    """
    done = failed = 0
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < duration_s:
        try:
            with socket.create_connection((host, port), timeout=2) as link:
                greeted = bool(_line(link))
        except OSError:
            greeted = False
        done += greeted
        failed += not greeted
    return {"connects": done, "elapsed_s": elapsed, "failed": failed}


def _line(link: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\n"):
        more = link.recv(256)
        if not more:
            return ""
        data += more
    return data.decode("ascii").rstrip("\n")


def _say(found: dict) -> None:
    print(json.dumps(found), flush=True)


def serve_command(port: int, *, host: str = "0.0.0.0", delay_s: float = 0.0) -> list[str]:
    """Return the command line that runs `serve`."""
    return [*_SELF, "serve", host, str(port), "--delay-s", repr(delay_s)]


def probe_command(kind: str, host: str, port: int, *, seconds: float) -> list[str]:
    """Return the command line of a probe.

    Parameters
    ----------
    kind : {"peer", "round-trips", "connects"}
    host : str
    port : int
    seconds : float
        How long the probe runs; for ``"peer"`` how long it waits.
    """
    return [*_SELF, kind, host, str(port), "--seconds", repr(seconds)]


_SELF = [sys.executable, "-I", "-S", __file__]


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("serve", "peer", "round-trips", "connects"))
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--delay-s", type=float, default=0.0)
    given = parser.parse_args(arguments)
    if given.kind == "serve":
        serve(given.port, host=given.host, delay_s=given.delay_s)
    elif given.kind == "peer":
        peer(given.host, given.port, timeout_s=given.seconds)
    elif given.kind == "round-trips":
        _say(round_trips(given.host, given.port, duration_s=given.seconds))
    else:
        _say(connects(given.host, given.port, duration_s=given.seconds))


if __name__ == "__main__":
    _main(sys.argv[1:])
