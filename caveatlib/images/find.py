"""Find the images in a store, and pick one by name and platform."""

from __future__ import annotations

import os
import platform as machine_platform
from dataclasses import dataclass, replace

from caveatlib.errors import ImageError, UsageError
from caveatlib.images import checks, documents, layers, stores
from caveatlib.images.checks import Check
from caveatlib.images.documents import Descriptor
from caveatlib.images.limits import Budget, Limits
from caveatlib.images.names import brief, escape
from caveatlib.images.registry import Registry
from caveatlib.support.text import shorten

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
    """An image in a store: a manifest by its descriptor, or an item of ``manifest.json``.

    `above` is what leads to it, the topmost first; `asked` is the platform that was asked for
    where no index says which one it is: its config will.
    """

    name: str
    platform: str
    descriptor: Descriptor | None = None
    item: dict | None = None
    above: tuple[Check, ...] = ()
    asked: str = ""


def find(store: stores.Store, limits: Limits) -> list[Found]:
    """Return the images of an archive or layout, one per name and platform."""
    found: list[Found] = []
    has_index = store.has("index.json")
    if has_index:
        data = store.document("index.json", limits.document_bytes)
        above = (Check("index.json", "", checks.NOTHING),)
        found = _in_index(store, data, "index.json", limits, above=above)
    # Docker 25 writes an index whose manifests are null next to a manifest.json.
    if not found and store.has("manifest.json"):
        return _in_manifest_json(store.document("manifest.json", limits.manifest_json_bytes))
    if not found:
        raise ImageError(
            "index.json lists no image."
            if has_index
            else "No container image: neither index.json nor manifest.json is there."
        )
    return found


def find_root(store: Registry, reference: str, limits: Limits) -> list[Found]:
    """Return the images that a reference of a registry names."""
    data, media_type = store.root()
    value = documents.parse(data, "The manifest")
    media_type = documents.get(value, "mediaType", str, "The manifest", media_type)
    digest = layers.digest_of([data], "sha256")
    root = Descriptor(media_type, digest, len(data))
    is_index = media_type in documents.INDEX_TYPES
    against = checks.REFERENCE if ":" in store.reference else checks.NOTHING
    above = (Check("index" if is_index else "manifest", digest, against),)
    if is_index:
        found = _in_index(store, data, "The index", limits, seen=(digest,), above=above)
        return [replace(image, name=escape(reference)) for image in found]
    return [Found(escape(reference), "", root, above=above)]


def _in_index(
    store: stores.Store,
    data: bytes,
    what: str,
    limits: Limits,
    *,
    name: str = "",
    seen: tuple[str, ...] = (),
    above: tuple[Check, ...] = (),
    budget: Budget | None = None,
) -> list[Found]:
    if len(seen) > limits.index_depth:
        raise ImageError(f"{len(seen)} nested indexes. Must be at most {limits.index_depth}.")
    found = []
    # Of all indexes of the source: one that lists another twenty thousand times is small.
    budget = budget or Budget(limits)
    budget.spend_index(len(data))
    items = documents.descriptors(documents.parse(data, what), "manifests", what)
    budget.spend_listed(len(items))
    for item in items:
        if item.attestation:
            continue
        called = name or next((item.annotations[k] for k in _NAMES if k in item.annotations), "")
        if not isinstance(called, str):
            raise ImageError(f"A name in {what} is not a string.")
        if item.media_type not in documents.INDEX_TYPES:
            # Without name and platform, nothing tells that two are the same image.
            called = called or ("" if item.platform else item.digest)
            checked = (*above, Check("manifest", item.digest, checks.INDEX))
            found.append(Found(escape(called), item.platform, item, above=checked))
            continue
        if item.digest in seen:
            raise ImageError(f"Index {item.digest} contains itself.")
        if not store.has(item.path):
            raise ImageError(f"Index {item.digest} is missing from the image.")
        nested = blob(store, item, limits, "Index")
        found += _in_index(
            store,
            nested,
            f"Index {item.digest}",
            limits,
            name=called or item.digest,
            seen=(*seen, item.digest),
            above=(*above, Check("index", item.digest, checks.INDEX)),
            budget=budget,
        )
    return found


def _in_manifest_json(data: bytes) -> list[Found]:
    what = "manifest.json"
    value = documents.parse(data, what)
    if value is None:
        value = []
    if not isinstance(value, list):
        raise ImageError(f"{what} is not a list of images.")
    found = []
    for number, item in enumerate(value):
        where = f"item {number} of {what}"
        tags = documents.strings(documents.get(item, "RepoTags", list, where), where)
        config = documents.get(item, "Config", str, where)
        above = (Check(what, "", checks.NOTHING),)
        found.append(Found(escape(tags[0] if tags else config), "", item=item, above=above))
    if not found:
        raise ImageError(f"{what} lists no image.")
    return found


def pick(found: list[Found], name: str | None, platform: str | None, source) -> Found:
    """Return the image of that name and platform; a UsageError lists what there is."""
    images = list(dict.fromkeys(image.name for image in found))
    shown = brief(os.fsdecode(source))
    listed = ", ".join(map(shorten, images[:20]))
    if name is None and len(images) > 1:
        raise UsageError(
            f"{shown!r} holds {len(images)} images. Name one, e.g. "
            f"'{shown}#{shorten(images[0])}', of: {listed}."
        )
    chosen = [image for image in found if name is None or image.name == name]
    if not chosen:
        raise UsageError(f"{shown!r} holds no image {brief(name)!r}. Must be one of: {listed}.")
    wanted = platform or default_platform()
    fitting = [image for image in chosen if _fits(image.platform, wanted)]
    if fitting:
        return fitting[0]
    if len(chosen) == 1 and (platform is None or not chosen[0].platform):
        return replace(chosen[0], platform=platform or "", asked=platform or "")
    there = ", ".join(sorted({shorten(image.platform) or "unknown" for image in chosen})[:20])
    raise UsageError(f"{shown!r} is not available for {brief(wanted)!r}. Must be one of: {there}.")


def check_platform(found: Found, stated: str) -> None:
    """Raise UsageError if an image's config states another platform than was asked for."""
    if found.asked and stated and not _fits(stated, found.asked):
        raise UsageError(
            f"{shorten(found.name)!r} is not available for {brief(found.asked)!r}. "
            f"Must be one of: {shorten(stated)}."
        )


def default_platform() -> str:
    """Return this machine's platform in the terms of images, e.g. ``linux/amd64``."""
    machine = machine_platform.machine().lower()
    return f"linux/{_MACHINES.get(machine, machine)}"


def _fits(offered: str, wanted: str) -> bool:
    # As in containerd: arm64 is always v8, and without a variant arm is v7, amd64 v1.
    default = {"linux/arm64": "/v8", "linux/amd64": "/v1", "linux/arm": "/v7"}
    return offered + default.get(offered, "") == wanted + default.get(wanted, "")


def blob(store: stores.Store, item: Descriptor, limits: Limits, what: str) -> bytes:
    """Return a document by its descriptor; its size and digest are checked."""
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
