"""An open-loop client: a hundred requests a second, due at fixed times, whatever is answered.

Each request goes to every address where a replica may be, so who answers decides what is lost, and
no balancer's choice does. A thread sends and receives; its sockets live in the network namespace
that it asks from, one for each node: what waits for a node that is gone fills a socket. What comes
from elsewhere, or has another length, is not an answer.
"""

from __future__ import annotations

import select
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from socket import SOCK_DGRAM, socket
from typing import NamedTuple

from caveatlib.errors import MeasurementError
from caveatlib.places import netns

RATE = 100
"""Requests a second."""
LATE_S = 0.5
"""An answer that takes longer is none."""
RECENT_S = 0.2
"""A replica that answered within this time is there."""
_REQUEST, _ANSWER = struct.Struct("!I"), struct.Struct("!IIQQ")


class Answer(NamedTuple):
    """One answer: to which request, received when, from where; who gave which ticket."""

    number: int
    at_s: float
    host: str
    slot: int
    begun_ns: int
    ticket: int


class Asking:
    """A client that asks until it is stopped.

    Attributes
    ----------
    due : list of float
        When each request was due, by its number, on the monotonic clock.
    late_s : float
        By how much the client itself was late at worst.
    answers : list of Answer
    """

    def __init__(self, make: Callable[[], socket], addresses: Sequence[tuple[str, int]]):
        self.due: list[float] = []
        self.answers: list[Answer] = []
        self.late_s = 0.0
        self._addresses = list(addresses)
        self._socks = {host: make() for host in dict(addresses)}
        self._poll = select.poll()
        self._newest: dict[int, Answer] = {}
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="caveatlib-asking", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        for sock in self._socks.values():
            sock.setblocking(False)
            self._poll.register(sock, select.POLLIN)
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; harmless when repeated.

        Raises
        ------
        MeasurementError
            Once, if the client failed meanwhile: it no longer asked.
        """
        self._over.set()
        if self._thread.ident:
            self._thread.join()
        for sock in self._socks.values():
            sock.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise MeasurementError(f"The client stopped asking: {failure!r}.") from failure

    def there(self) -> dict[int, Answer]:
        """Return the newest answer of each slot that answered just now."""
        since = time.monotonic() - RECENT_S
        return {slot: told for slot, told in dict(self._newest).items() if told.at_s >= since}

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:  # raised where the client is stopped
            self._failure = error

    def _ask(self) -> None:
        begun = time.monotonic()
        while not self._over.is_set():
            due = begun + len(self.due) / RATE
            while (left := due - time.monotonic()) > 0:
                if self._poll.poll(left * 1000):
                    self._receive()
            self.late_s = max(self.late_s, time.monotonic() - due)
            for address in self._addresses:
                with suppress(OSError):  # a node that is gone
                    self._socks[address[0]].sendto(_REQUEST.pack(len(self.due)), address)
            self.due.append(due)
            self._receive()

    def _receive(self) -> None:
        for host, sock in self._socks.items():
            with suppress(BlockingIOError):
                while True:
                    data, sender = sock.recvfrom(64)
                    if sender in self._addresses and len(data) == _ANSWER.size:
                        self._take(host, data)

    def _take(self, host: str, data: bytes) -> None:
        number, slot, begun, ticket = _ANSWER.unpack(data)
        told = Answer(number, time.monotonic(), host, slot, begun, ticket)
        self.answers.append(told)
        known = self._newest.get(slot)
        # While two answer for one slot, the one that began last is its replica.
        if known is None or known.begun_ns <= begun:
            self._newest[slot] = told


@contextmanager
def asking(pid: int, addresses: Sequence[tuple[str, int]]) -> Iterator[Asking]:
    """Ask from the network namespace of a process until the end of the context.

    Parameters
    ----------
    pid : int
    addresses : sequence of tuple
        IPv4 address and port, each of which gets every request.
    """
    client = Asking(lambda: netns.socket_in(pid, kind=SOCK_DGRAM), addresses)
    try:
        client.start()
        yield client
    finally:
        client.stop()
