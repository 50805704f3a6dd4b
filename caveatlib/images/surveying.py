"""Many images: what each holds, and what they share; every distinct layer is read once.

The steps are functions of their own, so that they run one after the other in this process
(`survey`) or as tasks on a cluster (`caveatlib.fleet.survey`): `expand` the sources to
images, `plan` each by its documents, `scan` each distinct layer, `finish` each image.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from caveatlib import frames
from caveatlib.errors import CaveatError, UsageError
from caveatlib.images import stores, tables
from caveatlib.images.assemble import Described, Part, complete, describe
from caveatlib.images.find import pick
from caveatlib.images.layers import Scan, check
from caveatlib.images.limits import DEFAULTS, Budget, Limits
from caveatlib.images.reading import REGISTRY, open_source
from caveatlib.images.registry import Registry, references
from caveatlib.support.paths import storage_error
from caveatlib.support.text import escape_control_characters

HEAD = ["reference", "ok", "error"]
LAYERS = ["diff_id", "size_bytes", "compressed_bytes", "images"]
PACKAGES = ["manager", "name", "version", "images"]


class Reference(NamedTuple):
    """An image to be read: its source, and its name in it where it has several."""

    source: str
    name: str | None = None

    def __str__(self):
        return escape_control_characters(f"{self.source}#{self.name}" if self.name else self.source)


@dataclass(frozen=True)
class Planned:
    """An image by its documents, or why it cannot be read.

    `scans` are of a packed archive, which is read from start to end in any case.
    """

    reference: Reference
    described: Described | None = None
    error: str = ""
    scans: dict[str, Scan] = field(default_factory=dict, repr=False)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its layers as described; none if it cannot be read."""
        return self.described.parts if self.described else ()

    @property
    def where(self) -> str:
        """Where its layers lie: its archive or folder, or its registry's host."""
        source = self.reference.source
        host = source.removeprefix(REGISTRY).partition("/")[0]
        return f"{REGISTRY}{host}" if source.startswith(REGISTRY) else source

    def layer_keys(self) -> list[str]:
        """Return what tells each of its layers from any other: its digest, or else its place."""
        return [part.digest or f"{self.reference.source}:{part.path}" for part in self.parts]


class Unread(NamedTuple):
    """Why a layer could not be read, and where: what has the same digest elsewhere may be sound."""

    where: str
    why: str


class Finished(NamedTuple):
    """What a survey keeps of an image: plain values, and frames of a few hundred rows."""

    row: dict
    layers: pd.DataFrame | None = None
    packages: pd.DataFrame | None = None


@dataclass(frozen=True)
class Survey:
    """What many images hold.

    Attributes
    ----------
    images : pandas.DataFrame
        One row per image: `reference`, `ok`, `error`, and the columns of `tables.Summary`,
        empty where the image could not be read.
    layers : pandas.DataFrame
        One row per distinct layer by its unpacked content: `diff_id`, `size_bytes`, the
        smallest `compressed_bytes`, and in how many `images` it is; most of these first.
    packages : pandas.DataFrame
        One row per `manager`, `name` and `version`, with the number of `images`.
    """

    images: pd.DataFrame
    layers: pd.DataFrame
    packages: pd.DataFrame


def survey(
    sources: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    platform: str | None = None,
    limits: Limits = DEFAULTS,
    progress: bool = True,
) -> Survey:
    """Read many images in this process, one after the other.

    Parameters
    ----------
    sources : path or str, or a sequence of them
        As for `images.read`, and besides ``registry://host[:port]`` for all images that a
        registry lists, and a folder for whatever archives and layouts are in it.
    platform : str, optional
        ``os/architecture[/variant]``, as for `images.read`.
    limits : Limits, optional
        Of each image's documents, and of each layer by itself.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Survey
        An image that cannot be read is a row with the reason.

    Raises
    ------
    UsageError
        If a source is none.
    StorageError
        If a folder of sources cannot be read.
    Unavailable, DeadlineExceeded
        If a registry does not list its images.
    """
    from tqdm.auto import tqdm

    planned = [plan(reference, platform, limits) for reference in expand(sources, limits)]
    uses = Counter(key for image in planned for key in image.layer_keys())
    kept: dict[str, Scan | Unread] = {}
    tally = Tally()
    bar = tqdm(planned, desc="images", disable=not progress)
    for number, image in enumerate(bar):
        scans = []
        for key, part in zip(image.layer_keys(), image.parts, strict=True):
            if key not in kept:
                kept[key] = scan(image, part, limits)
            scans.append(kept[key])
        tally.add(number, finish(image, scans, limits))
        for key in image.layer_keys():
            uses[key] -= 1
            if not uses[key]:
                del kept[key]
    return tally.survey()


def expand(
    sources: str | os.PathLike | Sequence[str | os.PathLike], limits: Limits = DEFAULTS
) -> list[Reference]:
    """Return the images of sources, each once, in their order; see `survey`."""
    if isinstance(sources, (str, bytes, os.PathLike)):  # text is a sequence of letters
        sources = [sources]
    found: dict[Reference, None] = {}
    for source in map(os.fsdecode, sources):
        host = source.removeprefix(REGISTRY).rstrip("/")
        if source.startswith(REGISTRY) and "/" not in host:
            listed = references(host, budget=Budget(limits))
            found |= dict.fromkeys(Reference(f"{REGISTRY}{name}") for name in listed)
        elif source.startswith(REGISTRY):
            found[Reference(source)] = None
        elif os.path.isdir(source) and not os.path.isfile(Path(source) / "index.json"):
            inside = _inside(source)
            if not inside:
                raise UsageError(f"Folder {source!r} is empty. Must hold archives or layouts.")
            found |= dict.fromkeys(one for path in inside for one in _in(path, limits))
        else:
            found |= dict.fromkeys(_in(source, limits))
    return list(found)


