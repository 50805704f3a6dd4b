"""The same small web application in three images: full Debian, minimal Debian, scratch.

The application is busybox's web server with one page. In Debian it is the
package ``busybox``, linked against libraries as Debian's programs are; on
scratch it is the static build of the same source. The Debians are made with
debootstrap once (`places.debians`) and kept; every session imports one into an engine
of its own and builds the image on it, so nothing is downloaded meanwhile.

Which files are opened is recorded from just before the container's runtime
starts until the server has answered and is gone; see `instruments.opened`.
"""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from caveatlib import images
from caveatlib.errors import MeasurementError, UsageError
from caveatlib.instruments import opened
from caveatlib.places import debians, netns, rootfs
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


class WebPlace:
    """One of the images in an engine of its own."""

    def __init__(self, watch: opened.Watch, kind: str):
        self.kind = kind
        self._watch, self._engine = watch, watch.engine
        self._base = "scratch" if kind == "scratch" else debians.imported(watch.engine, kind)
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
        container = self._engine.create(list(COMMAND), image=self.name, host=opened.HOST)
        try:
            with self._watch.started(container) as files:
                answer = self._asked(container)
                files.drain()
                self._engine.kill(container, "KILL")
                self._engine.wait(container)
                found = files.drain()
        finally:
            self._engine.remove(container)
        if COMMAND[0].rpartition("/")[2] not in {path.rpartition("/")[2] for path in found}:
            raise MeasurementError("The program ran and is not among the files opened.")
        return int(answer.endswith(rootfs.PAGE) and b" 200 " in answer[:16]), found

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
    with opened.watch() as watch:
        yield WebPlace(watch, kind)


def _contents(kind: str) -> dict[str, tuple[int, bytes]]:
    """Return the files that are copied into an image: the page, and the program on scratch."""
    files = {PAGE.lstrip("/"): (0o644, rootfs.PAGE)}
    if kind == "scratch":
        program = (rootfs.rootfs() / "bin/busybox").read_bytes()
        files["bin/busybox"] = (0o755, program)
    return files
