"""Total deadlines for talking to an engine that may stall, drip, cut or lie.

A timeout per read lets an engine that sends a byte a second go on for ever.
Here every operation on the socket gets only what is left of one budget of
time and bytes, so no thread has to watch and nothing is left running.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from caveatlib.errors import CaveatError, DeadlineExceeded, EngineError
from caveatlib.support.arguments import check_number
from caveatlib.support.text import in_one_line, shorten

MAX_ANSWER_BYTES = 64 << 20
LONGEST = 500
"""Characters of a failure that are kept of what an engine says of it."""

_current = threading.local()


class Budget:
    """What one call to an engine may still use.

    Attributes
    ----------
    total_s : float
    until : float
        On the monotonic clock.
    bytes_left : int
        Bytes that may still be received.
    """

    def __init__(self, total_s: float, max_bytes: int = MAX_ANSWER_BYTES):
        check_number("deadline in seconds", total_s)
        self.total_s = total_s
        self.until = time.monotonic() + total_s
        self.bytes_left = max_bytes

    def left_s(self) -> float:
        """Return the time left.

        Raises
        ------
        TimeoutError
            If none is left.
        """
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        return left

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.until


@contextmanager
def budgeted(total_s: float, *, max_bytes: int = MAX_ANSWER_BYTES) -> Iterator[Budget]:
    """Give every `BudgetSocket` operation of this thread one common budget.

    Within another budget, the time is what that one has left, if less.
    """
    before = getattr(_current, "budget", None)
    _current.budget = Budget(total_s, max_bytes)
    if before is not None:
        _current.budget.until = min(_current.budget.until, before.until)
    try:
        yield _current.budget
    finally:
        _current.budget = before


@contextmanager
def using(budget: Budget) -> Iterator[None]:
    """Take a budget that is there already, in whichever thread goes on with the call."""
    before = getattr(_current, "budget", None)
    _current.budget = budget
    try:
        yield
    finally:
        _current.budget = before


class BudgetSocket(socket.socket):
    """A stream socket whose every operation ends within the thread's budget."""

    def connect(self, address):
        """Connect within the budget."""
        self._arm()
        super().connect(address)

    def recv(self, size, flags=0):
        """Receive within the budget."""
        self._arm()
        return self._count(super().recv(size, flags))

    def recv_into(self, buffer, nbytes=0, flags=0):
        """Receive within the budget."""
        self._arm()
        size = super().recv_into(buffer, nbytes, flags)
        self._spend(size)
        return size

    def send(self, data, flags=0):
        """Send within the budget."""
        self._arm()
        return super().send(data, flags)

    def sendall(self, data, flags=0):
        """Send everything within the budget."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest[: 1 << 20], flags) :]

    def _arm(self) -> None:
        budget = getattr(_current, "budget", None)
        if budget is not None:
            self.settimeout(budget.left_s())

    def _count(self, data: bytes) -> bytes:
        self._spend(len(data))
        return data

    def _spend(self, size: int) -> None:
        budget = getattr(_current, "budget", None)
        if budget is not None:
            budget.bytes_left -= size
            if budget.bytes_left < 0:
                raise OSError("the answer is longer than allowed")


def connected(address: str | tuple[str, int]) -> BudgetSocket:
    """Return a connection made within the thread's budget.

    Parameters
    ----------
    address : str or tuple
        Path of a unix socket, or host and port.
    """
    family = socket.AF_UNIX
    where: str | tuple = address
    if not isinstance(address, str):
        family, _, _, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    sock = BudgetSocket(family, socket.SOCK_STREAM)
    try:
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def mount_on(client, address: str | tuple[str, int]) -> None:
    """Let a docker-py client send everything through `BudgetSocket`.

    Parameters
    ----------
    client : docker.APIClient
        Made for any unix socket; that one is never used.
    address : str or tuple
        As `connected` takes it.
    """
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

    class Connection(HTTPConnection):
        def connect(self):
            self.sock = connected(address)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        pool = Pool("localhost", maxsize=16)

        def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
            return self.pool

        def get_connection(self, url, proxies=None):  # requests before 2.32
            return self.pool

        def request_url(self, request, proxies):
            return request.path_url

        def close(self):
            self.pool.close()
            super().close()

    def refuse_encoding(response, **_):
        # A few kilobytes of gzip can unfold to gigabytes, past every budget.
        if response.headers.get("Content-Encoding"):
            response.close()
            raise EngineError("The engine answered in an encoding that nobody asked for")

    client.mount("http+docker://", Adapter())
    client.hooks["response"].append(refuse_encoding)
    client.headers["Accept-Encoding"] = "identity"
    # A connection for each call: one that is kept may be closed by the engine as it is taken up.
    client.headers["Connection"] = "close"
    client.trust_env = False
    client.max_redirects = 0


def translate(error: Exception, budget: Budget, what: str) -> CaveatError:
    """Return the typed error for what a call to an engine raised, unless it is one already.

    Parameters
    ----------
    what : str
        The call, e.g. ``"start"``.
    """
    if budget.spent or isinstance(root(error), TimeoutError):
        return DeadlineExceeded(f"{what}: the engine did not finish within {budget.total_s:g} s")
    explanation = getattr(error, "explanation", None)
    if explanation:
        return EngineError(f"{what}: the engine says: {sentence(explanation)}")
    return EngineError(f"{what}: the engine gave no sensible answer ({type(root(error)).__name__})")


def sentence(value: object) -> str:
    """Return what an engine says of a failure, in one line of at most `LONGEST` characters."""
    return shorten(in_one_line(value), LONGEST)


def root(error: BaseException) -> BaseException:
    """Return the innermost cause, which says most, e.g. a ConnectionResetError."""
    seen = [error]
    while (inner := error.__cause__ or error.__context__) is not None and inner not in seen:
        seen.append(error := inner)
    return error
