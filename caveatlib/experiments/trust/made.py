"""The images that are tampered with: small, the same on every machine, and in three forms.

Both layers hold one file of the same path and size and are packed without compression, so each
stored blob has the same length: nothing but a digest tells one from another.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from caveatlib.images.find import default_platform

PAYLOAD = "app/payload"
PAYLOAD_BYTES = 64 * 1024
NAME = "caveat/app"
"""Repository of every image."""
CURRENT, OLDER, UNSIGNED, FOREIGN, MANY = "current", "older", "unsigned", "foreign", "many"
EVIL = "evil"
"""Not stored as an image: what a tampered part is taken from."""
_OCI = "application/vnd.oci.image"
MANIFEST, INDEX = f"{_OCI}.manifest.v1+json", f"{_OCI}.index.v1+json"
_CONFIG, _LAYER = f"{_OCI}.config.v1+json", f"{_OCI}.layer.v1.tar+gzip"
_GZIP = 31
"""Window bits of zlib that stand for a gzip file."""


@dataclass(frozen=True)
class Made:
    """An image.

    Attributes
    ----------
    payloads : tuple of bytes
        Content of the one file in each layer; a container sees the last.
    command : str
        What a container of it runs.
    layers, packed : tuple of bytes
        Each layer as tar and as it is stored.
    config, manifest : bytes
    """

    payloads: tuple[bytes, ...]
    command: str
    layers: tuple[bytes, ...]
    packed: tuple[bytes, ...]
    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """Return the digest of the manifest."""
        return digest(self.manifest)


def digest(data: bytes) -> str:
    """Return the digest of a blob."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob(data: bytes) -> str:
    """Return the path of a blob in a layout."""
    return "blobs/" + digest(data).replace(":", "/")


@cache
def image(name: str) -> Made:
    """Return one of the images, by its tag; `EVIL` is `CURRENT` with one byte changed."""
    of = CURRENT if name == EVIL else name
    lower, upper = (
        random.Random(f"{of} {part}").randbytes(PAYLOAD_BYTES) for part in ("lower", "upper")
    )
    command = f"/app/run --of {of}"
    if name == EVIL:
        upper = upper[:-1] + bytes([upper[-1] ^ 1])
        command = command.replace("run", "rob")
    return _image((lower, upper), command)


def _image(payloads: tuple[bytes, ...], command: str) -> Made:
    layers = tuple(tar({PAYLOAD: payload}) for payload in payloads)
    packed = tuple(zlib.compress(layer, 0, wbits=_GZIP) for layer in layers)
    config = config_of(layers, command)
    return Made(payloads, command, layers, packed, config, manifest_of(config, packed))


def config_of(layers: Iterable[bytes], command: str, **settings) -> bytes:
    """Return the config of an image of these layers, as tars."""
    system, architecture = default_platform().split("/")[:2]
    layers = list(layers)
    value = {
        "architecture": architecture,
        "os": system,
        "config": {"Cmd": command.split()} | settings,
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        "history": [{"created_by": f"COPY layer {n}"} for n in range(len(layers))],
    }
    return dumps(value)


def manifest_of(config: bytes, packed: Iterable[bytes], *, version: str = "1.0") -> bytes:
    """Return the manifest of a config and layers as they are stored."""
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(config, _CONFIG),
        "layers": [_descriptor(layer, _LAYER) for layer in packed],
        "annotations": {"org.opencontainers.image.version": version},
    }
    return dumps(value)


def index_of(*manifests: bytes, names: Iterable[str] = ()) -> bytes:
    """Return an index of manifests for this machine's platform, each with a name or without."""
    system, architecture = default_platform().split("/")[:2]
    items = [
        _descriptor(manifest, MANIFEST) | {"platform": {"os": system, "architecture": architecture}}
        for manifest in manifests
    ]
    for item, name in zip(items, names, strict=False):
        item["annotations"] = {"org.opencontainers.image.ref.name": name}
    return dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": items})


def _descriptor(data: bytes, media_type: str) -> dict:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def dumps(value: object) -> bytes:
    """Return a value as JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


def tar(files: Mapping[str, bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """Return a tar archive of files; an empty content is an empty file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), (modes or {}).get(path, 0o644)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@cache
def index() -> bytes:
    """Return the index that the tag `MANY` names."""
    return index_of(image(CURRENT).manifest)


TAGGED = (CURRENT, OLDER, UNSIGNED, FOREIGN)


@cache
def in_registry() -> dict[str, bytes]:
    """Return what a registry holds: blobs by their path, and ``tags/<tag>`` with its digest."""
    files = {f"tags/{MANY}": digest(index()).encode(), blob(index()): index()}
    for name in TAGGED:
        files |= _blobs(image(name)) | {f"tags/{name}": image(name).digest.encode()}
    return files


@cache
def layout() -> dict[str, bytes]:
    """Return the files of an OCI layout of two images."""
    made = [image(name) for name in (CURRENT, OLDER)]
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": index_of(*(m.manifest for m in made), names=(CURRENT, OLDER)),
    }
    for one in made:
        files |= _blobs(one)
    return files


def _blobs(made: Made) -> dict[str, bytes]:
    return {blob(data): data for data in (*made.packed, made.config, made.manifest)}


@cache
def archive() -> dict[str, bytes]:
    """Return the files of an archive of two images as ``docker save`` of Docker 10 to 24 writes."""
    made = {name: image(name) for name in (CURRENT, OLDER)}
    files = {}
    for one in made.values():
        files |= {layer_name(data): data for data in one.layers}
        files[config_name(one.config)] = one.config
    return files | {"manifest.json": manifest_json(made)}


def manifest_json(made: Mapping[str, Made]) -> bytes:
    """Return the list of images by their tags that an archive begins with."""
    items = [
        {
            "Config": config_name(one.config),
            "RepoTags": [f"{NAME}:{tag}"],
            "Layers": [layer_name(data) for data in one.layers],
        }
        for tag, one in made.items()
    ]
    return dumps(items)


def layer_name(data: bytes) -> str:
    """Return the name of a layer in an archive."""
    return f"{digest(data)[7:]}/layer.tar"


def config_name(data: bytes) -> str:
    """Return the name of a config in an archive: its digest."""
    return f"{digest(data)[7:]}.json"
