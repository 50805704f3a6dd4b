"""The tables that an image is shown as, and what their columns mean."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib.frames import Table, field
from caveatlib.images import tar

VERIFIED = ("true", "not checkable")
CATEGORIES = (
    "shell",
    "package manager",
    "interpreter",
    "executable",
    "library",
    "documentation",
    "man page",
    "locale",
    "cache",
    "package database",
    "configuration",
    "other",
)


class Layers(Table):
    """One row per layer, lowest first."""

    layer: Series[int] = field("place of the layer, from 0 at the bottom", ge=0)
    digest: Series[str] = field("digest of the blob as stored")
    diff_id: Series[str] = field("digest of the unpacked layer")
    created_by: Series[str] = field("command that made it, percent-escaped")
    media_type: Series[str] = field("media type as stated; of a docker archive, as found")
    compressed_bytes: Series[int] = field("size of the blob as stored", unit="B", ge=0)
    size_bytes: Series[int] = field("sum of the file sizes", unit="B", ge=0)
    files: Series[int] = field("entries that are no whiteouts", ge=0)
    wasted_bytes: Series[int] = field("bytes of its files that a later entry hides", unit="B", ge=0)
    verified: Series[str] = field("whether the digests held", isin=VERIFIED)


class Files(Table):
    """One row per entry of a layer that is no whiteout, in the order of the archive."""

    layer: Series[int] = field("layer that holds it", ge=0)
    path: Series[str] = field("path from the root of the image, percent-escaped")
    type: Series[str] = field("type of entry", isin=tuple(tar.KINDS.values()))
    mode: Series[int] = field("permission bits", ge=0, le=0o7777)
    uid: Series[int] = field("user that owns it")
    gid: Series[int] = field("group that owns it")
    size_bytes: Series[int] = field(
        "size of a file, holes included; 0 for anything else, hard links too", unit="B", ge=0
    )
    link_target: Series[str] = field("where a link leads, percent-escaped; empty for others")
    setuid: Series[bool] = field("a file, or hard link to one, that runs as its owner")
    category: Series[str] = field("what it is for, by its path and mode", isin=CATEGORIES)
    hidden_by: Series[pd.Int64Dtype] = field(
        "the nearest layer that shadows or deletes it; empty if visible", nullable=True, ge=0
    )


class Packages(Table):
    """One row per installed package."""

    manager: Series[str] = field("who installed it", isin=("dpkg", "apk", "python", "npm"))
    name: Series[str] = field("name of the package, percent-escaped")
    version: Series[str] = field("version, percent-escaped")
    installed_bytes: Series[pd.Int64Dtype] = field(
        "size as its database states it", unit="B", nullable=True, ge=0
    )
    layer: Series[int] = field("layer since which this version is listed", ge=0)


class Olives(Table):
    """One row per file that is not what it is taken for."""

    layer: Series[int] = field("layer that holds it", ge=0)
    path: Series[str] = field("path, percent-escaped")
    package: Series[str] = field("package that claims it; empty for a shell nobody claims")
    expected: Series[str] = field("what it should be")
    found: Series[str] = field("what it is")


class Summary(Table):
    """One row per image; counts are of visible names."""

    image: Series[str] = field("name of the image, or its digest")
    platform: Series[str] = field("operating system and architecture")
    layers: Series[int] = field("layers", ge=0)
    files: Series[int] = field("visible entries", ge=0)
    compressed_bytes: Series[int] = field("all layers as stored", unit="B", ge=0)
    size_bytes: Series[int] = field("all files of all layers", unit="B", ge=0)
    visible_bytes: Series[int] = field("visible files", unit="B", ge=0)
    wasted_bytes: Series[int] = field("hidden files", unit="B", ge=0)
    efficiency: Series[float] = field("1 - wasted / size; 1 without files", ge=0, le=1)
    executables: Series[int] = field("files that somebody may execute", ge=0)
    setuid_files: Series[int] = field("files that run as their owner", ge=0)
    setgid_files: Series[int] = field("files that run as their group", ge=0)
    shells: Series[int] = field("shells, by name", ge=0)
    package_managers: Series[int] = field("package managers, by name", ge=0)
    interpreters: Series[int] = field("interpreters, by name", ge=0)
    packages: Series[int] = field("installed packages", ge=0)
    unowned_bytes: Series[int] = field("visible bytes that no package owns", unit="B", ge=0)
    extras_share: Series[float] = field(
        "share of the visible bytes under doc, man, locale and cache", ge=0, le=1
    )
    olives: Series[int] = field("files that are not what they are taken for", ge=0)


class Shared(Table):
    """One row per distinct layer of several images."""

    diff_id: Series[str] = field("digest of the unpacked layer")
    size_bytes: Series[int] = field("sum of its file sizes", unit="B", ge=0)
    compressed_bytes: Series[int] = field("smallest size as stored", unit="B", ge=0)
    images: Series[int] = field("images that have it", ge=1)
    used_by: Series[str] = field("their names")
