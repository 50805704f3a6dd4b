"""What a Docker engine takes: ``docker pull`` and ``docker load``, through its API."""

from __future__ import annotations

import time
from pathlib import Path

from caveatlib.errors import DeadlineExceeded, EngineError, MeasurementError
from caveatlib.experiments.trust import made
from caveatlib.experiments.trust.made import CURRENT, PAYLOAD
from caveatlib.experiments.trust.site import Site
from caveatlib.experiments.trust.tampering import ARCHIVE
from caveatlib.experiments.trust.tools import Asked, Held, Refused
from caveatlib.places.engines import answers
from caveatlib.places.engines.engine import Engine
from caveatlib.support.privacy import scrub

TAKE_S = 60.0
SETTLE_S = 3.0


class Docker:
    """A private engine as a tool; see `tools`."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._root = Path(engine.info()["DockerRootDir"])

    def __call__(self, site: Site, asked: Asked, out: Path) -> Held:
        """Pull or load an image, and look at what the engine then has."""
        api = self._engine.api
        if asked.form == ARCHIVE:
            data = Path(asked.name).read_bytes()
            name = f"{made.NAME}:{CURRENT}"
            self._take("load", lambda: api.load_image(data))
        else:
            name = asked.name
            self._take("pull", lambda: api.pull(name, stream=True, decode=True))
        return self.held(name)

    def _take(self, what: str, function) -> None:
        """Read the engine's progress to the end; what it reports as an error is a refusal."""
        try:
            steps = self._engine.call(what, lambda: list(function()), timeout_s=TAKE_S)
        except DeadlineExceeded:
            raise
        except EngineError as error:
            raise Refused(str(error)) from None
        for step in map(answers.as_dict, steps):
            if "error" in step:
                raise Refused(scrub(f"{what}: {step['error']}"))

    def held(self, name: str) -> Held:
        """Return what an image of the engine holds: a file from its folder, and the command."""
        about = answers.as_dict(self._engine.call("image", self._engine.api.inspect_image, name))
        folders = about["GraphDriver"]["Data"]
        layers = [folders["UpperDir"], *filter(None, folders.get("LowerDir", "").split(":"))]
        found = (Path(folder) / PAYLOAD for folder in layers)
        payload = next((path.read_bytes() for path in found if path.is_file()), None)
        return Held(payload, " ".join(about["Config"]["Cmd"] or ()))

    def clear(self) -> None:
        """Remove every image, and the manifests that the engine keeps of what it once pulled.

        With these it would not ask the registry again, and each trial is that of a fresh engine.
        """
        api = self._engine.api
        listed = answers.as_list(self._engine.call("images", api.images))
        for one in listed:
            with answers.ignoring(404):
                self._engine.call("image", api.remove_image, one["Id"], force=True)
        if left := self.left():
            raise MeasurementError(f"The engine still holds {left} layers of removed images.")
        for kept in self._root.glob("containerd/daemon/io.containerd.content*/blobs/*/*"):
            kept.unlink()

    def left(self) -> int:
        """Return how many layers' files lie in the engine's folder when it has settled.

        What it had unpacked of a refused image it removes a moment later: none left does not mean
        that none was written.
        """
        until = time.monotonic() + SETTLE_S
        while (left := self._unpacked()) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    def _unpacked(self) -> int:
        return sum(p.is_file() for p in self._root.glob(f"overlay2/*/diff/{PAYLOAD}"))
