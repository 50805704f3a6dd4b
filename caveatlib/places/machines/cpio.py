"""Write initial RAM file systems: cpio archives of the kernel's "newc" kind.

The kernel unpacks several archives laid end to end, so that a trial's own files
are a small archive behind a prepared one. Format: Documentation/driver-api/
early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DIRECTORY, REGULAR, SYMLINK = 0o040755, 0o100644, 0o120777
EXECUTABLE = 0o100755


def archive(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return an archive of the entries, folders above them included.

    Parameters
    ----------
    entries : mapping
        ``{path: (mode, content)}``, paths without a leading slash, in any
        order; the content of a symbolic link is its target, that of a folder
        is empty. The same entries give the same bytes.
    """
    everything = {
        str(parent): (DIRECTORY, b"")
        for name in entries
        for parent in Path(name).parents
        if str(parent) != "."
    } | dict(entries)
    # Sorted, a folder comes before what lies in it.
    parts = [_entry(i, n, *everything[n]) for i, n in enumerate(sorted(everything), start=1)]
    return b"".join([*parts, _entry(0, "TRAILER!!!", 0, b"")])


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the entries of a folder on disk, with their modes, owned by root."""
    entries = {}
    for path in folder.rglob("*"):
        name, mode = str(path.relative_to(folder)), path.lstat().st_mode
        if path.is_symlink():
            entries[name] = (SYMLINK, str(path.readlink()).encode())
        elif path.is_dir():
            entries[name] = (mode, b"")
        else:
            entries[name] = (mode, path.read_bytes())
    return entries


def _entry(inode: int, name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    # inode, mode, uid, gid, nlink, mtime, size, device and rdevice (major,
    # minor), length of the name, checksum (unused)
    numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % n for n in numbers) + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
