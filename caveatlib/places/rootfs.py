"""The root filesystem of every workload: one static busybox and a web page.

The same files serve every place, as a folder (`rootfs`) or as a tar
(`image_tar`), so that what differs between two places is the place.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import shutil
import struct
import tarfile
import tempfile
from pathlib import Path

from caveatlib.errors import Unavailable
from caveatlib.places import cache
from caveatlib.places.base import Capability
from caveatlib.support import programs

SYSTEM_FIX = cache.PREPARE
"""What installs every program that live measuring can use."""

PAGE = b"<p>Nothing to see here.</p>\n"

_FOLDERS = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "www")
_FILES = {
    # Bare namespaces have no devices, and a shell wants this for every job in the
    # background. Wherever there are devices, theirs is mounted over it.
    "dev/null": b"",
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": b"root:x:0:\n",
    "www/index.html": PAGE,
}
_PT_INTERP = 3


@functools.cache
def probe() -> Capability:
    """Return whether there is a static busybox to make workloads from."""
    path = programs.find("busybox")
    if path is None:
        return Capability("busybox", False, "no program busybox", SYSTEM_FIX)
    if not _is_static(Path(path)):
        return Capability("busybox", False, "busybox is not a static program", SYSTEM_FIX)
    return Capability("busybox", True, "static busybox found")


def shell() -> tuple[list[str], str]:
    """Return how to run a script on the host, and the name of that shell.

    Returns
    -------
    argv : list of str
        What stands before the script; ends in ``"-c"``.
    name : str
        ``"busybox"``, or ``"sh"`` where there is no static busybox.
    """
    if probe().available:
        return [str(rootfs() / "bin/busybox"), "sh", "-c"], "busybox"
    return ["/bin/sh", "-c"], "sh"


@functools.cache
def rootfs() -> Path:
    """Return the folder of the root filesystem, made at the first use.

    It is kept in the user's cache (`cache.folder`), or for this process alone
    where the cache cannot be written. Treat it as read-only.

    Raises
    ------
    Unavailable
        If there is no static busybox.
    """
    name = f"rootfs-{image_digest()[:12]}"
    try:
        base = cache.folder()
        if not (base / name).exists():
            base.mkdir(parents=True, exist_ok=True)
            _build(base / name)
            cache.hand_back(base)
        return base / name
    except (OSError, RuntimeError):
        base = Path(tempfile.mkdtemp(prefix="caveatlib-"))
        atexit.register(shutil.rmtree, base, ignore_errors=True)
        return _build(base / name)


def image_digest() -> str:
    """Return the SHA-256 of `image_tar`, as hexadecimal digits."""
    return hashlib.sha256(image_tar()).hexdigest()


@functools.cache
def image_tar() -> bytes:
    """Return the root filesystem as a tar, the same bytes whenever busybox is the same.

    Raises
    ------
    Unavailable
        If there is no static busybox.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in _FOLDERS:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(info)
        for name, content in _contents().items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(info, io.BytesIO(content))
        for applet in _applets():
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    return out.getvalue()


def _build(target: Path) -> Path:
    if (target / "www/index.html").is_file():
        return target
    # Made beside its place and renamed, so that nobody meets a half-made one.
    made = Path(tempfile.mkdtemp(prefix=".rootfs-", dir=target.parent))
    try:
        made.chmod(0o755)
        for name in _FOLDERS:
            (made / name).mkdir(mode=0o755)
        (made / "tmp").chmod(0o1777)
        for name, content in _contents().items():
            (made / name).write_bytes(content)
        (made / "bin/busybox").chmod(0o755)
        for applet in _applets():
            (made / "bin" / applet).symlink_to("busybox")
        made.rename(target)
    except OSError:
        if not (target / "www/index.html").is_file():  # else another process was faster
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


@functools.cache
def _contents() -> dict[str, bytes]:
    ability = probe()
    if not ability.available:
        raise Unavailable(f"No static busybox: {ability.reason}. Mend it with: {ability.fix}")
    return {"bin/busybox": Path(programs.need("busybox")).read_bytes(), **_FILES}


@functools.cache
def _applets() -> list[str]:
    names = programs.run(["busybox", "--list"]).split()
    return sorted({name for name in names if name != "busybox" and "/" not in name})


def _is_static(path: Path) -> bool:
    """Return whether a 64-bit ELF program names no dynamic loader (System V ABI, ch. 5)."""
    try:
        head = path.open("rb").read(4096)
        if head[:5] != b"\x7fELF\x02":
            return False
        order = "<" if head[5] == 1 else ">"
        offset = struct.unpack_from(order + "Q", head, 32)[0]
        size, count = struct.unpack_from(order + "HH", head, 54)
        kinds = [struct.unpack_from(order + "I", head, offset + i * size)[0] for i in range(count)]
    except (OSError, struct.error, IndexError):
        return False
    return _PT_INTERP not in kinds
