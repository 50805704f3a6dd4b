"""Every limit of the image reader, and the purse that a hostile image empties.

The figures are those of the readers that registries and engines trust
(containerd, BuildKit, containers/image), where they have one; the rest is
named as ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from caveatlib.errors import ImageError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Limits:
    """What the reader accepts, in bytes or counts; a value of its own in every test."""

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
    """One path or link target (Linux, PATH_MAX: longer ones cannot be unpacked)."""
    names_bytes: int = 256 * MIB
    """All paths and link targets of one image (ours)."""
    members: int = 65_536
    """Members of the outer archive (ours; engines write four or so per layer)."""
    layers: int = 1024
    """Layers of one image (ours; Docker's own limit is 127)."""
    documents_bytes: int = 64 * MIB
    """All small members of an archive that is read as a stream (ours)."""
    database_bytes: int = 64 * MIB
    """All package databases of one image (ours)."""
    output_bytes: int = 64 * GIB
    """All layers of one image, unpacked (ours)."""
    output_free_bytes: int = 512 * MIB
    """Unpacked bytes below which no ratio is looked at (ours)."""
    output_ratio: int = 250
    """Unpacked over stored bytes, above that (ours; deflate ends at 1032)."""
    index_depth: int = 4
    """Indexes within indexes (ours; builders write two)."""
    link_hops: int = 40
    """Links followed for one path (Linux, path_resolution(7))."""


DEFAULTS = Limits()


class OverLimit(ImageError):
    """More than the reader accepts."""


class Budget:
    """What one image has used up so far of the limits that span its layers."""

    def __init__(self, limits: Limits = DEFAULTS):
        self.limits = limits
        self.stored = self.output = self.entries = self.names = self.database = 0

    def spend_output(self, produced: int, stored: int = 0) -> None:
        """Count bytes that came out of stored ones.

        Raises
        ------
        ImageError
            If the sum is over the cap, or out of proportion to what is stored.
        """
        self.output += produced
        self.stored += stored
        limits = self.limits
        if self.output <= limits.output_free_bytes and self.output <= limits.output_bytes:
            return
        if self.output > limits.output_bytes:
            rule = f"{limits.output_bytes} bytes"
        elif self.output > limits.output_ratio * self.stored:
            rule = f"{limits.output_ratio} times what is stored"
        else:
            return
        ratio = self.output / max(self.stored, 1)
        raise OverLimit(
            f"{self.stored} stored bytes unpack to {self.output} and more ({ratio:.0f}:1). "
            f"Must be at most {rule}."
        )

    def spend_entries(self, count: int, size: int = 0) -> None:
        """Count entries of layers and the bytes of their names; ImageError over the limit."""
        self.entries += count
        self.names += size
        if self.names > self.limits.names_bytes:
            raise OverLimit(
                f"Names of {self.names} bytes and more. Must be at most {self.limits.names_bytes}."
            )
        if self.entries > self.limits.entries:
            raise OverLimit(
                f"{self.entries} entries and more. Must be at most {self.limits.entries}."
            )

    def spend_database(self, size: int) -> None:
        """Count bytes of package databases; ImageError over the limit."""
        self.database += size
        if self.database > self.limits.database_bytes:
            raise OverLimit(
                f"Package databases of {self.database} bytes and more. "
                f"Must be at most {self.limits.database_bytes}."
            )
