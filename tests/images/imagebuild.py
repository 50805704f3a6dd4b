"""Build image archives from synthetic files, byte for byte the same on every machine.

The tar writer is ours, too: `tarfile` may change its bytes between versions of
Python, and hostile archives need headers that it refuses to write.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import zlib
from dataclasses import dataclass, field

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 512
OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Entry:
    """One entry of a layer; `flag` is the tar type, `raw` replaces the whole header."""

    name: str | bytes
    data: bytes = b""
    flag: bytes = b"0"
    link: str | bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    pax: dict = field(default_factory=dict)


def file(name, data=b"", mode=0o644, **more) -> Entry:
    return Entry(name, data if isinstance(data, bytes) else data.encode(), mode=mode, **more)


def folder(name, mode=0o755, **more) -> Entry:
    return Entry(name, flag=b"5", mode=mode, **more)


def symlink(name, target) -> Entry:
    return Entry(name, flag=b"2", link=target, mode=0o777)


def hardlink(name, target, mode=0o644) -> Entry:
    return Entry(name, flag=b"1", link=target, mode=mode)


def as_bytes(text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def octal(value: int, width: int) -> bytes:
    """Return the number as tar writes it: octal, or base 256 if it does not fit."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return (
        value & ((1 << (8 * width)) - 1) | (0x80 << 8 * (width - 1) if value >= 0 else 0)
    ).to_bytes(width, "big")


def header(
    name=b"f", *, size=0, flag=b"0", link=b"", mode=0o644, uid=0, gid=0, fields=None
) -> bytes:
    """Return one header; `fields` maps offsets to bytes that are put there."""
    block = bytearray(BLOCK)
    block[0:100] = as_bytes(name)[:100].ljust(100, b"\0")
    block[100:108] = octal(mode, 8)
    block[108:116] = octal(uid, 8)
    block[116:124] = octal(gid, 8)
    block[124:136] = octal(size, 12)
    block[136:148] = octal(0, 12)
    block[156:157] = flag
    block[157:257] = as_bytes(link)[:100].ljust(100, b"\0")
    block[257:265] = b"ustar\x0000"
    for offset, value in (fields or {}).items():
        block[offset : offset + len(value)] = value
    return sealed(bytes(block))


