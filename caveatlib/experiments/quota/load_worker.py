"""A worker that burns CPU time on request; run as a program, needs only the standard library.

Requests come on stdin and answers go to stdout, as fixed records, so that
several workers can share one pair of pipes: the kernel hands each record to
one of them, whichever waited longest. It ends when stdin does, or its parent.
"""

import gc
import os
import struct
import time

REQUEST = struct.Struct("<qd")
"""Number of the request; CPU seconds to burn."""
ANSWER = struct.Struct("<qqqd")
"""Number; start and end on the monotonic clock in ns; CPU seconds burnt."""
READY = -1
_PARENT_EVERY = 4096


def burn(cost_s: float, parent: int) -> None:
    """Burn CPU time as the thread's CPU clock counts it, waiting and throttling left out."""
    end = time.thread_time() + cost_s
    rounds = 0
    while time.thread_time() < end:
        rounds += 1
        if rounds % _PARENT_EVERY == 0 and os.getppid() != parent:
            os._exit(0)


def overhead_s(rounds: int = 200) -> float:
    """Return the CPU time of one request without its work: a read, a write, the records."""
    end_r, end_w = os.pipe()
    begun = time.thread_time()
    for _ in range(rounds):
        os.write(end_w, ANSWER.pack(0, time.monotonic_ns(), time.monotonic_ns(), 0.0))
        ANSWER.unpack(os.read(end_r, ANSWER.size))
    spent = (time.thread_time() - begun) / rounds
    os.close(end_r)
    os.close(end_w)
    return spent


def main() -> None:
    """Say that it is ready, then serve until stdin ends."""
    gc.disable()
    parent = os.getppid()
    own = overhead_s()
    os.write(1, ANSWER.pack(READY, 0, 0, own))
    while record := os.read(0, REQUEST.size):
        number, cost_s = REQUEST.unpack(record)
        start, before = time.monotonic_ns(), time.thread_time()
        burn(cost_s - own, parent)
        spent = time.thread_time() - before
        os.write(1, ANSWER.pack(number, start, time.monotonic_ns(), spent + own))


if __name__ == "__main__":
    main()
