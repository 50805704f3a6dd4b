"""A tool beside a registry: something is tampered with, the tool is asked, all is put back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from caveatlib.errors import CaveatError, MeasurementError
from caveatlib.experiments.trust import planted, tampering, tools, words
from caveatlib.experiments.trust.site import Site
from caveatlib.experiments.trust.tampering import ARCHIVE, LAYOUT
from caveatlib.experiments.trust.tools import Asked, Refused, Tool
from caveatlib.support import programs


class Bench:
    """A tool that images are offered to.

    Parameters
    ----------
    site : Site
    tool : callable, optional
        See `tools`; without one no image is fetched.
    tell : callable, optional
        What it says of an image, see `planted`.
    left : callable, optional
        Returns how many layers lie where the tool keeps them; default: below its folder.
    clear : callable, optional
        Makes the tool forget what it has.
    packages : sequence of str
        Debian packages whose versions are facts of a run.
    facts : callable, optional
        Returns what else are facts of a run.
    """

    def __init__(
        self,
        site: Site,
        tool: Tool | None = None,
        *,
        tell: planted.Teller | None = None,
        left: Callable[[], int] | None = None,
        clear: Callable[[], None] = lambda: None,
        packages: tuple[str, ...] = (),
        facts: Callable[[], dict[str, str]] = dict,
    ):
        self._site, self._tool, self._tell, self._clear = site, tool, tell, clear
        self._out = site.folder / "out"
        self._left = left or (lambda: tools.left_in(self._out))
        self._packages, self._facts = ("docker-registry", *packages), facts

    def metadata(self) -> dict[str, str]:
        """Return the versions of the programs, and of an engine what it is and where it stores."""
        return {f"{name}_version": _version(name) for name in self._packages} | self._facts()

    def fetch(self, form: str, what: str) -> dict[str, object]:
        """Offer the tool an image that was tampered with.

        Parameters
        ----------
        form : str
            One of `tampering.FORMS`.
        what : str
            One of `tampering.TAMPERINGS`.

        Returns
        -------
        dict
            Columns of a trial: `accepted`, `same_content` or `check` and `left_files`,
            `altered_bytes`, `took_s`.

        Raises
        ------
        MeasurementError
            If the tool refuses for a reason that is none of the image's.
        """
        assert self._tool is not None
        tools.empty(self._out)
        try:
            with _offered(self._site, form, what) as (asked, altered):
                started = time.monotonic()
                try:
                    held = self._tool(self._site, asked, self._out)
                    found = {"accepted": 1.0, "same_content": float(_same(held, what))}
                except Refused as error:
                    found = {"accepted": 0.0, "check": _check(error)}
                took_s = time.monotonic() - started
            if not found["accepted"]:
                found["left_files"] = float(self._left())
        finally:
            tools.empty(self._out)
            self._clear()
        return found | {"altered_bytes": float(altered), "took_s": took_s}

    def planted(self, history: str) -> dict[str, str]:
        """Return for each planted thing, and for nothing planted, by what the tool named it."""
        assert self._tell is not None
        found = {}
        for plant in (*planted.PLANTS, planted.CLEAN):
            path = self._site.folder / "planted.tar"
            path.write_bytes(planted.archive(plant, history))
            try:
                found[plant] = planted.named(self._tell(self._site, path), plant)
            finally:
                path.unlink()
                self._clear()
        return found


def _same(held: tools.Held, what: str) -> bool:
    return tools.same(held, many=what in (tampering.NOTHING_MANY, tampering.INDEX))


def _check(error: Refused) -> str:
    if check := words.check_of(str(error)):
        return check
    raise MeasurementError(f"Refused for a reason that is none of the image's: {error}")


@contextmanager
def _offered(site: Site, form: str, what: str) -> Iterator[tuple[Asked, int]]:
    """Tamper with a store, and undo it on leaving; yields what is asked for, and bytes changed."""
    changes = tampering.changes(form, what)
    if form in (ARCHIVE, LAYOUT):
        path = site.folder / "offered"
        files = dict(tampering.files_of(form))
        asked = Asked(form, str(path))
        try:
            tools.write(asked, files | changes)
            yield asked, sum(tampering.differing(files.get(n, b""), d) for n, d in changes.items())
        finally:
            _remove(path)
        return
    with replaced({site.path(name): data for name, data in changes.items()}) as altered:
        yield Asked(form, site.repository + tampering.reference(form, what)), altered


@contextmanager
def replaced(changes: Mapping[Path, bytes]) -> Iterator[int]:
    """Put other contents into files, and the old ones back on leaving; yields bytes that differ."""
    before = {path: path.read_bytes() for path in changes}
    try:
        for path, data in changes.items():
            path.write_bytes(data)
        yield sum(tampering.differing(before[path], path.read_bytes()) for path in changes)
    finally:
        for path, data in before.items():
            path.write_bytes(data)


def _remove(path: Path) -> None:
    if path.is_dir():
        tools.empty(path)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _version(package: str) -> str:
    try:
        return programs.run(["dpkg-query", "--show", "--showformat=${Version}", package])
    except CaveatError:
        return ""
