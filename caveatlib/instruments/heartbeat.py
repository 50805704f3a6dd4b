"""Heartbeats of this process: how long the host made it wait meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gaps(every_s: float) -> Iterator[list[float]]:
    """Let a thread of this process beat, and yield the times between its beats so far.

    Parameters
    ----------
    every_s : float
        How long the thread waits before each beat.

    Yields
    ------
    list of float
        In seconds, in the order of the beats; it grows until the context is left.
    """
    found: list[float] = []
    over = threading.Event()
    began = time.monotonic()

    def beat() -> None:
        last = began
        while not over.wait(every_s):
            now = time.monotonic()
            found.append(now - last)
            last = now

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
