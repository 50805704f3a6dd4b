"""Read images: from a path, a registry or a stream."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pandas as pd

from caveatlib.errors import UsageError
from caveatlib.images import codecs, merge, refills, stores, tar
from caveatlib.images.assemble import load
from caveatlib.images.find import Found, find, find_root, pick
from caveatlib.images.image import Image, files_frame
from caveatlib.images.limits import DEFAULTS, Budget, Limits
from caveatlib.images.names import brief
from caveatlib.images.registry import Registry

REGISTRY = "registry://"


def read(
    source: str | os.PathLike,
    *,
    name: str | None = None,
    platform: str | None = None,
    olives: bool = False,
    limits: Limits = DEFAULTS,
) -> Image:
    """Read one image.

    Parameters
    ----------
    source : path or str
        A ``docker save`` or OCI archive (plain, gzip or zstd), an OCI layout
        folder, or ``registry://host[:port]/name[:tag]``.
    name : str, optional
        Which image, if there are several; also as ``PATH#NAME``.
    platform : str, optional
        ``os/architecture[/variant]``. Default: this machine's, or the only one
        there is.
    olives : bool, optional
        Hash every file and compare it with the package databases; takes about
        three times as long.
    limits : Limits, optional
        Bounds on what is accepted.

    Raises
    ------
    ImageError
        If the image is malformed, cut, tampered with or over a limit.
    UsageError
        If there is no such source, name or platform.
    Unavailable, DeadlineExceeded
        If a registry does not answer, or not in time.
    """
    source, named = _split(source)
    name = name if name is not None else named
    store, found = open_source(source, olives=olives, limits=limits)
    return load(store, pick(found, name, platform, source), limits)


def read_all(
    source: str | os.PathLike,
    *,
    platform: str | None = None,
    olives: bool = False,
    limits: Limits = DEFAULTS,
) -> list[Image]:
    """Read every image of a source, each for one platform; see `read`."""
    store, found = open_source(source, olives=olives, limits=limits)
    images: list[Image] = []
    for name in dict.fromkeys(image.name for image in found):
        # Limits are of one image, so each has a budget of its own; a packed archive was read whole.
        if images and not isinstance(store, stores.Stream):
            store, found = open_source(source, olives=olives, limits=limits)
        images.append(load(store, pick(found, name, platform, source), limits))
    return images


def read_stream(
    stream,
    *,
    name: str | None = None,
    platform: str | None = None,
    olives: bool = False,
    limits: Limits = DEFAULTS,
) -> Image:
    """Read one image from a stream of an archive, in one pass without seeking.

    Parameters
    ----------
    stream : binary file object or iterable of bytes
        As ``docker save`` writes it, or an OCI archive; also compressed. All its
        layers are read, because the manifest may come last.
    name, platform, olives, limits
        As in `read`.
    """
    chunks = iter(stores.read_chunks(stream) if hasattr(stream, "read") else stream)
    budget = Budget(limits)
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 8:
            break
    chunks = itertools.chain([head], chunks)
    codec = codecs.sniff(head)
    if codec != "plain":
        chunks = stores.unpacked(chunks, codec, budget)
    store = stores.Stream(chunks, budget=budget, hash_files=olives)
    return load(store, pick(find(store, limits), name, platform, "the stream"), limits)


def list_tar(path: str | os.PathLike, *, limits: Limits = DEFAULTS) -> pd.DataFrame:
    """List a plain tar archive, such as ``docker export`` writes: `tables.Files`.

    Contents are skipped, so that only the headers are checked. All entries are
    in layer 0, and whiteouts are files like any other.

    Raises
    ------
    ImageError
        If the archive is malformed, cut or over a limit.
    """
    budget = Budget(limits)
    read_at, _, size = stores.open_readable(Path(path))
    budget.stored = size
    walk = tar.Walk(refills.FromFile(read_at, size), budget=budget).run()
    if not walk.complete:
        raise refills.cut()
    entries = walk.entries()
    return files_frame([entries], [merge.within(entries.paths, 0)], whiteouts=True)


def _split(source: str | os.PathLike) -> tuple[str | os.PathLike, str | None]:
    text = os.fsdecode(source)
    if text.startswith(REGISTRY) or "#" not in text or os.path.exists(source):
        return source, None
    path, _, name = text.rpartition("#")
    return path, name


def open_source(
    source: str | os.PathLike, *, olives: bool = False, limits: Limits = DEFAULTS
) -> tuple[stores.Store, list[Found]]:
    """Return the store of a source, and the images in it; see `read`."""
    budget = Budget(limits)
    text = os.fsdecode(source)
    if text.startswith(REGISTRY):
        store = Registry(text.removeprefix(REGISTRY), budget=budget, hash_files=olives)
        return store, find_root(store, text.removeprefix(REGISTRY), limits)
    if "://" in text and not os.path.exists(source):
        raise UsageError(
            f"{brief(text)!r} is not a source. Must be a path or {REGISTRY}host/name:tag."
        )
    store = stores.open_path(Path(source), budget=budget, hash_files=olives)
    return store, find(store, limits)
