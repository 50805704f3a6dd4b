"""Write the sample images of data/images/: ``python tests/images/make_samples.py``.

Synthetic files only, the same bytes on every run: a small "distribution" of four
packages, or an application, with something to find.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import imagebuild as build

FOLDER = Path(__file__).parents[2] / "data" / "images"


def noise(name: str, size: int) -> bytes:
    """Return incompressible bytes, always the same for a name."""
    out = b""
    count = 0
    while len(out) < size:
        out += hashlib.sha256(f"{name}/{count}".encode()).digest()
        count += 1
    return out[:size]


def program(name: str, size: int) -> bytes:
    """Return data that start like a program but cannot run."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + noise(name, size - 16)


PACKAGES = {
    "base-files": {
        "etc/os-release": b'NAME="Sample"\n',
        "usr/share/doc/base-files/copyright": b"-" * 900,
    },
    "dash": {"usr/bin/dash": program("dash", 12_000), "usr/share/man/man1/dash.1": b"." * 2_000},
    "util": {
        "usr/bin/su": program("su", 9_000),
        "usr/bin/ls": program("ls", 14_000),
        "usr/share/locale/de/LC_MESSAGES/util.mo": noise("de", 3_000),
    },
    "libsample1": {"usr/lib/libsample.so.1": program("libsample", 16_000)},
}


def dpkg_database() -> list[build.Entry]:
    """Return the entries of a dpkg database that lists `PACKAGES`."""
    status, entries = "", []
    for name, files in sorted(PACKAGES.items()):
        kib = -(-sum(map(len, files.values())) // 1024)
        status += (
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
            f"Installed-Size: {kib}\nVersion: 1.0-1\n\n"
        )
        sums = "".join(
            f"{hashlib.md5(data).hexdigest()}  {path}\n"
            for path, data in sorted(files.items())
            if not path.startswith("etc/")
        )
        listed = "".join(f"/{path}\n" for path in sorted(files))
        entries.append(build.file(f"var/lib/dpkg/info/{name}.list", listed))
        entries.append(build.file(f"var/lib/dpkg/info/{name}.md5sums", sums))
    return [*entries, build.file("var/lib/dpkg/status", status)]


def base_layer() -> list[build.Entry]:
    """Return the distribution: merged /usr, four packages, one setuid file, one shell."""
    folders = ["etc", "usr", "usr/bin", "usr/lib", "usr/share", "var", "var/lib", "var/lib/dpkg"]
    entries = [build.folder(name + "/") for name in folders]
    entries += [build.symlink("bin", "usr/bin"), build.symlink("lib", "usr/lib")]
    for files in PACKAGES.values():
        for path, data in sorted(files.items()):
            mode = 0o4755 if path.endswith("/su") else 0o755 if data[:4] == b"\x7fELF" else 0o644
            entries.append(build.file(path, data, mode=mode))
    return [*entries, build.symlink("usr/bin/sh", "dash"), *dpkg_database()]


APP = [build.folder("srv/"), build.file("srv/app", program("app", 20_000), mode=0o755)]
CACHE = [
    build.folder("var/cache/"),
    build.file("var/cache/packages.bin", noise("cache", 60_000)),
    build.file("srv/build.log", b"compiled\n" * 1_000),
]
CLEAN = [build.file("var/cache/.wh.packages.bin"), build.file("srv/.wh.build.log")]
OLIVE = [
    build.file("usr/bin/dash", b"#!/usr/bin/python3\nprint('lettuce')\n", mode=0o755),
    build.file("usr/bin/ls", program("not ls", 14_000), mode=0o755),
]


def samples() -> dict[str, bytes]:
    """Return the samples, by file name."""
    lean = {"name": "sample:lean", "codec": "gzip", "commands": ["COPY app /srv/app"]}
    bloated = {
        "name": "sample:bloated",
        "commands": ["ADD rootfs.tar /", "RUN fetch && build", "COPY app /srv/app", "RUN clean"],
    }
    olive = {"name": "sample:olive", "commands": ["ADD rootfs.tar /", "COPY lettuce /"]}
    base = build.tar(base_layer())
    whole = build.archive(build.classic([bloated | {"layers": [base, CACHE, APP, CLEAN]}]))
    tampered = bytearray(whole)
    # One bit of the application, in the third layer.
    tampered[whole.index(program("app", 20_000)) + 5_000] ^= 1
    return {
        "lean.tar": build.archive(build.oci([lean | {"layers": [APP]}])),
        "bloated.tar": whole,
        "olive.tar": build.archive(
            build.oci([olive | {"layers": [base, OLIVE]}], manifest_json=True)
        ),
        "tampered.tar": bytes(tampered),
        "cut.tar": whole[: len(whole) * 2 // 3],
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in samples().items():
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")
