"""One application: its images, read from their archives, and its server, asked and watched.

Each trial opens an engine of its own, which nothing has used before, loads the image and ends both,
so that neither an image nor what a workload wrote stays for the next. The server's files are
watched; whoever asks runs in another container, so that what it opens is not counted.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from caveatlib import images
from caveatlib.errors import MeasurementError
from caveatlib.experiments.applications import catalogue, installing
from caveatlib.experiments.applications.catalogue import Application
from caveatlib.images.names import normalise
from caveatlib.instruments import contents, opened
from caveatlib.instruments.registry import CHUNK_BYTES, CONGESTION, engine_beside
from caveatlib.places import leases, netns
from caveatlib.places.engines.engine import Engine
from caveatlib.support import programs

STARTS_S, LOAD_S, WORKLOAD_S, PULL_S = 60.0, 300.0, 300.0, 300.0
SETTLES_S = 1.0
"""So long a server has accepted connections before it is asked."""
MARKS = "/srv/marks"
_HEARD = "exec 2>&1"
"""Of a command, what it writes to standard output is heard, and nothing else."""
_ANSWERED = re.compile(r"^answered (\d+)$", re.MULTILINE)


class Held(NamedTuple):
    """What an image holds.

    Attributes
    ----------
    counts : dict
    files : pandas.DataFrame
        A row per name of each visible file, indexed by path: `size_bytes`, 0 for a hard link to
        a file that is listed; `executable`; `file`, the path that has the content.
    """

    counts: dict[str, float]
    files: pd.DataFrame


class Worked(NamedTuple):
    """What came of a workload: answers, seconds, files opened, marks seen at the end."""

    answered: int
    first_answer_s: float
    workload_s: float
    opened: frozenset[str]
    marks_seen: int


def held(image: images.Image) -> Held:
    """Return what an image holds."""
    files = image.files
    visible = files[files["hidden_by"].isna() & files["type"].isin(("file", "hard link"))]
    linked = visible["link_target"].map(normalise)
    table = pd.DataFrame(
        {
            "size_bytes": visible["size_bytes"].to_numpy(),
            "executable": (visible["mode"] & 0o111).gt(0).to_numpy(),
            "file": visible["path"].where(visible["type"].eq("file"), linked).to_numpy(),
        },
        index=pd.Index(visible["path"], name="path"),
    )
    return Held(contents.counts(image), table)


class Bench:
    """An application on both bases."""

    def __init__(self, application: Application):
        self._application = application
        self._held: dict[str, Held] = {}

    def metadata(self) -> dict[str, str]:
        """Return which versions of which packages are installed, and of which suite."""
        return installing.about(self._application.name) | {"link_congestion_control": CONGESTION}

    def held(self, base: str) -> Held:
        """Return what the image on a base holds, its files compared with its packages."""
        if base not in self._held:
            archive = installing.archive_of(self._application.name, base)
            self._held[base] = held(images.read(archive, olives=True))
        return self._held[base]

    def work(self, base: str) -> Worked:
        """Start the server on a base, ask it its workload, and stop it.

        Raises
        ------
        MeasurementError
            If something was answered wrongly.
        DeadlineExceeded
            If the server does not listen in time, or the workload takes too long.
        """
        application = self._application
        image, asking = _names(application, base)
        with opened.watch() as watch:
            engine = watch.engine
            for name, kind in dict.fromkeys((image, asking)):
                engine.load(installing.archive_of(name, kind), timeout_s=LOAD_S)
            client = engine.create(["sleep", "infinity"], image=installing.name_of(*asking))
            server = engine.create(
                list(application.argv), image=installing.name_of(*image), host=opened.HOST
            )
            engine.start(client)
            began = time.monotonic()
            with watch.started(server) as files:
                address = _listening(engine, server, application.port)
                first_answer_s = time.monotonic() - began
                time.sleep(SETTLES_S)
                files.drain()  # so that not all reports wait until the end, each with an open file
                began = time.monotonic()
                answered = self._ask(engine, client, address)
                workload_s = time.monotonic() - began
                found = files.drain()
                seen = _mark(engine, server, client, files)
        paths = frozenset(images.escape(path) for path in found)
        return Worked(answered, first_answer_s, workload_s, paths, seen)

    def deploy(self, base: str, rate_bit_per_s: float) -> dict[str, float]:
        """Pull the image into a fresh engine over a link, and start its server.

        Returns
        -------
        dict
            ``pulled_s``, ``deployed_s`` until the server accepts a connection, both from the
            request to pull, and ``moved_bytes`` that the registry sent over the link.
        """
        application = self._application
        name = installing.pushed_as(application.name, base)
        storage = installing.storage_of(application.name)
        _read(storage)
        with (
            leases.leased() as lease,
            engine_beside(lease, storage=storage, files=lease.data) as (engine, server),
        ):
            server.shape(rate_bit_per_s)
            before, began = server.sent_bytes(), time.monotonic()
            engine.pull(name, timeout_s=PULL_S)
            pulled_s, moved = time.monotonic() - began, server.sent_bytes() - before
            container = engine.create(list(application.argv), image=name)
            engine.start(container)
            _listening(engine, container, application.port)
            deployed_s = time.monotonic() - began
        return {"pulled_s": pulled_s, "deployed_s": deployed_s, "moved_bytes": float(moved)}

    def _ask(self, engine: Engine, client: str, address: str) -> int:
        argv = ["sh", "-ec", f"{_HEARD}\n{self._application.workload}", "sh", address]
        status, said = engine.exec(client, argv, timeout_s=WORKLOAD_S)
        text = said.decode(errors="replace")
        if status:
            last = (text.strip() or f"status {status}").splitlines()[-1]
            raise MeasurementError(f"{self._application.title} was asked in vain: {last}")
        answered = sum(map(int, _ANSWERED.findall(text)))
        if not answered:
            raise MeasurementError(f"{self._application.title} answered nothing.")
        return answered


def _read(folder: Path) -> None:
    """Read all files of a folder, so that no pull waits for the disk of the registry."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(CHUNK_BYTES):
                    pass


def _names(application: Application, base: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the image of the server and that of whoever asks, each by name and base."""
    image = application.name, base
    return image, (catalogue.CLIENTS, "minimal") if application.clients else image


def _listening(engine: Engine, container: str, port: int) -> str:
    """Wait until a server accepts connections, and return its address."""
    networks = engine.inspect(container)["NetworkSettings"]["Networks"]
    address = networks["bridge"]["IPAddress"]

    def accepted() -> bool:
        if not engine.inspect(container)["State"]["Running"]:
            said = engine.call("logs", engine.api.logs, container).decode(errors="replace")
            last = (said.strip() or "it said nothing").splitlines()[-1]
            raise MeasurementError(f"The server ended: {last}")
        with suppress(OSError), netns.connect_in(engine.pid, (address, port), 1.0):
            return True
        return False

    programs.wait_until(accepted, STARTS_S, f"No server on port {port}", pause_s=0.02)
    return address


def _mark(engine: Engine, server: str, client: str, files: opened.Files) -> int:
    """Open marks in both containers and return how many are reported: those of the server's.

    Whoever asks opens those that the server does not, in an image that may be the same.
    """
    marks = [f"{MARKS}/{number}" for number in range(1, catalogue.MARKS + 1)]
    own, others = marks[: catalogue.MARKED], marks[catalogue.MARKED :]
    for container, some in ((server, own), (client, others)):
        status, _ = engine.exec(container, ["cat", *some])
        if status:
            raise MeasurementError(f"The marks could not be opened: status {status}.")
    return len(files.drain().keys() & set(marks))