def sealed(block: bytes) -> bytes:
    """Return the header with its checksum corrected."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def pax_header(values: dict, *, flag=b"x", raw: bytes | None = None) -> bytes:
    """Return a PAX header with its records."""
    body = raw if raw is not None else b"".join(pax_record(k, v) for k, v in values.items())
    return header(b"pax", size=len(body), flag=flag) + padded(body)


def pax_record(key, value) -> bytes:
    r"""Return ``b"<length> key=value\n"``, the length counting itself."""
    rest = b" " + as_bytes(key) + b"=" + as_bytes(value) + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def entry(item: Entry) -> bytes:
    """Return header(s) and data of one entry; long names go into PAX."""
    name, link, pax = as_bytes(item.name), as_bytes(item.link), dict(item.pax)
    if len(name) > 100:
        pax["path"] = name
    if len(link) > 100:
        pax["linkpath"] = link
    head = header(
        name,
        size=len(item.data),
        flag=item.flag,
        link=link,
        mode=item.mode,
        uid=item.uid,
        gid=item.gid,
    )
    return (pax_header(pax) if pax else b"") + head + padded(item.data)


def tar(entries, *, end: bytes = bytes(2 * BLOCK)) -> bytes:
    """Return a tar archive as Go writes it: two blocks of zeros at its end."""
    return b"".join(entry(item) if isinstance(item, Entry) else item for item in entries) + end


def packed(data: bytes, codec: str) -> bytes:
    """Return the data as gzip, in two members, without a time; or as zstd; or as they are."""
    if codec == "gzip":
        half = len(data) // 2
        return gzipped(data[:half]) + gzipped(data[half:])
    if codec == "zstd":
        return zstd.compress(data)
    return data


def gzipped(data: bytes) -> bytes:
    """Return one gzip member; `gzip.compress` names the system in Python 3.11, later ones do not.

    Other builds of zlib may still write other bytes for the data themselves.
    """
    member = zlib.compress(data, 9, wbits=31)
    # RFC 1952: 4 bytes of time are 0, and 255 stands for an unknown system.
    return member[:4] + bytes(4) + member[8:9] + b"\xff" + member[10:]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dumps(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def config(layers: list[bytes], *, commands=None, architecture="amd64", variant=None) -> bytes:
    """Return the config of unpacked layers."""
    commands = commands or [f"COPY layer{n} /" for n in range(len(layers))]
    value = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        "history": [{"created_by": c} for c in commands]
        + [{"created_by": "CMD", "empty_layer": True}],
    }
    if variant:
        value["variant"] = variant
    return dumps(value)


def descriptor(data: bytes, media_type: str, **more) -> dict:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)} | more


def oci(
    images: list[dict], *, manifest_json: bool = False, nested: bool = False
) -> dict[str, bytes]:
    """Return the files of an OCI layout, by path.

    Parameters
    ----------
    images : list of dict
        Each with ``layers`` (lists of entries, or tar bytes) and optionally
        ``name``, ``codec``, ``platform`` (of its descriptor), ``commands``,
        ``architecture``.
    manifest_json : bool
        Write Docker's ``manifest.json`` too, as Docker 25 and later do.
    nested : bool
        Put all images in one inner index.
    """
    files: dict[str, bytes] = {}

    def put(data: bytes, media_type: str, **more) -> dict:
        files["blobs/" + digest(data).replace(":", "/")] = data
        return descriptor(data, media_type, **more)

    manifests, items = [], []
    for image in images:
        layers = [part if isinstance(part, bytes) else tar(part) for part in image["layers"]]
        codec = image.get("codec", "plain")
        suffix = {"plain": "", "gzip": "+gzip", "zstd": "+zstd"}[codec]
        blobs = [packed(layer, codec) for layer in layers]
        settings = config(
            layers, commands=image.get("commands"), architecture=image.get("architecture", "amd64")
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": put(settings, f"{OCI}.config.v1+json"),
            "layers": [put(blob, f"{OCI}.layer.v1.tar{suffix}") for blob in blobs],
        }
        more = {}
        if "name" in image:
            more["annotations"] = {"org.opencontainers.image.ref.name": image["name"]}
        if "platform" in image:
            system, architecture = image["platform"].split("/")[:2]
            more["platform"] = {"os": system, "architecture": architecture}
        more |= image.get("descriptor", {})
        manifests.append(put(dumps(manifest), f"{OCI}.manifest.v1+json", **more))
        items.append(
            {
                "Config": "blobs/" + digest(settings).replace(":", "/"),
                "RepoTags": [image["name"]] if "name" in image else None,
                "Layers": ["blobs/" + digest(blob).replace(":", "/") for blob in blobs],
            }
        )
    index = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.index.v1+json",
        "manifests": manifests,
    }
    if nested:
        index["manifests"] = [put(dumps(index), f"{OCI}.index.v1+json")]
    files["index.json"] = dumps(index)
    if manifest_json:
        files["manifest.json"] = dumps(items)
    files["oci-layout"] = dumps({"imageLayoutVersion": "1.0.0"})
    return files


def classic(images: list[dict]) -> dict[str, bytes]:
    """Return the files of an archive as Docker 1.10 to 24 writes it; see `oci`."""
    files: dict[str, bytes] = {}
    items = []
    for image in images:
        layers = [part if isinstance(part, bytes) else tar(part) for part in image["layers"]]
        settings = config(layers, commands=image.get("commands"))
        name = digest(settings)[7:] + ".json"
        files[name] = settings
        paths = []
        for layer in layers:
            path = hashlib.sha256(b"id" + layer).hexdigest() + "/layer.tar"
            files[path] = layer
            paths.append(path)
        items.append({"Config": name, "RepoTags": [image["name"]], "Layers": paths})
    files["manifest.json"] = dumps(items)
    return files


def archive(files: dict[str, bytes]) -> bytes:
    """Return the files as one tar archive, in their order."""
    return tar([file(name, data) for name, data in files.items()])


def write_layout(files: dict[str, bytes], folder) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def cycle() -> dict[str, bytes]:
    """Return a layout of two indexes that refer to each other, with wrong digests."""
    kind = OCI + ".index.v1+json"
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64

    def index(digest):
        return {"manifests": [{"mediaType": kind, "digest": digest, "size": 100}]}

    return {
        "index.json": dumps(index(one)),
        "blobs/sha256/" + "1" * 64: dumps(index(two)),
        "blobs/sha256/" + "2" * 64: dumps(index(one)),
    }


def bomb() -> dict[str, bytes]:
    """Return a layout of 2 MB whose layer unpacks to 2 GiB of zeros."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(header("zeros", size=1 << 31))
    blob = buffer.getvalue() + gzip.compress(bytes(1 << 24), 9, mtime=0) * 128
    settings = config([b""])
    manifest = dumps({"config": descriptor(settings, ""), "layers": [descriptor(blob, "")]})
    files = {"index.json": dumps({"manifests": [descriptor(manifest, "")]})}
    return files | {"blobs/" + digest(b).replace(":", "/"): b for b in (manifest, settings, blob)}
