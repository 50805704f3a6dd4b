"""An engine on a unix socket that misbehaves in one chosen way.

`/version` is answered well unless the behaviour is about the very first byte,
so that a client gets as far as the call under test.
"""

import contextlib
import gzip
import itertools
import json
import socket
import threading
from contextlib import contextmanager

VERSION = {"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Os": "linux"}
CONTAINER = "6a" * 32
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """Return a whole answer with a body."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(body: bytes) -> bytes:
    """Return a whole answer with a body in one chunk, as an engine reports progress."""
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def says(*parts: bytes, then: str = "close"):
    """Return a behaviour: send the parts, then close or stay silent."""

    def behave(conn, stop):
        for part in parts:
            conn.sendall(part)
        if then == "stall":
            stop.wait()

    return behave


def drips(data: bytes, pause_s: float):
    """Return a behaviour: send byte after byte with pauses."""

    def behave(conn, stop):
        for byte in itertools.cycle(data):
            conn.sendall(bytes([byte]))
            if stop.wait(pause_s):
                return

    return behave


def floods(start: bytes, again: bytes):
    """Return a behaviour: send something, then something else for ever."""

    def behave(conn, stop):
        conn.sendall(start)
        while not stop.is_set():
            conn.sendall(again)

    return behave


def frame(data: bytes, *, stream: int = 1, length: int | None = None) -> bytes:
    """Return a frame of a container's output, with any length in its head."""
    return bytes([stream, 0, 0, 0]) + (len(data) if length is None else length).to_bytes(4) + data


JSON_CALLS = {
    "silence": says(then="stall"),
    "close": says(),
    "status line only": says(b"HTTP/1.1 200 OK\r\n", then="stall"),
    "stall after head": says(HEAD + b"Content-Length: 100\r\n\r\n", then="stall"),
    "stall in body": says(HEAD + b"Content-Length: 100\r\n\r\n{", then="stall"),
    "cut body": says(HEAD + b"Content-Length: 100\r\n\r\n{"),
    "drip in body": drips(HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 90000, 0.05),
    "drip in head": drips(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 60000, 0.05),
    "500": says(answer(b'{"message": "something broke"}', "500 Internal Server Error")),
    "500 with garbage": says(answer(b"\0\xff<html>" * 50, "500 Internal Server Error")),
    "wrong json": says(answer(b'{"ID": ')),
    "no json": says(answer(b"\xff\xfe\0")),
    "list for object": says(answer(b"[1, 2]")),
    "null for object": says(answer(b"null")),
    "deep json": says(answer(b"[" * 200_000)),
    "endless chunks": floods(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"
    ),
    "bad chunk size": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "endless chunk size": floods(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 4096),
    "endless header": floods(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096),
    "endless headers": floods(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
    "endless continue": floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "huge content length": says(HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}"),
    "negative content length": says(HEAD + b"Content-Length: -1\r\n\r\n{"),
    "204": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "http 0.9": says(b"<html>hello</html>\r\n"),
    "tls alert": says(b"\x15\x03\x01\0\x02\x02\x28"),
    "unwanted gzip": says(answer(gzip.compress(b"{}"), "200 OK\r\nContent-Encoding: gzip")),
    "redirect": says(answer(b"", "302 Found\r\nLocation: http+docker://localhost/version")),
    "huge status": says(b"HTTP/1.1 99999999 OK\r\n\r\n{}"),
}
"""Behaviours for a call that wants a JSON object."""

STREAMS = {
    "silence": says(UPGRADED, then="stall"),
    "half a frame's head": says(UPGRADED + b"\x01\0\0"),
    "half a frame": says(UPGRADED + frame(b"half", length=8)),
    "half a frame, then silence": says(UPGRADED + frame(b"half", length=8), then="stall"),
    "frame of 4 GiB": says(UPGRADED + frame(b"x", length=2**32 - 1), then="stall"),
    "unknown stream": says(UPGRADED + frame(b"x", stream=9)),
    "no frames": says(UPGRADED + b"plain text, long enough"),
    "endless frames": floods(UPGRADED, frame(b"x" * 65536)),
    "drip": drips(UPGRADED, 0.05),
    "drip of frames": drips(frame(b""), 0.05),
    "refused": says(answer(b'{"message": "not running"}', "409 Conflict")),
    "endless head": floods(b"HTTP/1.1 101 UPGRADED\r\nX: ", b"x" * 4096),
    "close": says(),
    "garbage": says(b"\0" * 64 + b"\r\n\r\n"),
}
"""Behaviours for a call that wants a raw stream."""


@contextmanager
def serving(path, behaviour, *, at: str = "/info", first: bool = False, more=None):
    """Serve on a unix socket; requests for paths that end in `at` meet the behaviour.

    Parameters
    ----------
    first : bool
        Whether the behaviour comes before any request is read.
    more : dict, optional
        Further sensible answers by the ends of paths.
    """
    stop, threads = threading.Event(), []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(16)
    server.settimeout(0.02)

    def accept():
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                conn, _ = server.accept()
                conn.settimeout(0.02)
                threads.append(threading.Thread(target=handle, args=(conn,)))
                threads[-1].start()

    def handle(conn):
        with conn, contextlib.suppress(OSError):
            if first:
                behaviour(conn, stop)
            while not stop.is_set():
                if not (request := _request(conn, stop)):
                    return
                target = request.split(b" ", 2)[1].decode().partition("?")[0]
                if target.endswith(at):
                    conn.settimeout(5)
                    return behaviour(conn, stop)
                told = (data for end, data in (more or {}).items() if target.endswith(end))
                conn.sendall(next(told, None) or _sensible(target))
                if target.endswith("/start"):
                    return

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"unix://{path}"
    finally:
        stop.set()
        acceptor.join()
        for thread in threads:
            thread.join()
        server.close()


def _sensible(target: str) -> bytes:
    if target.endswith("/version"):
        return answer(json.dumps(VERSION).encode())
    if target.endswith("/exec"):
        return answer(b'{"Id": "e1"}', "201 Created")
    if target.endswith("/start"):
        return UPGRADED + frame(b"half", length=8)
    if target.endswith("/attach"):
        return UPGRADED
    if target.endswith("/exec/e1/json"):
        return answer(b'{"ExitCode": 0}')
    if target.endswith("/images/busybox/json"):
        return answer(b'{"Id": "i1"}')
    return answer(b'{"message": "no such thing"}', "404 Not Found")


def _request(conn, stop) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            part = conn.recv(65536)
            if not part:
                return b""
            data += part
    return data
