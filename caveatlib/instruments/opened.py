"""Which files of its image a container opens, from just before its runtime starts.

A small runtime stands between the engine and runc: once the image is mounted and before
anything runs in it, it waits until somebody watches. What the engine's daemon itself reads
before that is not counted; what the runtime reads in the image (``/etc/passwd``, to look up the
user) is. Another container of the same image has a mount of its own, and is not watched.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from caveatlib.errors import DeadlineExceeded
from caveatlib.instruments import fanotify
from caveatlib.places import leases
from caveatlib.places.engines.engine import Engine
from caveatlib.places.engines.private_engine import private_engine

HOST = {"runtime": "watched"}
"""What `Engine.create` is told of a container that will be watched."""
STARTS_S = 20.0
_RUNTIME = """#!/bin/sh
for word; do
    if [ "$word" = create ]; then
        echo mounted > {folder}/mounted
        read -r go < {folder}/go
    fi
done
exec runc "$@"
"""


class Files:
    """The files that one container has opened."""

    def __init__(self, recorder: fanotify.Recorder):
        self._recorder = recorder

    def drain(self) -> dict[str, int]:
        """Return path in the image -> size in bytes of every file opened since the start."""
        return {_inside(path): size for path, size in self._recorder.drain().items()}


class Watch:
    """An engine of its own whose containers can be watched from their start."""

    def __init__(self, engine: Engine, folder: Path):
        self.engine = engine
        self._folder = folder

    @contextmanager
    def started(self, container: str) -> Iterator[Files]:
        """Start a container that was created with `HOST`, with all recorded that it opens.

        Raises
        ------
        DeadlineExceeded
            If its runtime does not start.
        MeasurementError
            If the kernel lost reports.
        """
        # Asked now: the engine does not answer for a container that is being started.
        driver = self.engine.inspect(container)["GraphDriver"]["Data"]
        merged = f"/proc/{self.engine.pid}/root{driver['MergedDir']}"
        mounted = os.open(self._folder / "mounted", os.O_RDONLY | os.O_NONBLOCK)
        go = os.open(self._folder / "go", os.O_RDWR)  # for reading, too: else it waits for a reader
        try:
            with ThreadPoolExecutor(1) as pool:
                started = pool.submit(self.engine.start, container)
                try:
                    _await(mounted)
                    with fanotify.recorder(merged) as recorder:
                        os.write(go, b"\n")
                        started.result()
                        yield Files(recorder)
                except BaseException:
                    os.write(go, b"\n")  # else the runtime waits on
                    raise
        finally:
            os.close(mounted)
            os.close(go)


@contextmanager
def watch() -> Iterator[Watch]:
    """Open an engine whose containers can be watched.

    Raises
    ------
    Unavailable
        If no engine can be started.
    """
    with leases.leased() as lease:
        # Not in the folder for sockets: an engine sees only its own below /run.
        script = lease.data / "runtime"
        script.write_text(_RUNTIME.format(folder=lease.data))
        script.chmod(0o755)
        for name in ("mounted", "go"):
            os.mkfifo(lease.data / name)
        runtimes = {"runc": ("runc",), HOST["runtime"]: (str(script),)}
        with private_engine(runtimes=runtimes) as engine:
            yield Watch(engine, lease.data)


def _await(reader: int) -> None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if not poll.poll(STARTS_S * 1000):
        raise DeadlineExceeded(f"The container's runtime did not start within {STARTS_S:g} s.")
    os.read(reader, 64)


def _inside(path: str) -> str:
    """Return a path within the image: through the engine's mount it is below ``.../merged``."""
    head, merged, inside = path.partition("/merged/")
    return f"/{inside}" if merged and "/overlay2/" in head else path
