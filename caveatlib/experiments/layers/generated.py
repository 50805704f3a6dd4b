"""Generated content to move: images of known size and layers, and disks of the same files.

The same files make two images. Seven eighths of ``whole`` lie in one layer, as
where a base image is most of it; ``even`` spreads them over eight layers alike.
An engine unpacks a layer while it downloads the next, so the spread of the bytes
decides how much of the unpacking the link hides.

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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from caveatlib.images.find import default_platform

FILE_BYTES = 32 * 1024
PARTS = {"base": 28, "rest": 4}
"""Files per MiB of an image in its lower and in its upper layer."""
EVEN = 8
"""Layers of the image whose files are spread evenly."""
DEPTHS = {"base": 1, "whole": 2, "even": EVEN}
"""Layers of each image that is made of a size."""
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


def layers(size_mib: int) -> dict[str, list[bytes]]:
    """Return the layers of each image of a size as tars, those of `DEPTHS`.

    Returns
    -------
    dict
        ``"base"``: the lower layer alone, ``"whole"``: both, ``"even"``: the
        same files in the same order, spread evenly.
    """
    parts = [list(files(size_mib, part)) for part in PARTS]
    lower, upper = map(_tar, parts)
    every = [file for part in parts for file in part]
    share = len(every) // EVEN
    spread = [_tar(every[i * share : (i + 1) * share]) for i in range(EVEN)]
    return {"base": [lower], "whole": [lower, upper], "even": spread}


def archive(size_mib: int, names: Mapping[str, str]) -> bytes:
    """Return images as ``docker load`` takes them.

    Parameters
    ----------
    size_mib : int
    names : mapping
        Image, one of `DEPTHS` -> its name.
    """
    system, machine = default_platform().split("/")[:2]
    blobs, documents, manifest = {}, {}, []
    for name, tars in layers(size_mib).items():
        digests = [hashlib.sha256(data).hexdigest() for data in tars]
        paths = [f"{digest}.tar" for digest in digests]
        blobs |= zip(paths, tars, strict=True)  # what images share is there once
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}
        config = {"architecture": machine, "os": system, "config": {}, "rootfs": rootfs}
        documents[f"{name}.json"] = json.dumps(config).encode()
        manifest.append({"Config": f"{name}.json", "RepoTags": [names[name]], "Layers": paths})
    documents["manifest.json"] = json.dumps(manifest).encode()
    return _tar((documents | blobs).items())


def _tar(entries: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in entries:
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
    """Return the size of the disk for this many MiB of files.

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
