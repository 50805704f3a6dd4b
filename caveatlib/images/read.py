"""Find the images in a source, pick one, and put it together from its parts."""

from __future__ import annotations

import itertools
import os
import platform as machine_platform
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from caveatlib.errors import ImageError, UsageError
from caveatlib.images import codecs, documents, layers, merge, stores, tar
from caveatlib.images.documents import Descriptor
from caveatlib.images.image import Image, files_frame
from caveatlib.images.limits import DEFAULTS, Budget, Limits
from caveatlib.images.names import escape
from caveatlib.images.registry import Registry

REGISTRY = "registry://"
_MACHINES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm/v7",
    "armv6l": "arm/v6",
    "i386": "386",
    "i686": "386",
}
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


@dataclass(frozen=True)
class Found:
    """An image in a store: a manifest by its descriptor, or an item of ``manifest.json``."""

    name: str
    platform: str
    descriptor: Descriptor | None = None
    item: dict | None = None


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
        Which of several images; also as ``PATH#NAME``.
    platform : str, optional
        ``os/architecture[/variant]``. Left out: this machine's, or the only one
        there is.
    olives : bool, optional
        Hash every file and compare it with what the package databases say;
        takes about three times as long.
    limits : Limits, optional
        What to accept.

    Raises
    ------
    ImageError
        If the image is malformed, cut, tampered with or over a limit.
    UsageError
        If there is no such source, name or platform.
    Unavailable, DeadlineExceeded
        If a registry does not answer.
    """
    source, named = _split(source)
    name = name if name is not None else named
    store, found = _open(source, olives, limits)
    return _load(store, _pick(found, name, platform, source), limits)


def read_all(
    source: str | os.PathLike,
    *,
    platform: str | None = None,
    olives: bool = False,
    limits: Limits = DEFAULTS,
) -> list[Image]:
    """Read every image of a source, each for one platform; see `read`."""
    store, found = _open(source, olives, limits)
    wanted = dict.fromkeys(image.name for image in found)
    return [_load(store, _pick(found, name, platform, source), limits) for name in wanted]


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
        As ``docker save`` writes it, or an OCI archive; also packed. All its
        layers are looked at, since what is wanted is known at its end only.
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
    return _load(store, _pick(_find(store, limits), name, platform, "the stream"), limits)


def list_tar(path: str | os.PathLike, *, limits: Limits = DEFAULTS) -> pd.DataFrame:
    """List a plain tar archive, such as ``docker export`` writes: `tables.Files`.

    Contents are skipped, so only the headers are checked. All entries are of
    layer 0, and whiteouts are files like any other.

    Raises
    ------
    ImageError
        If the archive is malformed, cut or over a limit.
    """
    budget = Budget(limits)
    read_at, _, size = stores.open_readable(Path(path))
    budget.stored = size
    walk = tar.Walk(tar.FromFile(read_at, size), budget=budget).run()
    if not walk.complete:
        raise tar.cut()
    entries = walk.entries()
    return files_frame([entries], [merge.within(entries.paths, 0)], whiteouts=True)


def _split(source: str | os.PathLike) -> tuple[str | os.PathLike, str | None]:
    text = os.fsdecode(source)
    if text.startswith(REGISTRY) or "#" not in text or os.path.exists(source):
        return source, None
    path, _, name = text.rpartition("#")
    return path, name


def _open(source, olives: bool, limits: Limits) -> tuple[stores.Store, list[Found]]:
    budget = Budget(limits)
    text = os.fsdecode(source)
    if text.startswith(REGISTRY):
        store = Registry(text.removeprefix(REGISTRY), budget=budget, hash_files=olives)
        return store, _find_root(store, text.removeprefix(REGISTRY), limits)
    if "://" in text and not os.path.exists(source):
        raise UsageError(
            f"{escape(text)!r} is no source. Must be a path or {REGISTRY}host/name:tag."
        )
    store = stores.open_path(Path(source), budget=budget, hash_files=olives)
    return store, _find(store, limits)


def _find(store: stores.Store, limits: Limits) -> list[Found]:
    """Return the images of an archive or layout, one per name and platform."""
    found: list[Found] = []
    has_index = store.has("index.json")
    if has_index:
        data = store.document("index.json", limits.document_bytes)
        found = _in_index(store, data, "index.json", limits)
    # Docker 25 writes an index whose manifests are null next to a manifest.json.
    if not found and store.has("manifest.json"):
        return _in_manifest_json(store.document("manifest.json", limits.manifest_json_bytes))
    if not found:
        raise ImageError(
            "index.json names no image. Must name one."
            if has_index
            else "Neither index.json nor manifest.json is there. Must be a container image."
        )
    return found


def _find_root(store: Registry, reference: str, limits: Limits) -> list[Found]:
    data, media_type = store.root()
    value = documents.parse(data, "The manifest")
    media_type = documents.get(value, "mediaType", str, "The manifest", media_type)
    digest = layers.digest_of([data], "sha256")
    root = Descriptor(media_type, digest, len(data))
    if media_type in documents.INDEX_TYPES:
        found = _in_index(store, data, "The index", limits, seen=(digest,))
        return [replace(image, name=escape(reference)) for image in found]
    return [Found(escape(reference), "", root)]


def _in_index(
    store: stores.Store,
    data: bytes,
    what: str,
    limits: Limits,
    *,
    name: str = "",
    seen: tuple[str, ...] = (),
) -> list[Found]:
    if len(seen) > limits.index_depth:
        raise ImageError(f"{len(seen)} indexes within each other. Must be {limits.index_depth}.")
    found = []
    for item in documents.descriptors(documents.parse(data, what), "manifests", what):
        if item.attestation:
            continue
        called = name or next((item.annotations[k] for k in _NAMES if k in item.annotations), "")
        if not isinstance(called, str):
            raise ImageError(f"A name in {what} is no string.")
        if item.media_type not in documents.INDEX_TYPES:
            # Without a name and a platform nothing says that two are the same image.
            called = called or ("" if item.platform else item.digest)
            found.append(Found(escape(called), item.platform, item))
            continue
        if item.digest in seen:
            raise ImageError(f"Index {item.digest} contains itself.")
        if not store.has(item.path):
            raise ImageError(f"Index {item.digest} is not in the image. Must be complete.")
        nested = _blob(store, item, limits, "Index")
        found += _in_index(
            store,
            nested,
            f"Index {item.digest}",
            limits,
            name=called or item.digest,
            seen=(*seen, item.digest),
        )
    return found


def _in_manifest_json(data: bytes) -> list[Found]:
    what = "manifest.json"
    value = documents.parse(data, what)
    if value is None:
        value = []
    if not isinstance(value, list):
        raise ImageError(f"{what} is no list. Must be one of images.")
    found = []
    for number, item in enumerate(value):
        where = f"item {number} of {what}"
        tags = documents.strings(documents.get(item, "RepoTags", list, where), where)
        config = documents.get(item, "Config", str, where)
        found.append(Found(escape(tags[0] if tags else config), "", item=item))
    if not found:
        raise ImageError(f"{what} names no image. Must name one.")
    return found


def _pick(found: list[Found], name: str | None, platform: str | None, source) -> Found:
    """Return the one image of that name and platform; UsageError says what there is."""
    images = list(dict.fromkeys(image.name for image in found))
    shown = escape(os.fsdecode(source))
    if name is None and len(images) > 1:
        raise UsageError(
            f"{shown!r} holds {len(images)} images. Must name one, as in "
            f"'{shown}#{images[0]}', of: {', '.join(images[:20])}."
        )
    chosen = [image for image in found if name is None or image.name == name]
    if not chosen:
        raise UsageError(
            f"{shown!r} holds no image {escape(name)!r}. Must be one of: {', '.join(images[:20])}."
        )
    wanted = platform or default_platform()
    fitting = [image for image in chosen if _fits(image.platform, wanted)]
    if fitting:
        return fitting[0]
    if len(chosen) == 1 and (platform is None or not chosen[0].platform):
        return replace(chosen[0], platform="" if platform is None else platform)
    there = ", ".join(sorted({image.platform or "unknown" for image in chosen}))
    raise UsageError(f"{shown!r} is not there for {escape(wanted)!r}. Must be one of: {there}.")


def default_platform() -> str:
    """Return this machine's platform as images call it, such as ``linux/amd64``."""
    machine = machine_platform.machine().lower()
    return f"linux/{_MACHINES.get(machine, machine)}"


