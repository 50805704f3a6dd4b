"""A little image of two layers, read from memory, and what is in it; where the samples lie."""

from pathlib import Path

import imagebuild as build

from caveatlib import images
from caveatlib.images import assemble, find, stores
from caveatlib.images.limits import Budget

SAMPLES = Path(__file__).parents[2] / "data" / "images"
LOWER = [build.folder("a/"), build.file("a/f", b"1" * 700), build.file("b", b"2" * 10)]
UPPER = [build.file("a/.wh.f"), build.file("c", b"3" * 5)]
IMAGE = {"name": "one:1", "layers": [LOWER, UPPER]}


def from_bytes(data: bytes, **options) -> images.Image:
    """Read an archive in memory by random access, as `read` does with a file."""
    limits = options.pop("limits", images.DEFAULTS)
    store = stores.Archive(
        lambda size, offset: data[offset : offset + size], len(data), budget=Budget(limits)
    )
    found = find.find(store, limits)
    return assemble.load(store, find.pick(found, None, None, "bytes"), limits)


def expect_lower_and_upper(image: images.Image) -> None:
    assert image.layers["size_bytes"].tolist() == [710, 5]
    assert image.layers["wasted_bytes"].tolist() == [700, 0]
    assert image.layers["files"].tolist() == [3, 1]
    assert image.layers["verified"].tolist() == ["true", "true"]
    assert image.files["path"].tolist() == ["/a", "/a/f", "/b", "/c"]
    assert image.files["hidden_by"].fillna(-1).tolist() == [-1, 1, -1, -1]
