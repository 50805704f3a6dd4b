"""The single trials of `layers`: contents counted, opened files counted, bytes moved."""

from __future__ import annotations

from caveatlib import images
from caveatlib.experiments.layers import generated
from caveatlib.experiments.layers.web import PAGE
from caveatlib.places.base import TrialResult

INSIDE = ("contents", "opened", "planted", "answer")
MOVES = ("pull", "pull-even", "pull-base-there", "disk", "disk-gzip", "disk-base-there")
PUBLISHED = {
    "pull-whole": "image, the whole root file system",
    "pull-container": "image, without kernel and modules",
    "machine": "virtual machine, as published",
}
"""How a published machine is moved, or an image of its root file system."""
SHELL = "/bin/sh"
PROGRAM = ("/bin/busybox", "/usr/bin/busybox")
"""Debian's /bin is a link; on scratch it is a folder."""


def packages(image: images.Image) -> list[dict]:
    """Return the rows of the table of packages."""
    rows = image.packages.drop(columns="layer").to_dict("records")
    return [row | {"installed_bytes": _number(row["installed_bytes"])} for row in rows]


def _number(value) -> float | None:
    return None if value is None or value != value or str(value) == "<NA>" else float(value)


def planted(image: images.Image) -> dict:
    """Return how many files differ from what packages say, and how many of them are /bin/sh."""
    found = image.olives
    # such a row expects "/bin/sh leads to an ELF program", whatever sh leads to
    shells = found["expected"].str.startswith(f"{SHELL} ")
    return {"olives": float(len(found)), "shell_olives": float(shells.sum())}


def served(place) -> TrialResult:
    """Run an image's application once, and count the files that were opened.

    Sizes are those of the files when they were opened. Files that the engine
    puts into a container, e.g. ``/etc/hosts``, are not the image's and are not
    counted.
    """
    page, found = place.serve()
    files = place.image.files
    visible = files[files["hidden_by"].isna() & files["type"].isin(("file", "hard link"))]
    there = set(visible["path"])
    opened = {p: size for path, size in found.items() if (p := images.escape(path)) in there}
    total = float(visible["size_bytes"].sum())
    others = [path for path in opened if path not in (*PROGRAM, PAGE)]
    measures = {
        "served": float(page),
        "opened_files": float(len(opened)),
        "opened_bytes": float(sum(opened.values())),
        "opened_file_share": len(opened) / len(visible),
        "opened_byte_share": sum(opened.values()) / total,
        "opened_others": float(len(others)),
    }
    rows = [{"path": path, "size_bytes": size} for path, size in sorted(opened.items())]
    return TrialResult(measures, {"opened": rows})


def moved(place, work: str, content_bytes: int, rate_bit_per_s: float) -> dict:
    """Move an image or a disk with this many bytes of files."""
    size = content_bytes // generated.content_bytes(1)
    if work.startswith("disk"):
        there = work == "disk-base-there"
        return place.fetch(size, rate_bit_per_s, packed=work != "disk", base_there=there)
    kind = "even" if work == "pull-even" else "whole"
    return place.pull(size, rate_bit_per_s, kind=kind, base_there=work == "pull-base-there")


def moved_as_published(place, work: str, rate_bit_per_s: float) -> dict:
    """Move a published machine, or an image of its root file system."""
    if work == "machine":
        return place.machine(rate_bit_per_s)
    return place.system(work.removeprefix("pull-"), rate_bit_per_s)
