"""Every limit of the image reader, and the budget of what one image has used of them.

The values are those of containerd, BuildKit and containers/image where these
have one; the others are marked as ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from caveatlib.errors import ImageError

MIB, GIB = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Limits:
    """What the reader accepts, in bytes or counts."""

    document_bytes: int = 4 * MIB
    """One manifest, index or config (containers/image, containerd)."""
    manifest_json_bytes: int = 1 * MIB
    """``manifest.json`` of a ``docker save`` archive (containers/image)."""
    header_bytes: int = 1 * MIB
    """One PAX header, GNU long name or sparse map (Go's archive/tar)."""
    zstd_window_log: int = 27
    """Base-2 logarithm of the zstd window: 128 MiB (klauspost/compress in containerd)."""
    entries: int = 2_000_000
    """Entries of all layers of one image (ours)."""
    name_bytes: int = 4096
    """One path or link target (PATH_MAX of Linux: longer ones cannot be unpacked)."""
    names_bytes: int = 256 * MIB
    """All paths and link targets of one image (ours)."""
    members: int = 65_536
    """Members of the outer archive (ours; engines write about four per layer)."""
    layers: int = 1024
    """Layers of one image (ours; Docker's own limit is 127)."""
    documents_bytes: int = 64 * MIB
    """All small members of an archive that is read as a stream (ours)."""
    database_bytes: int = 64 * MIB
    """All package databases of one image (ours)."""
    output_bytes: int = 64 * GIB
    """All layers of one image, unpacked (ours)."""
    output_free_bytes: int = 512 * MIB
    """Unpacked bytes up to which the ratio is not checked (ours)."""
    output_ratio: int = 250
    """Unpacked over stored bytes beyond that (ours; deflate reaches 1032)."""
    index_depth: int = 4
    """Depth of nested indexes (ours; builders write two)."""
    listed: int = 32_768
    """Entries of all indexes of one source, each index as often as it is named (ours)."""
    indexes_bytes: int = 64 * MIB
    """These indexes (ours)."""
    link_hops: int = 40
    """Links followed for one path (Linux, path_resolution(7))."""


DEFAULTS = Limits()


class OverLimit(ImageError):
    """An image beyond a limit of the reader."""


class Budget:
    """What an image, or the indexes of a source, have used of the limits that span them."""

    def __init__(self, limits: Limits = DEFAULTS):
        self.limits = limits
        self.stored = self.output = self.entries = self.names = self.database = 0
        self.indexes = self.listed = 0

    def spend_output(self, produced: int, stored: int = 0) -> None:
        """Count unpacked bytes, and the stored bytes that they came from.

        Raises
        ------
        ImageError
            If their sum exceeds the limit, or their ratio to the stored bytes does.
        """
        self.output += produced
        self.stored += stored
        limits = self.limits
        if self.output <= limits.output_free_bytes and self.output <= limits.output_bytes:
            return
        if self.output > limits.output_bytes:
            rule = f"{limits.output_bytes} bytes"
        elif self.output > limits.output_ratio * self.stored:
            rule = f"{limits.output_ratio} times the stored bytes"
        else:
            return
        ratio = self.output / max(self.stored, 1)
        raise OverLimit(
            f"{self.stored} stored bytes unpack to at least {self.output} ({ratio:.0f}:1). "
            f"Must be at most {rule}."
        )

    def spend_entries(self, count: int, size: int = 0) -> None:
        """Count entries of layers and the bytes of their names; ImageError beyond a limit."""
        self.entries += count
        self.names += size
        if self.names > self.limits.names_bytes:
            raise OverLimit(
                f"Names take at least {self.names} bytes. "
                f"Must be at most {self.limits.names_bytes}."
            )
        if self.entries > self.limits.entries:
            raise OverLimit(
                f"At least {self.entries} entries. Must be at most {self.limits.entries}."
            )

    def spend_index(self, size: int) -> None:
        """Count bytes of indexes, each as often as it is named; ImageError beyond the limit."""
        self.indexes += size
        if self.indexes > self.limits.indexes_bytes:
            raise OverLimit(
                f"Indexes take at least {self.indexes} bytes. "
                f"Must be at most {self.limits.indexes_bytes}."
            )

    def spend_listed(self, count: int) -> None:
        """Count entries of indexes; ImageError beyond the limit."""
        self.listed += count
        if self.listed > self.limits.listed:
            raise OverLimit(
                f"Indexes list at least {self.listed} images. Must be at most {self.limits.listed}."
            )

    def spend_database(self, size: int) -> None:
        """Count bytes of package databases; ImageError beyond the limit."""
        self.database += size
        if self.database > self.limits.database_bytes:
            raise OverLimit(
                f"Package databases take at least {self.database} bytes. "
                f"Must be at most {self.limits.database_bytes}."
            )
