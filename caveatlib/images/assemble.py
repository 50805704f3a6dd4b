"""Assemble an image from its manifest, config and layers; every digest is checked.

In two steps: what its documents say of it, and its layers. So that many images can share
the reading of a layer that all of them have, see `caveatlib.images.surveying`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from caveatlib.errors import ImageError
from caveatlib.images import checks, documents, layers, stores
from caveatlib.images.checks import Check
from caveatlib.images.find import Found, blob, check_platform
from caveatlib.images.image import Image
from caveatlib.images.limits import Limits
from caveatlib.images.names import escape


@dataclass(frozen=True)
class Part:
    """A layer as the image's documents describe it.

    Attributes
    ----------
    path, algorithm : str
        Where it lies in its store, and what its digest is made with.
    digest : str
        What it must be; empty in an archive whose names are not digests.
    size : int
        Bytes as stored; -1 if nothing states them.
    media_type : str
        Escaped; empty where the layer's own first bytes tell.
    against : str
        What vouches for the digest, one of `checks.AGAINST`.
    """

    path: str
    algorithm: str
    digest: str
    size: int
    media_type: str
    against: str


@dataclass(frozen=True)
class Described:
    """An image by its documents, whose digests agree; its layers are still to be read."""

    found: Found
    digest: str
    settings: documents.Config
    parts: tuple[Part, ...]
    checked: tuple[Check, ...]


def load(store: stores.Store, found: Found, limits: Limits) -> Image:
    """Read an image that was found; an ImageError names the first check that fails."""
    described = describe(store, found, limits)
    return complete(described, (store.layer(p.path, p.algorithm) for p in described.parts))


def describe(store: stores.Store, found: Found, limits: Limits) -> Described:
    """Read the documents of an image that was found; an ImageError as from `load`."""
    if found.item is not None:
        return _describe_item(store, found, limits)
    what = "The manifest"
    manifest = documents.parse(blob(store, found.descriptor, limits, what), what)
    config = documents.descriptor(
        documents.get(manifest, "config", dict, what), f"config of {what}"
    )
    listed = documents.descriptors(manifest, "layers", what)
    _check_count(len(listed), limits)
    settings = documents.config(blob(store, config, limits, "The config"), len(listed))
    check_platform(found, settings.platform)
    parts = tuple(
        Part(
            part.path,
            part.digest.partition(":")[0],
            part.digest,
            part.size,
            escape(part.media_type),
            checks.MANIFEST,
        )
        for part in listed
    )
    checked = (*found.above, Check("config", config.digest, checks.MANIFEST))
    return Described(found, found.descriptor.digest, settings, parts, checked)


def _describe_item(store: stores.Store, found: Found, limits: Limits) -> Described:
    """Describe an image of a classic archive: an item of its ``manifest.json``."""
    what = "manifest.json"
    path = documents.get(found.item, "Config", str, what)
    data = store.document(path, limits.document_bytes)
    # "<digest>.json" or "blobs/sha256/<digest>": the name is the image's id.
    stem = path.rpartition("/")[2].removesuffix(".json")
    named = len(stem) == 64 and set(stem) <= set("0123456789abcdef")
    config = layers.digest_of([data], "sha256")
    if named:
        layers.check(f"sha256:{stem}", config, "The config")
    paths = documents.strings(documents.get(found.item, "Layers", list, what), what)
    _check_count(len(paths), limits)
    settings = documents.config(data, len(paths))
    check_platform(found, settings.platform)
    parts = []
    for path in paths:
        digest = f"sha256:{path[13:]}" if path.startswith("blobs/sha256/") else ""
        parts.append(
            Part(path, "sha256", digest, -1, "", checks.NAME if digest else checks.NOTHING)
        )
    checked = (*found.above, Check("config", config, checks.NAME if named else checks.NOTHING))
    return Described(found, "", settings, tuple(parts), checked)


def complete(described: Described, scans: Iterable[layers.Scan]) -> Image:
    """Return an image of its layers; they are taken one by one, each checked before the next.

    Raises
    ------
    ImageError
        If a layer is not the one that the documents describe.
    """
    settings, found = described.settings, described.found
    checked, taken = list(described.checked), []
    for number, (part, scan) in enumerate(zip(described.parts, scans, strict=True)):
        if part.digest:
            layers.check(part.digest, scan.digest, f"Layer {number}")
        if part.size >= 0 and scan.compressed_bytes != part.size:
            raise ImageError(
                f"Layer {number} has {scan.compressed_bytes} bytes. Must be {part.size}."
            )
        checked += _of_layer(number, scan, part.against, settings)
        taken.append(scan)
    _check_diff_ids(taken, settings)
    plain = {"plain": "", "gzip": ".gzip", "zstd": ".zstd"}
    return Image(
        name=found.name or described.digest,
        digest=described.digest,
        platform=settings.platform or found.platform,
        scans=tuple(taken),
        created_by=tuple(settings.created_by),
        media_types=tuple(
            part.media_type or documents.DOCKER_LAYER + plain[scan.codec]
            for part, scan in zip(described.parts, taken, strict=True)
        ),
        verified=tuple(bool(part.digest or settings.diff_ids) for part in described.parts),
        checked=tuple(checked),
    )


def _of_layer(
    number: int, scan: layers.Scan, against: str, settings: documents.Config
) -> list[Check]:
    """Return what is checked of a layer: as it is stored, and unpacked."""
    unpacked = checks.CONFIG if settings.diff_ids else checks.NOTHING
    return [
        Check(f"layer {number}", scan.digest, against),
        Check(f"layer {number}, unpacked", scan.diff_id, unpacked),
    ]


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.layers:
        raise ImageError(f"The image has {count} layers. Must be at most {limits.layers}.")


def _check_diff_ids(scans: list[layers.Scan], settings: documents.Config) -> None:
    for number, (scan, expected) in enumerate(zip(scans, settings.diff_ids, strict=False)):
        layers.check(expected, scan.diff_id, f"Layer {number}, unpacked,")
