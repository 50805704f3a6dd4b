"""A client that sends requests at a fixed rate, and finds out by itself whom to send them to.

It knows one server for good, the resident, and must find another, the newcomer: on a list, by
Docker's DNS, or by watching etcd. Requests go to both by turns as long as the newcomer is known.
It runs in a thread that has entered the network namespace of a container (`netns.call_in`), where
Docker's DNS is to be had.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from caveatlib.errors import MeasurementError

RATE = 200
"""Requests a second: every second one goes to the newcomer, if it is known."""
PATIENCE_S, ANSWER_S = 0.25, 1.0
DOCKERS_DNS = ("127.0.0.11", 53)
NAME = "app"
KEYS = "app/"
"""What both have as a name in Docker's DNS, and what their keys in etcd begin with."""
_ADDRESS, _INTERNET = 1, 1


class Request(NamedTuple):
    """One request: when it was due, to whom it went, when it was answered (NaN: it was lost)."""

    due_s: float
    newcomer: bool
    answered_s: float


class Client:
    """Sends requests from `run` until `stop`.

    Attributes
    ----------
    newcomer : str
        Address of the server that is to be found.
    listed : bool
        Whether the client knows of it; set by its finder.
    requests : list of Request
    ready, served : threading.Event
        Set once it would notice a newcomer, and once one has answered.
    dns_ttl_s : float
        What the DNS stated as time to live; NaN if it was not asked.
    expired_at : float
        `time.time` when etcd told that the newcomer's key is gone; NaN if it did not.
    """

    def __init__(self, resident: str, newcomer: str, find: Finder, *, port: int):
        self.newcomer, self.listed = newcomer, False
        self.requests: list[Request] = []
        self.ready, self.served = threading.Event(), threading.Event()
        self.dns_ttl_s = self.expired_at = math.nan
        self._addresses = {False: resident, True: newcomer}
        self._find, self._port, self._over = find, port, False

    def run(self) -> None:
        """Send requests until `stop` is called from another thread.

        Raises
        ------
        MeasurementError, OSError
            If what tells it of newcomers fails.
        """
        asyncio.run(self._run())

    def stop(self) -> None:
        """Have `run` end once each request is answered or lost."""
        self._over = True

    async def _run(self) -> None:
        finding = asyncio.create_task(self._find(self))
        under_way: set[asyncio.Task] = set()
        begun, number = time.monotonic(), 0
        while not self._over:
            due_s = begun + number / RATE
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if finding.done():
                finding.result()  # which raises what it failed of
            asking = self._ask(due_s, newcomer=self.listed and number % 2 == 1)
            task = asyncio.create_task(asking)
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        finding.cancel()
        await asyncio.gather(finding, *under_way, return_exceptions=True)

    async def _ask(self, due_s: float, *, newcomer: bool) -> None:
        answered_s = math.nan
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                if await _answered(self._addresses[newcomer], self._port):
                    answered_s = time.monotonic()
        self.requests.append(Request(due_s, newcomer, answered_s))
        if newcomer and not math.isnan(answered_s):
            self.served.set()


Finder = Callable[[Client], Awaitable[None]]


async def _answered(address: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"GET /0/0 HTTP/1.0\r\n\r\n")
        return b" 200 " in await reader.read()
    finally:
        writer.close()


async def by_list(client: Client) -> None:
    """Know of the newcomer from the beginning, and for good: somebody wrote its address down."""
    client.listed = True
    client.ready.set()


def by_dns(ttl_s: float, *, server: tuple[str, int] = DOCKERS_DNS) -> Finder:
    """Return what asks the DNS for `NAME` every `ttl_s` seconds."""

    async def find(client: Client) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError):  # no answer: what is known stays
                found, client.dns_ttl_s = addresses(await _asked(server))
                client.listed = client.newcomer in found
                client.ready.set()
            await asyncio.sleep(ttl_s)

    return find


async def _asked(server: tuple[str, int]) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(ANSWER_S):
            await loop.sock_connect(sock, server)
            await loop.sock_sendall(sock, question())
            return await loop.sock_recv(sock, 512)


def question() -> bytes:
    """Return a question for the addresses of `NAME` (RFC 1035, section 4)."""
    head, tail = struct.pack(">6H", 0x5CA1, 0x0100, 1, 0, 0, 0), (_ADDRESS, _INTERNET)
    return head + bytes([len(NAME)]) + NAME.encode() + b"\0" + struct.pack(">2H", *tail)


def addresses(answer: bytes) -> tuple[set[str], float]:
    """Return the IPv4 addresses in an answer to `question`, and how many seconds they are good for.

    Raises
    ------
    MeasurementError
        If it is cut short, or has none.
    """
    found, at, ttl_s = set(), len(question()), math.inf
    try:
        for _ in range(struct.unpack_from(">H", answer, 6)[0]):
            at = _past_name(answer, at)
            kind, _, seconds, length = struct.unpack_from(">HHIH", answer, at)
            at += 10
            if kind == _ADDRESS:
                found.add(socket.inet_ntoa(answer[at : at + length]))
                ttl_s = min(ttl_s, seconds)
            at += length
    except (struct.error, IndexError, OSError):
        raise MeasurementError("The DNS gave an answer that is cut short.") from None
    if not found:
        raise MeasurementError(f"The DNS knows no address of {NAME!r}.")
    return found, ttl_s


def _past_name(answer: bytes, at: int) -> int:
    while length := answer[at]:
        if length & 0xC0:  # a name that stands elsewhere
            return at + 2
        at += 1 + length
    return at + 1


def by_etcd(server: tuple[str, int]) -> Finder:
    """Return what watches the keys below `KEYS`, through etcd's gateway."""

    async def find(client: Client) -> None:
        reader, writer = await asyncio.open_connection(*server)
        try:
            writer.write(_watch())
            async for line in reader:
                if line.startswith(b"{"):  # between the lengths of chunks
                    _heed(client, line)
        finally:
            writer.close()
        raise MeasurementError("etcd ended the watch.")

    return find


def _watch() -> bytes:
    wanted = {"key": _encoded(KEYS), "range_end": _encoded(KEYS[:-1] + chr(ord(KEYS[-1]) + 1))}
    body = json.dumps({"create_request": wanted})
    head = f"POST /v3/watch HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _heed(client: Client, line: bytes) -> None:
    """Take in one message of etcd; the first says that the watch has begun."""
    try:
        events = json.loads(line)["result"].get("events", ())
        changes = [(base64.b64decode(e["kv"]["key"]).decode(), e.get("type")) for e in events]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MeasurementError(f"etcd: {line[:80]!r}. Must be a message of a watch.") from None
    for key, kind in changes:
        if key == KEYS + client.newcomer:
            client.listed = kind != "DELETE"
            if not client.listed:
                client.expired_at = time.time()
    client.ready.set()
