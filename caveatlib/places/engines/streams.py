"""Raw streams of an engine: a connection turned into one, and its frames taken apart."""

from __future__ import annotations

from collections.abc import Iterator

from caveatlib.errors import EngineError
from caveatlib.places.engines.deadline import BudgetSocket

MAX_HEAD_BYTES = 64 << 10
MAX_FRAMES_BYTES = 16 << 20
_FRAME_HEAD_BYTES = 8


def upgrade(sock: BudgetSocket, target: str, body: bytes = b"") -> None:
    """Ask the engine to turn the connection into a raw stream.

    The head is read byte by byte, so nothing of the stream is swallowed.

    Parameters
    ----------
    target : str
        Path and query, e.g. ``"/v1.45/containers/6a/attach?stream=1&stdout=1"``.

    Raises
    ------
    EngineError
        If the engine answers with anything but 101 or 200.
    """
    request = (
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sock.sendall(request.encode("ascii") + body)
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise EngineError("The engine closed the connection instead of answering")
        head += byte
        if len(head) > MAX_HEAD_BYTES:
            raise EngineError("The engine's answer has an endless head")
    # HTTP/1.1 101 UPGRADED
    words = bytes(head[:100]).split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1] not in (b"101", b"200"):
        said = words[1].decode("ascii", "replace")[:20] if len(words) > 1 else "no status"
        raise EngineError(f"The engine refused the stream: {said}")


def frames(sock: BudgetSocket, *, max_bytes: int = MAX_FRAMES_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield the frames of a container's output until its end.

    Each has an 8-byte head: stream (1 is stdout, 2 stderr), three zero bytes,
    length as big-endian uint32 (Docker Engine API, "Attach to a container").

    Yields
    ------
    stream : int
    data : bytes

    Raises
    ------
    EngineError
        If a frame is cut, not of a known stream, or all are longer than `max_bytes`.
    """
    while head := _exactly(sock, _FRAME_HEAD_BYTES, end_allowed=True):
        stream, length = head[0], int.from_bytes(head[4:], "big")
        if stream not in (0, 1, 2) or head[1:4] != b"\0\0\0":
            raise EngineError("The engine sent no frame where one should begin")
        max_bytes -= length
        if max_bytes < 0:
            raise EngineError(f"The engine sent a frame of {length} bytes, more than allowed")
        yield stream, _exactly(sock, length)


def _exactly(sock: BudgetSocket, size: int, *, end_allowed: bool = False) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            if end_allowed and not data:
                return b""
            raise EngineError("The engine cut a frame short")
        data += part
    return bytes(data)
