"""The same small web application in three images: full Debian, minimal Debian, scratch.

The application is busybox's web server with one page. In Debian it is the
package ``busybox``, linked against libraries as Debian's programs are; on
scratch it is the static build of the same source. The Debians are made with
debootstrap once (`places.debians`) and kept; every session imports one into an engine
of its own and builds the image on it, so nothing is downloaded meanwhile.

Which files are opened is recorded from just before the container's runtime
starts until the server has answered and is gone. What the engine's daemon
itself reads before that is not counted; what the runtime reads in the image
(``/etc/passwd``, to look up the user) is.
"""

from __future__ import annotations

import functools
import io
import os
import select
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from caveatlib import images
from caveatlib.errors import DeadlineExceeded, EngineError, MeasurementError, UsageError
from caveatlib.experiments.layers import fanotify
from caveatlib.places import cache, debians, leases, netns, rootfs
from caveatlib.places.engines import belongings
from caveatlib.places.engines.private_engine import private_engine
from caveatlib.support import programs

BASES = tuple(debians.BASES)
KINDS = (*BASES, "scratch")
PORT = 80
COMMAND = ("/bin/busybox", "httpd", "-f", "-p", str(PORT), "-h", "/www")
PAGE = "/www/index.html"
SHELL = b"#!/usr/bin/python3\nprint('Nothing to see here.')\n"
"""What is planted as /bin/sh."""

ANSWER_S = 20.0
LOAD_S = 300.0

# Stands between the engine and runc: once the image is mounted and before
# anything runs in it, it says so and waits until somebody watches.
RUNTIME = """#!/bin/sh
for word; do
    if [ "$word" = create ]; then
        echo mounted > {folder}/mounted
        read -r go < {folder}/go
    fi
done
exec runc "$@"
"""


class WebPlace:
    """One of the images in an engine of its own."""

    def __init__(self, engine, kind: str, folder: Path):
        self.kind = kind
        self._engine = engine
        self._folder = folder
        self._base = "scratch" if kind == "scratch" else _imported(engine, kind)
        self.name = self._built("web", f"FROM {self._base}\nCOPY files /\n", _contents(kind))

    def metadata(self) -> dict[str, str]:
        """Return the engine's facts and what the image is made of."""
        return self._engine.metadata() | {"image_base": self.kind}

    @functools.cached_property
    def image(self) -> images.Image:
        """The image, read as ``docker save`` writes it, its files compared with its packages."""
        return images.read_stream(self._engine.saved(self.name), olives=True)

    def planted(self) -> images.Image:
        """Return the image with a script put in the place of its /bin/sh.

        Raises
        ------
        UsageError
            If it has no shell that could be replaced.
        """
        if self.kind == "scratch":
            raise UsageError("The image on scratch has no /bin/sh. Must be one of a Debian.")
        lines = f"FROM {self.name}\nCOPY files/sh /bin/sh\n"
        name = self._built("planted", lines, {"sh": (0o755, SHELL)})
        return images.read_stream(self._engine.saved(name), olives=True)

    def serve(self) -> tuple[int, dict[str, int]]:
        """Start the application, ask for its page, stop it.

        Returns
        -------
        served : int
            1 if the page came as it is in the image, else 0.
        opened : dict
            Path in the image -> size in bytes of every file that was opened.
        """
        host = {"runtime": "watched"}
        container = self._engine.create(list(COMMAND), image=self.name, host=host)
        try:
            with self._watched(container) as watched:
                answer = self._asked(container)
                watched.drain()
                self._engine.kill(container, "KILL")
                self._engine.wait(container)
                found = watched.drain()
        finally:
            self._engine.remove(container)
        found = {_inside(path): size for path, size in found.items()}
        if COMMAND[0].rpartition("/")[2] not in {path.rpartition("/")[2] for path in found}:
            raise MeasurementError("The program ran and is not among the files opened.")
        return int(answer.endswith(rootfs.PAGE) and b" 200 " in answer[:16]), found

    @contextmanager
    def _watched(self, container: str) -> Iterator[fanotify.Recorder]:
        """Start a container with everything recorded that is opened in it."""
        # Asked now: the engine does not answer for a container that is being started.
        driver = self._engine.inspect(container)["GraphDriver"]["Data"]
        merged = f"/proc/{self._engine.pid}/root{driver['MergedDir']}"
        mounted = os.open(self._folder / "mounted", os.O_RDONLY | os.O_NONBLOCK)
        go = os.open(self._folder / "go", os.O_RDWR)  # for reading, too: else it waits for a reader
        try:
            with ThreadPoolExecutor(1) as pool:
                started = pool.submit(self._engine.start, container)
                try:
                    _await(mounted)
                    with fanotify.recorder(merged) as watched:
                        os.write(go, b"\n")
                        started.result()
                        yield watched
                except BaseException:
                    os.write(go, b"\n")  # else the runtime waits on
                    raise
        finally:
            os.close(mounted)
            os.close(go)

    def _asked(self, container: str) -> bytes:
        networks = self._engine.inspect(container)["NetworkSettings"]["Networks"]
        address = (networks["bridge"]["IPAddress"], PORT)

        def answered() -> bytes:
            with suppress(OSError), netns.connect_in(self._engine.pid, address, 1.0) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                with sock.makefile("rb") as answer:
                    return answer.read(1 << 16)
            return b""

        return programs.wait_until(answered, ANSWER_S, "No answer", pause_s=0.02)

    def _built(self, name: str, dockerfile: str, files: dict[str, tuple[int, bytes]]) -> str:
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            parts = {f"files/{path}": part for path, part in files.items()}
            for path, (mode, data) in (
                parts | {"Dockerfile": (0o644, dockerfile.encode())}
            ).items():
                entry = tarfile.TarInfo(path)
                entry.mode, entry.size = mode, len(data)
                tar.addfile(entry, io.BytesIO(data))
        return self._engine.build(name, context.getvalue(), timeout_s=LOAD_S)