def _fits(offered: str, wanted: str) -> bool:
    # arm64 is always v8, and amd64 without a variant is v1.
    default = {"linux/arm64": "/v8", "linux/amd64": "/v1"}
    return offered + default.get(offered, "") == wanted + default.get(wanted, "")


def _blob(store: stores.Store, item: Descriptor, limits: Limits, what: str) -> bytes:
    """Return a document by its descriptor, its size and digest checked."""
    if item.size > limits.document_bytes:
        raise ImageError(
            f"{what} {item.digest} has {item.size} bytes. Must be at most {limits.document_bytes}."
        )
    data = store.document(item.path, limits.document_bytes)
    found = layers.digest_of([data], item.digest.partition(":")[0])
    layers.check(item.digest, found, what)
    if len(data) != item.size:
        raise ImageError(f"{what} {item.digest} has {len(data)} bytes. Must be {item.size}.")
    return data


def _load(store: stores.Store, found: Found, limits: Limits) -> Image:
    if found.item is not None:
        return _load_item(store, found, limits)
    what = "The manifest"
    manifest = documents.parse(_blob(store, found.descriptor, limits, what), what)
    config = documents.descriptor(
        documents.get(manifest, "config", dict, what), f"config of {what}"
    )
    parts = documents.descriptors(manifest, "layers", what)
    _check_count(len(parts), limits)
    settings = documents.config(_blob(store, config, limits, "The config"), len(parts))
    scans, verified = [], []
    for number, part in enumerate(parts):
        scan = store.layer(part.path, part.digest.partition(":")[0])
        layers.check(part.digest, scan.digest, f"Layer {number}")
        if scan.compressed_bytes != part.size:
            raise ImageError(
                f"Layer {number} has {scan.compressed_bytes} bytes. Must be {part.size}."
            )
        scans.append(scan)
        verified.append(True)
    _check_diff_ids(scans, settings)
    media_types = tuple(escape(part.media_type) for part in parts)
    return _image(found, found.descriptor.digest, settings, scans, verified, media_types)


