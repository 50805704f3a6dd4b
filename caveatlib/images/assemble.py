"""Assemble an image from its manifest, config and layers; every digest is checked."""

from __future__ import annotations

from caveatlib.errors import ImageError
from caveatlib.images import checks, documents, layers, stores
from caveatlib.images.checks import Check
from caveatlib.images.find import Found, blob
from caveatlib.images.image import Image
from caveatlib.images.limits import Limits
from caveatlib.images.names import escape


def load(store: stores.Store, found: Found, limits: Limits) -> Image:
    """Read an image that was found; an ImageError names the first check that fails."""
    if found.item is not None:
        return _load_item(store, found, limits)
    what = "The manifest"
    manifest = documents.parse(blob(store, found.descriptor, limits, what), what)
    config = documents.descriptor(
        documents.get(manifest, "config", dict, what), f"config of {what}"
    )
    parts = documents.descriptors(manifest, "layers", what)
    _check_count(len(parts), limits)
    settings = documents.config(blob(store, config, limits, "The config"), len(parts))
    scans, verified = [], []
    checked = [*found.above, Check("config", config.digest, checks.MANIFEST)]
    for number, part in enumerate(parts):
        scan = store.layer(part.path, part.digest.partition(":")[0])
        layers.check(part.digest, scan.digest, f"Layer {number}")
        if scan.compressed_bytes != part.size:
            raise ImageError(
                f"Layer {number} has {scan.compressed_bytes} bytes. Must be {part.size}."
            )
        scans.append(scan)
        verified.append(True)
        checked += _of_layer(number, scan, checks.MANIFEST, settings)
    _check_diff_ids(scans, settings)
    media_types = tuple(escape(part.media_type) for part in parts)
    digest = found.descriptor.digest
    return _image(found, digest, settings, scans, verified, media_types, checked)


def _load_item(store: stores.Store, found: Found, limits: Limits) -> Image:
    """Load an image of a classic archive: an item of its ``manifest.json``."""
    what = "manifest.json"
    path = documents.get(found.item, "Config", str, what)
    data = store.document(path, limits.document_bytes)
    # "<digest>.json" or "blobs/sha256/<digest>": the name is the image's id.
    stem = path.rpartition("/")[2].removesuffix(".json")
    named = len(stem) == 64 and set(stem) <= set("0123456789abcdef")
    config = layers.digest_of([data], "sha256")
    if named:
        layers.check(f"sha256:{stem}", config, "The config")
    checked = [*found.above, Check("config", config, checks.NAME if named else checks.NOTHING)]
    paths = documents.strings(documents.get(found.item, "Layers", list, what), what)
    _check_count(len(paths), limits)
    settings = documents.config(data, len(paths))
    scans = []
    for number, path in enumerate(paths):
        scan = store.layer(path, "sha256")
        if path.startswith("blobs/sha256/"):
            layers.check(f"sha256:{path[13:]}", scan.digest, f"Layer {number}")
        against = checks.NAME if path.startswith("blobs/sha256/") else checks.NOTHING
        checked += _of_layer(number, scan, against, settings)
        scans.append(scan)
    _check_diff_ids(scans, settings)
    verified = [bool(settings.diff_ids) or path.startswith("blobs/sha256/") for path in paths]
    suffix = {"plain": "", "gzip": ".gzip", "zstd": ".zstd"}
    media_types = tuple(documents.DOCKER_LAYER + suffix[scan.codec] for scan in scans)
    return _image(found, "", settings, scans, verified, media_types, checked)


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


def _image(found, digest, settings, scans, verified, media_types, checked) -> Image:
    return Image(
        name=found.name or digest,
        digest=digest,
        platform=settings.platform or found.platform,
        scans=tuple(scans),
        created_by=tuple(settings.created_by),
        media_types=media_types,
        verified=tuple(verified),
        checked=tuple(checked),
    )