@contextmanager
def web_place(kind: str) -> Iterator[WebPlace]:
    """Open an engine with one of the images.

    Parameters
    ----------
    kind : {"full", "minimal", "scratch"}

    Raises
    ------
    UsageError
        If there is no such image.
    Unavailable
        If the Debian under it is not prepared, or no engine can be started.
    """
    if kind not in KINDS:
        raise UsageError(f"Unknown image {kind!r}. Must be one of {KINDS}.")
    with leases.leased() as lease:
        # Not in the folder for sockets: an engine sees only its own below /run.
        script = lease.data / "runtime"
        script.write_text(RUNTIME.format(folder=lease.data))
        script.chmod(0o755)
        for name in ("mounted", "go"):
            os.mkfifo(lease.data / name)
        runtimes = {"runc": ("runc",), "watched": (str(script),)}
        with private_engine(runtimes=runtimes) as engine:
            yield WebPlace(engine, kind, lease.data)


def _contents(kind: str) -> dict[str, tuple[int, bytes]]:
    """Return the files that are copied into an image: the page, and the program on scratch."""
    files = {PAGE.lstrip("/"): (0o644, rootfs.PAGE)}
    if kind == "scratch":
        program = (rootfs.rootfs() / "bin/busybox").read_bytes()
        files["bin/busybox"] = (0o755, program)
    return files


def _imported(engine, kind: str) -> str:
    repository = f"{belongings.REPOSITORIES}{kind}"
    archive = cache.find(debians.ARTEFACT) / f"{kind}.tar"
    take = engine.api.import_image_from_file
    options = {"repository": repository, "tag": engine.run}
    reply = engine.call("import", take, str(archive), timeout_s=LOAD_S, **options)
    if '"error"' in reply:
        raise EngineError(f"import: the engine refused the image {kind!r}")
    return f"{repository}:{engine.run}"


def _await(reader: int) -> None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if not poll.poll(ANSWER_S * 1000):
        raise DeadlineExceeded(f"The container's runtime did not start within {ANSWER_S:g} s.")
    os.read(reader, 64)


def _inside(path: str) -> str:
    """Return a path within the image: through the engine's mount it is below ``.../merged``."""
    head, merged, inside = path.partition("/merged/")
    return f"/{inside}" if merged and "/overlay2/" in head else path
