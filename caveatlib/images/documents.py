"""Manifests, indexes and configs: untrusted JSON, checked against the specification.

``null`` in place of a list or object counts as empty, because Docker 25 writes it;
anything else of the wrong type is an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from caveatlib.errors import ImageError
from caveatlib.images.names import escape

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_DIGEST = re.compile(r"(sha256):[0-9a-f]{64}|(sha512):[0-9a-f]{128}")
_KINDS = {dict: "an object", list: "a list", str: "a string", int: "a whole number"}
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob: media type, digest, size in bytes, platform, annotations."""

    media_type: str
    digest: str
    size: int
    platform: str = ""
    annotations: dict = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Path of the blob in a layout."""
        return "blobs/" + self.digest.replace(":", "/")

    @property
    def attestation(self) -> bool:
        """Whether the blob describes an image instead of being one."""
        return "vnd.docker.reference.type" in self.annotations or self.platform == "unknown/unknown"


def parse(data: bytes, what: str):
    """Return the JSON value; ImageError if it is malformed or ambiguous.

    Refused: text that is not UTF-8, duplicate keys, NaN and infinities, numbers
    of thousands of digits, nesting beyond the interpreter's stack.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError:
        raise ImageError(f"{what} is nested too deeply.") from None
    except ImageError as problem:
        raise ImageError(f"{what} {problem}") from None
    except UnicodeDecodeError:
        raise ImageError(f"{what} is not UTF-8 text.") from None
    except ValueError as problem:
        raise ImageError(f"{what} is not valid JSON: {escape(str(problem))}.") from None


def _unique(pairs: list[tuple]) -> dict:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ImageError(f"has the key {escape(twice)[:60]!r} twice.")
    return out


def _no_constant(name: str):
    raise ImageError(f"contains the number {name}.")


def get(value, key: str, kind: type, what: str, default=_MISSING):
    """Return a member of an object, of the given type.

    If it is absent or ``null``, the default: for a list or an object an empty
    one, unless another is given.
    """
    if not isinstance(value, dict):
        raise ImageError(f"{what} is {_named(value)}. Must be an object.")
    found = value.get(key)
    if found is None:
        if default is not _MISSING:
            return default
        if kind in (list, dict):
            return kind()
        raise ImageError(f"{what} lacks {key!r}.")
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise ImageError(f"{key!r} of {what} is {_named(found)}. Must be {_KINDS[kind]}.")
    return found


def _named(value) -> str:
    text = escape(json.dumps(value, default=str)) if not isinstance(value, (list, dict)) else ""
    return text[:60] or _KINDS[type(value)]


def digest(text: str, what: str) -> str:
    """Return the digest if its algorithm is supported; ImageError otherwise."""
    if not _DIGEST.fullmatch(text):
        raise ImageError(
            f"Digest {escape(text[:80])!r} of {what} is not supported. "
            "Must be sha256:<hex> or sha512:<hex>."
        )
    return text


def strings(value: list, what: str) -> list[str]:
    """Return the list if it holds strings only; ImageError otherwise."""
    for item in value:
        if not isinstance(item, str):
            raise ImageError(f"{what} holds {_named(item)}. Must be strings.")
    return value


def platform_of(value: dict, what: str) -> str:
    """Return ``os/architecture[/variant]`` of a manifest or a config."""
    parts = [get(value, key, str, what, "") for key in ("os", "architecture", "variant")]
    if not (parts[0] or parts[1]):
        return ""
    return escape("/".join(parts[:2] + ([parts[2]] if parts[2] else [])))


def descriptor(value, what: str) -> Descriptor:
    """Return a descriptor of a manifest or index."""
    size = get(value, "size", int, what)
    if not 0 <= size < 1 << 63:
        raise ImageError(f"'size' of {what} is {str(size)[:30]}. Must be a number of bytes.")
    platform = get(value, "platform", dict, what)
    return Descriptor(
        get(value, "mediaType", str, what, ""),
        digest(get(value, "digest", str, what), what),
        size,
        platform_of(platform, what),
        get(value, "annotations", dict, what),
    )


def descriptors(value, key: str, what: str) -> list[Descriptor]:
    """Return the list of descriptors under a key."""
    items = get(value, key, list, what)
    return [descriptor(item, f"{key}[{n}] of {what}") for n, item in enumerate(items)]


@dataclass(frozen=True, slots=True)
class Config:
    """The platform in an image's config, and per layer diff_id and command."""

    platform: str
    diff_ids: list[str]
    created_by: list[str]


def config(data: bytes, layers: int) -> Config:
    """Return the config of an image with this number of layers.

    ``diff_ids`` is empty if the config has none; commands are empty if the
    history does not have one per layer.
    """
    what = "The image's config"
    value = parse(data, what)
    rootfs = get(value, "rootfs", dict, what)
    diff_ids = strings(get(rootfs, "diff_ids", list, what), f"'diff_ids' of {what}")
    for item in diff_ids:
        digest(item, what)
    if diff_ids and len(diff_ids) != layers:
        raise ImageError(f"{what} has {len(diff_ids)} diff_ids for {layers} layers.")
    steps = [
        escape(get(step, "created_by", str, f"history of {what}", ""))
        for step in get(value, "history", list, what)
        if not _flag(step, "empty_layer", f"history of {what}")
    ]
    created_by = steps if len(steps) == layers else [""] * layers
    return Config(platform_of(value, what), diff_ids, created_by)


def _flag(value, key: str, what: str) -> bool:
    if not isinstance(value, dict):
        raise ImageError(f"{what} holds {_named(value)}. Must be objects.")
    return value.get(key) is True
