"""The tables of an image, and the meaning of their columns."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib.frames import Table, field
from caveatlib.images import tar
from caveatlib.images.checks import AGAINST

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

    layer: Series[int] = field("index of the layer; 0 is the lowest", ge=0)
    digest: Series[str] = field("digest of the blob as stored")
    diff_id: Series[str] = field("digest of the unpacked layer")
    created_by: Series[str] = field("command that created it, percent-escaped")
    media_type: Series[str] = field("media type in the manifest; of a docker archive, as detected")
    compressed_bytes: Series[int] = field("size of the blob as stored", unit="B", ge=0)
    size_bytes: Series[int] = field("sum of its file sizes", unit="B", ge=0)
    files: Series[int] = field("entries that are not whiteouts", ge=0)
    wasted_bytes: Series[int] = field("bytes of its files that later entries hide", unit="B", ge=0)
    verified: Series[str] = field("whether the digests were verified", isin=VERIFIED)


class Files(Table):
    """One row per entry of a layer that is not a whiteout, in the order of the archive."""

    layer: Series[int] = field("layer that holds it", ge=0)
    path: Series[str] = field("path from the root of the image, percent-escaped")
    type: Series[str] = field("type of entry", isin=tuple(tar.KINDS.values()))
    mode: Series[int] = field("permission bits", ge=0, le=0o7777)
    uid: Series[int] = field("user id of its owner")
    gid: Series[int] = field("group id of its owner")
    size_bytes: Series[int] = field(
        "size of a file, holes included; 0 for hard links and anything else", unit="B", ge=0
    )
    link_target: Series[str] = field("target of a link, percent-escaped; empty for others")
    setuid: Series[bool] = field("whether it is a file, or a hard link, that runs as its owner")
    category: Series[str] = field("purpose, by its path and mode", isin=CATEGORIES)
    hidden_by: Series[pd.Int64Dtype] = field(
        "nearest layer that replaces or deletes it; empty if visible", nullable=True, ge=0
    )


class Packages(Table):
    """One row per installed package."""

    manager: Series[str] = field("package manager", isin=("dpkg", "apk", "python", "npm"))
    name: Series[str] = field("name, percent-escaped")
    version: Series[str] = field("version, percent-escaped")
    installed_bytes: Series[pd.Int64Dtype] = field(
        "installed size according to the package database", unit="B", nullable=True, ge=0
    )
    layer: Series[int] = field("lowest layer from which on this version is listed", ge=0)


class Olives(Table):
    """One row per file that is not what it claims to be."""

    layer: Series[int] = field("layer that holds it", ge=0)
    path: Series[str] = field("path, percent-escaped")
    package: Series[str] = field("package that owns it; empty for a shell")
    expected: Series[str] = field("expected digest or format")
    found: Series[str] = field("digest or format found")


class Secrets(Table):
    """One row per file that looks like a secret."""

    layer: Series[int] = field("layer that holds it", ge=0)
    path: Series[str] = field("path, percent-escaped")
    kind: Series[str] = field("what it seems to be, by its first bytes or its name")
    size_bytes: Series[int] = field("size of the file", unit="B", ge=0)
    hidden_by: Series[pd.Int64Dtype] = field(
        "nearest layer that replaces or deletes it; empty if visible", nullable=True, ge=0
    )


class Checks(Table):
    """One row per part of an image that was checked, or could not be."""

    part: Series[str] = field("manifest, config, a layer as stored or unpacked")
    digest: Series[str] = field("digest found; empty for a file that has none")
    against: Series[str] = field("what the digest was compared with", isin=AGAINST)


class Summary(Table):
    """One row per image; counts are of visible entries."""

    image: Series[str] = field("name of the image, or its digest")
    platform: Series[str] = field("operating system and architecture")
    layers: Series[int] = field("number of layers", ge=0)
    files: Series[int] = field("visible entries", ge=0)
    compressed_bytes: Series[int] = field("size of all layers as stored", unit="B", ge=0)
    size_bytes: Series[int] = field("size of all files of all layers", unit="B", ge=0)
    visible_bytes: Series[int] = field("size of the visible files", unit="B", ge=0)
    wasted_bytes: Series[int] = field("size of the hidden files", unit="B", ge=0)
    efficiency: Series[float] = field("1 - wasted / size; 1 if there are no files", ge=0, le=1)
    executables: Series[int] = field("files with an execute bit", ge=0)
    setuid_files: Series[int] = field("files with the setuid bit", ge=0)
    setgid_files: Series[int] = field("files with the setgid bit", ge=0)
    shells: Series[int] = field("shells, by name", ge=0)
    package_managers: Series[int] = field("package managers, by name", ge=0)
    interpreters: Series[int] = field("interpreters, by name", ge=0)
    packages: Series[int] = field("installed packages", ge=0)
    unowned_bytes: Series[int] = field("visible bytes that no package owns", unit="B", ge=0)
    extras_share: Series[float] = field(
        "share of the visible bytes in documentation, man pages, locales and caches", ge=0, le=1
    )
    olives: Series[int] = field("files that are not what they claim to be", ge=0)


class Shared(Table):
    """One row per distinct layer of several images."""

    diff_id: Series[str] = field("digest of the unpacked layer")
    size_bytes: Series[int] = field("sum of its file sizes", unit="B", ge=0)
    compressed_bytes: Series[int] = field("smallest size as stored", unit="B", ge=0)
    images: Series[int] = field("number of images that have it", ge=1)
    used_by: Series[str] = field("names of these images")
