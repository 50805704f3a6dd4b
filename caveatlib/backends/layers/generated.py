"""Generated content to move: images of known size in two layers, and disks of the same files.

Half of every kilobyte is random and half repeats it, so whatever compresses
takes about half of every image, whatever its size. Files have the mean size of
those in a minimal Debian (214 MB in 5,542 entries), because unpacking costs by
the file as well as by the byte.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from caveatlib.images.find import default_platform

FILE_BYTES = 32 * 1024
PARTS = {"base": 28, "rest": 4}
"""Files per MiB of an image in its lower and in its upper layer."""
HALF = 512


def content_bytes(size_mib: int, part: str | None = None) -> int:
    """Return the sum of the file sizes of an image, or of one of its layers."""
    files = sum(PARTS.values()) if part is None else PARTS[part]
    return size_mib * files * FILE_BYTES


def files(size_mib: int, part: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file of a layer, the same on every machine."""
    which = list(PARTS).index(part)
    for number in range(size_mib * PARTS[part]):
        rng = np.random.default_rng([size_mib, which, number])
        blocks = rng.bytes(FILE_BYTES // 2)
        once = np.frombuffer(blocks, np.uint8).reshape(-1, 1, HALF)
        yield f"{part}/{number // 64:03}/{number:05}", once.repeat(2, axis=1).tobytes()


def layer(size_mib: int, part: str) -> bytes:
    """Return a layer as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in files(size_mib, part):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def archive(size_mib: int, names: Mapping[str, str]) -> bytes:
    """Return images as ``docker load`` takes them.

    Parameters
    ----------
    size_mib : int
    names : mapping
        ``"base"`` -> name of the image of the lower layer alone, ``"whole"``
        -> name of the image of both.
    """
    layers = {f"{part}.tar": layer(size_mib, part) for part in PARTS}
    diff_ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers.values()]
    system, machine = default_platform().split("/")[:2]
    documents, manifest = {}, []
    for name, depth in (("base", 1), ("whole", 2)):
        rootfs = {"type": "layers", "diff_ids": diff_ids[:depth]}
        config = {"architecture": machine, "os": system, "config": {}, "rootfs": rootfs}
        documents[f"{name}.json"] = json.dumps(config).encode()
        manifest.append(
            {
                "Config": f"{name}.json",
                "RepoTags": [names[name]],
                "Layers": list(layers)[:depth],
            }
        )
    documents["manifest.json"] = json.dumps(manifest).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in (documents | layers).items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def tree(size_mib: int, out: Path) -> None:
    """Write the files of both layers below a folder."""
    for part in PARTS:
        for path, data in files(size_mib, part):
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(data)


def disk_mib(size_mib: int) -> int:
    """Return the size of the disk for so many MiB of files.

    A sixteenth more for ext4's tables, and 8 MiB for its journal (4 MiB, the
    least that mke2fs makes) and the first groups.
    """
    return size_mib + size_mib // 16 + 8


def packed(raw: Path) -> Path:
    """Write a disk's gzip file beside it, at the level that Docker packs layers with.

    Returns
    -------
    pathlib.Path
        The same name and ``.gz``.
    """
    out = raw.with_name(f"{raw.name}.gz")
    # -1: Go's default level for gzip is zlib's 6
    with raw.open("rb") as source, gzip.GzipFile(out, "wb", compresslevel=6, mtime=0) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return out