def _inside(folder: str) -> list[str]:
    try:
        return sorted(os.fspath(path) for path in Path(folder).iterdir())
    except OSError as error:
        raise storage_error("read", folder, error) from None


def _in(path: str, limits: Limits) -> list[Reference]:
    """Return the images of an archive or layout; itself where it cannot be read, to say why."""
    try:
        _, found = open_source(path, limits=limits)
    except CaveatError:
        return [Reference(path)]
    names = dict.fromkeys(image.name for image in found)
    return [Reference(path, name) for name in names] if len(names) > 1 else [Reference(path)]


def plan(reference: Reference, platform: str | None = None, limits: Limits = DEFAULTS) -> Planned:
    """Read the documents of an image; no layer, unless its archive is packed."""
    try:
        store, found = open_source(reference.source, limits=limits)
        image = pick(found, reference.name, platform, reference.source)
        described = describe(store, image, limits)
        packed = isinstance(store, stores.Stream)
        scans = {p.path: store.layer(p.path, p.algorithm) for p in described.parts if packed}
    except CaveatError as error:
        return Planned(reference, error=str(error))
    return Planned(reference, described, scans=scans)


def scan(image: Planned, part: Part, limits: Limits = DEFAULTS) -> Scan | Unread:
    """Read a layer of an image, or return why it cannot be read: other images need to know.

    One that is not what its digest says cannot be read either.
    """
    try:
        found = image.scans.get(part.path) or _read(image, part, limits)
        if part.digest:
            check(part.digest, found.digest, "Layer")
        return found
    except CaveatError as error:
        return Unread(image.where, str(error))


def _read(image: Planned, part: Part, limits: Limits) -> Scan:
    source, budget = image.reference.source, Budget(limits)
    if source.startswith(REGISTRY):
        store: stores.Store = Registry(source.removeprefix(REGISTRY), budget=budget)
    else:
        store = stores.open_path(Path(source), budget=budget)
    return store.layer(part.path, part.algorithm)


def finish(image: Planned, scans: Sequence[Scan | Unread], limits: Limits = DEFAULTS) -> Finished:
    """Return what a survey keeps of an image, whose layers were read.

    A layer that could not be read elsewhere, of another image, is read where this one lies.
    """
    scans = [
        scan(image, part, limits) if isinstance(one, Unread) and one.where != image.where else one
        for part, one in zip(image.parts, scans, strict=True)
    ]
    read_ones = [one for one in scans if not isinstance(one, Unread)]
    failed = image.error or next((one.why for one in scans if isinstance(one, Unread)), "")
    if failed or image.described is None:
        return failed_row(image.reference, failed)
    try:
        read = complete(image.described, read_ones)
        row = {"reference": str(image.reference), "ok": True, "error": ""}
        row |= read.summary.iloc[0].to_dict()
        layers = read.layers[["diff_id", "size_bytes", "compressed_bytes"]]
        return Finished(row, layers, read.packages[["manager", "name", "version"]])
    except CaveatError as error:
        return failed_row(image.reference, error)


def failed_row(reference: Reference, error: object) -> Finished:
    """Return the row of an image that could not be read."""
    told = escape_control_characters(" ".join(str(error).split()))
    return Finished({"reference": str(reference), "ok": False, "error": told})


class Tally:
    """Images as they are read, in whatever order, and what they share.

    Of an image only its row is kept; of layers and packages what is distinct. The frames of a
    million images side by side would need tens of gigabytes.
    """

    def __init__(self) -> None:
        self._rows: dict[int, dict] = {}
        self._layers: dict[str, _Layer] = {}
        self._packages: Counter[tuple[str, str, str]] = Counter()

    def add(self, number: int, found: Finished) -> None:
        """Count an image; its number is its place among the rows."""
        self._rows[number] = found.row
        if found.layers is not None:
            distinct = found.layers.drop_duplicates("diff_id")
            for place, (diff_id, *sizes) in enumerate(distinct.itertuples(index=False, name=None)):
                one = _Layer((number, place), *sizes)
                known = self._layers.get(diff_id)
                self._layers[diff_id] = one if known is None else known.seen_again(one)
        if found.packages is not None:
            distinct = found.packages.drop_duplicates()
            self._packages.update(distinct.itertuples(index=False, name=None))

    def survey(self) -> Survey:
        """Return the frames; the same whatever the order in which images came."""
        columns = [*HEAD, *frames.columns(tables.Summary)]
        rows = [self._rows[number] for number in sorted(self._rows)]
        images = pd.DataFrame(rows, columns=columns)
        for name, dtype in frames.empty(tables.Summary).dtypes.items():
            if dtype.kind == "i":
                images[name] = images[name].astype("Int64")
        layers = sorted(self._layers.items(), key=lambda item: (-item[1].images, item[1].first))
        packages = sorted(self._packages.items(), key=lambda item: (-item[1], item[0]))
        return Survey(
            images,
            pd.DataFrame([(diff_id, *one[1:]) for diff_id, one in layers], columns=LAYERS),
            pd.DataFrame([(*package, count) for package, count in packages], columns=PACKAGES),
        )


class _Layer(NamedTuple):
    """A distinct layer: where it came first, its sizes, and in how many images it is."""

    first: tuple[int, int]
    size_bytes: int
    compressed_bytes: int
    images: int = 1

    def seen_again(self, other: _Layer) -> _Layer:
        """Return it with another image; an image may have it packed smaller, or come first."""
        first, size = min((one.first, one.size_bytes) for one in (self, other))
        compressed = min(self.compressed_bytes, other.compressed_bytes)
        return _Layer(first, size, compressed, self.images + other.images)