def _load_item(store: stores.Store, found: Found, limits: Limits) -> Image:
    """Load an image of a classic archive: an item of its ``manifest.json``."""
    what = "manifest.json"
    path = documents.get(found.item, "Config", str, what)
    data = store.document(path, limits.document_bytes)
    # "<digest>.json" or "blobs/sha256/<digest>": the name is the image's id.
    stem = path.rpartition("/")[2].removesuffix(".json")
    if len(stem) == 64 and set(stem) <= set("0123456789abcdef"):
        layers.check(f"sha256:{stem}", layers.digest_of([data], "sha256"), "The config")
    paths = documents.strings(documents.get(found.item, "Layers", list, what), what)
    _check_count(len(paths), limits)
    settings = documents.config(data, len(paths))
    scans = []
    for number, path in enumerate(paths):
        scan = store.layer(path, "sha256")
        if path.startswith("blobs/sha256/"):
            layers.check(f"sha256:{path[13:]}", scan.digest, f"Layer {number}")
        scans.append(scan)
    _check_diff_ids(scans, settings)
    verified = [bool(settings.diff_ids) or path.startswith("blobs/sha256/") for path in paths]
    suffix = {"plain": "", "gzip": ".gzip", "zstd": ".zstd"}
    media_types = tuple(documents.DOCKER_LAYER + suffix[scan.codec] for scan in scans)
    return _image(found, "", settings, scans, verified, media_types)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.layers:
        raise ImageError(f"The image has {count} layers. Must be at most {limits.layers}.")


def _check_diff_ids(scans: list[layers.Scan], settings: documents.Config) -> None:
    for number, (scan, expected) in enumerate(zip(scans, settings.diff_ids, strict=False)):
        layers.check(expected, scan.diff_id, f"Layer {number}, unpacked,")


def _image(found, digest, settings, scans, verified, media_types) -> Image:
    return Image(
        name=found.name or digest,
        digest=digest,
        platform=settings.platform or found.platform,
        scans=tuple(scans),
        created_by=tuple(settings.created_by),
        media_types=media_types,
        verified=tuple(verified),
    )
