"""Packages, ownership, olives and the summary, on databases of all four managers."""

import base64
import hashlib
import json
import time

import imagebuild as build
import make_samples
import pytest

from caveatlib import frames, images
from caveatlib.errors import ImageError
from caveatlib.images import categories, tables
from caveatlib.images.packages import read as read_databases

pytestmark = pytest.mark.beside


def image_of(*layers, **options) -> images.Image:
    data = build.archive(build.oci([{"name": "t:1", "layers": list(layers)}]))
    return images.read_stream([data], **options)


def apk(files: dict[str, bytes], *, size=4096) -> bytes:
    """Return an apk database of one package."""
    text = f"C:Q1abc=\nP:busybox\nV:1.36.1-r5\nA:x86_64\nS:100\nI:{size}\nL:GPL-2.0\n"
    for path, data in files.items():
        folder, _, name = path.rpartition("/")
        value = base64.b64encode(hashlib.sha1(data).digest()).decode()
        text += f"F:{folder}\nR:{name}\na:0:0:755\nZ:Q1{value}\n"
    return text.encode() + b"\n"


def dist_info(files: dict[str, bytes], root: str) -> list[build.Entry]:
    """Return a Python package with its dist-info."""

    def value(data: bytes) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")

    record = "".join(f"{path},sha256={value(data)},{len(data)}\n" for path, data in files.items())
    meta = b"Metadata-Version: 2.1\nName: thing\nVersion: 3.2\n\nName: not this one\n"
    return [
        *(build.file(f"{root}/{path}", data) for path, data in files.items()),
        build.file(f"{root}/thing-3.2.dist-info/METADATA", meta),
        build.file(f"{root}/thing-3.2.dist-info/RECORD", record + "thing-3.2.dist-info/RECORD,,\n"),
    ]


def test_apk():
    """An apk database gives name, version, size, files and correct hashes."""
    files = {"bin/busybox": b"\x7fELFbusybox", "etc/motd": b"hello"}
    layer = [build.file(name, data, mode=0o755) for name, data in files.items()]
    layer += [build.symlink("bin/sh", "/bin/busybox"), build.file("own", b"12345")]
    image = image_of([*layer, build.file("lib/apk/db/installed", apk(files))], olives=True)
    assert image.packages.to_dict("records") == [
        {"manager": "apk", "name": "busybox", "version": "1.36.1-r5", "installed_bytes": 4096,
         "layer": 0},
    ]  # fmt: skip
    assert image.olives.empty
    database = len(apk(files))
    assert image.summary["unowned_bytes"].item() == 5 + database
    changed = [build.file("bin/busybox", b"\x7fELFother"), build.file("etc/motd", b"mine")]
    image = image_of([*layer, build.file("lib/apk/db/installed", apk(files))], changed, olives=True)
    assert image.olives[["layer", "path", "package"]].values.tolist() == [
        [1, "/bin/busybox", "busybox"]
    ]


def test_python_and_npm():
    """dist-info and node_modules give packages, and what they own."""
    files = {"thing/__init__.py": b"x = 1\n", "thing/data.bin": b"\0" * 50}
    root = "usr/lib/python3/dist-packages"
    node = "srv/node_modules/@scope/left"
    layer = [
        *dist_info(files, root),
        build.file(f"{node}/package.json", json.dumps({"name": "@scope/left", "version": "1.0.0"})),
        build.file(f"{node}/index.js", b"a" * 30),
        build.file("srv/node_modules/bad/package.json", b'{"name": ["'),
        build.file("srv/own.js", b"b" * 7),
    ]
    image = image_of(layer, olives=True)
    table = image.packages.set_index("manager")
    assert table.loc["python", ["name", "version", "installed_bytes"]].tolist() == [
        "thing", "3.2", 56,
    ]  # fmt: skip
    assert table.loc["npm", ["name", "version"]].tolist() == ["@scope/left", "1.0.0"]
    assert image.olives.empty
    meta = sum(len(e.data) for e in layer if str(e.name).endswith("METADATA"))
    bad = sum(len(e.data) for e in layer if "bad" in str(e.name))
    assert image.summary["unowned_bytes"].item() == 7 + meta + bad
    changed = image_of(layer, [build.file(f"{root}/thing/data.bin", b"\1" * 50)], olives=True)
    assert changed.olives["path"].tolist() == [f"/{root}/thing/data.bin"]


def test_distroless():
    """Packages of a distroless image are listed in status.d, with md5sums beside them."""
    program = b"\x7fELFssl"
    entries = [
        build.file("var/lib/dpkg/status.d/libssl3", "Package: libssl3\nVersion: 3.0\n"),
        build.file(
            "var/lib/dpkg/status.d/libssl3.md5sums",
            f"{hashlib.md5(program).hexdigest()}  usr/lib/libssl.so.3\n",
        ),
        build.file("usr/lib/libssl.so.3", program),
    ]
    image = image_of(entries, olives=True)
    assert image.packages["name"].tolist() == ["libssl3"]
    assert image.olives.empty
    entries[-1] = build.file("usr/lib/libssl.so.3", b"other")
    assert image_of(entries, olives=True).olives["package"].tolist() == ["libssl3"]


def test_dpkg_details():
    """Removed packages, conffiles, diversions behind merged /usr, and deleted documentation."""
    shell, rc = b"\x7fELFdash", b"PS1=1\n"

    def md5(data):
        return hashlib.md5(data).hexdigest()

    status = (
        "Package: dash\nStatus: install ok installed\nInstalled-Size: 3\nVersion: 1\n"
        f"Conffiles:\n /etc/dashrc {md5(rc)}\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    )
    sums = f"{md5(shell)}  bin/dash\n{md5(rc)}  etc/dashrc\n{md5(b'doc')}  usr/share/doc/dash/x\n"
    base = [
        build.symlink("bin", "usr/bin"),
        build.file("usr/bin/dash", shell, mode=0o755),
        build.symlink("usr/bin/sh", "dash"),
        build.file("etc/dashrc", b"changed"),
        build.file("var/lib/dpkg/status", status),
        build.file("var/lib/dpkg/info/dash.list", "/.\n/bin\n/bin/dash\n/etc/dashrc\n"),
        build.file("var/lib/dpkg/info/dash.md5sums", sums),
    ]
    image = image_of(base, olives=True)
    assert image.packages[["name", "installed_bytes"]].values.tolist() == [["dash", 3072]]
    assert image.olives.empty
    owned = {"/usr/bin/dash", "/etc/dashrc"}
    sizes = image.files.set_index("path")["size_bytes"]
    expected = sizes[[path for path in sizes.index if path not in owned]].sum()
    assert image.summary["unowned_bytes"].item() == expected
    worse = image_of(base, [build.file("usr/bin/dash", b"#!/bin/x", mode=0o755)], olives=True)
    assert worse.olives["package"].tolist() == ["", "dash"]
    assert worse.olives["path"].tolist() == ["/usr/bin/dash"] * 2


def test_layer_of_a_package():
    """A package's layer is the lowest one from which on its version is listed."""

    def status(**packages):
        return [
            build.file(
                "var/lib/dpkg/status",
                "".join(f"Package: {n}\nVersion: {v}\n\n" for n, v in packages.items()),
            )
        ]

    image = image_of(
        status(a="1", b="1"), [build.file("x")], status(a="1", b="2"), status(a="1", b="2", c="1")
    )
    assert image.packages.set_index("name")["layer"].to_dict() == {"a": 0, "b": 2, "c": 3}


def test_olive_behind_links_and_hard_links():
    """/bin/sh is followed through all kinds of links; a loop or dangling link is not an olive."""
    script = build.file("opt/real", b"#!/usr/bin/python3\n", mode=0o755)
    layers = [script, build.hardlink("opt/hard", "opt/real"), build.symlink("opt/l", "hard")]
    image = image_of([*layers, build.symlink("bin/sh", "../opt/l")])
    assert image.olives["path"].tolist() == ["/opt/real"]
    # The first name is deleted later, its content lives on.
    image = image_of([*layers, build.symlink("bin/sh", "../opt/l")], [build.file("opt/.wh.real")])
    assert image.olives["path"].tolist() == ["/opt/real"]
    assert image_of([build.symlink("bin/sh", "sh")]).olives.empty
    assert image_of([build.symlink("bin/sh", "nowhere")]).olives.empty
    for count, found in ((40, 1), (41, 0)):  # as many as Linux follows, and one more
        links = [build.symlink(f"bin/l{n}", f"l{n + 1}") for n in range(1, count)]
        script = build.file(f"bin/l{count}", b"#!/usr/bin/python3")
        assert len(image_of([build.symlink("bin/sh", "l1"), *links, script]).olives) == found
    elf = build.file("bin/sh", make_samples.program("sh", 100), mode=0o755)
    assert image_of([elf]).olives.empty


def test_olives_with_long_names_before():
    """Hashes belong to the right rows after extended headers."""
    data = b"\x7fELF1"
    entries = [
        build.file("n" * 150, b"1"),
        build.file("m" * 150, b"2"),
        build.file("bin/busybox", data, mode=0o755),
        build.file("lib/apk/db/installed", apk({"bin/busybox": data})),
    ]
    assert image_of(entries, olives=True).olives.empty


@pytest.mark.parametrize("folder", ["var/lib/dpkg/status.d", "var/lib/dpkg"])
def test_a_list_of_files_is_read_once(folder):
    """However often a package is named: else two small files of a database fill any memory."""
    distroless = folder.endswith(".d")
    status = f"{folder}/{'x' if distroless else 'status'}"
    listed = f"{status}.md5sums" if distroless else "var/lib/dpkg/info/x.md5sums"
    sums = "".join(f"{n:032x}  f{n}\n" for n in range(1000))
    databases = {f"/{status}": b"Package: x\n\n" * 1000, f"/{listed}": sums.encode()}
    found = read_databases(databases)
    assert len(found) == 1000
    assert sum(len(package.files) for package in found) == 1000
    assert len(found[0].hashes) == 1000


def test_many_hard_links_and_many_roots_take_linear_time():
    """Each link and each package is found at once, not by going through all entries."""

    def seconds(count: int) -> float:
        links = [build.hardlink(f"d/l{n}", "d/f") for n in range(count)]
        wrong = "".join(f"{'0' * 32}  d/l{n}\n" for n in range(count))
        layer = [
            build.file("d/f", b"x"),
            *links,
            build.file("var/lib/dpkg/status", "Package: p\nVersion: 1\n"),
            build.file("var/lib/dpkg/info/p.md5sums", wrong),
            *(build.file(f"node_modules/p{n}/package.json", '{"name": "p"}') for n in range(count)),
        ]
        image = image_of(layer, olives=True)
        start = time.process_time()
        assert len(image.olives) == count
        assert len(image.secrets) == 0
        return (time.process_time() - start) / count

    seconds(100)
    few, many = (min(seconds(count) for _ in range(2)) for count in (2000, 16_000))
    assert many < 4 * few  # eight times, if each went through all


def test_a_database_whose_name_is_split():
    """The folder in the prefix of ustar, the file in the name: as one of them all the same."""
    data = b"Package: base\nVersion: 1\n"
    head = build.header(b"base", size=len(data), fields={345: b"var/lib/dpkg/status.d"})
    image = image_of([head + build.padded(data)])
    assert image.packages["name"].tolist() == ["base"]


def test_links_of_links_do_not_explode():
    """Links to paths of links, forty levels deep, are followed forty times, not 2^40 times."""
    entries = [build.symlink(f"d/l{n}", f"l{n + 1}/l{n + 1}") for n in range(39)]
    entries += [build.folder("d"), build.symlink("d/l39", ".")]
    entries += [build.file("var/lib/dpkg/status", "Package: p\nVersion: 1\n")]
    entries += [build.file("var/lib/dpkg/info/p.list", "/d/l0/x\n")]
    assert len(image_of([*entries, build.symlink("bin/sh", "/d/l0/sh")]).summary) == 1


def test_deep_paths_do_not_exhaust_the_stack():
    """Every table handles a path of two thousand folders."""
    deep = "a/" * 2000 + "f"
    entries = [
        build.file(deep, b"x"),
        build.file("var/lib/dpkg/status", "Package: p\nVersion: 1\n"),
        build.file("var/lib/dpkg/info/p.list", f"/{deep}\n"),
    ]
    image = image_of(entries, [build.file("a/.wh.a")])
    assert image.summary["packages"].item() == 1
    assert image.files["hidden_by"].fillna(-1).tolist()[0] == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 50, b"\xff\xfe" * 40, b":::\n\n:\n", b"Package:\n", b" \n \n",
     b"P:\nF:\nR:\nZ:\n",
     b"P:x\nR:y\nZ:Q1!!!\nI:99999999999999999999\n", b'"a,b\n"c', b"a,sha256=,x\n" * 3, b"[" * 5000,
     b"Package: x\nInstalled-Size: -5\nConffiles:\n x\n"],
)  # fmt: skip
@pytest.mark.parametrize(
    "path",
    ["/var/lib/dpkg/status", "/var/lib/dpkg/status.d/x", "/lib/apk/db/installed",
     "/a/x.dist-info/METADATA", "/a/x.dist-info/RECORD", "/node_modules/x/package.json"],
)  # fmt: skip
def test_malformed_databases(path, data):
    """A malformed database gives no packages, or odd ones, but never an error."""
    good = b"Name: x\nVersion: 1\n"
    databases = {"/a/x.dist-info/METADATA": good} | {path: data}
    for package in read_databases(databases):
        assert package.name.isprintable()


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_databases(more):
    """The bytes of all databases together are limited."""
    entries = [build.file("var/lib/dpkg/info/a.list", b"x" * 100)]
    entries += [build.file("var/lib/dpkg/info/b.list", b"x" * (100 + more))]
    limits = images.Limits(database_bytes=200)
    if more > 0:
        with pytest.raises(ImageError, match="Must be at most 200"):
            image_of(entries, limits=limits)
    else:
        image_of(entries, limits=limits)


@pytest.mark.parametrize(
    ("entry", "category"),
    [
        (build.file("bin/bash"), "shell"),
        (build.symlink("usr/bin/sh", "dash"), "shell"),
        (build.file("usr/share/bash"), "other"),
        (build.file("usr/bin/apt-get"), "package manager"),
        (build.file("usr/local/bin/python3.13", mode=0o755), "interpreter"),
        (build.file("usr/bin/perl5.40.1", mode=0o755), "interpreter"),
        (build.file("usr/bin/ls", mode=0o755), "executable"),
        (build.file("usr/bin/readme"), "other"),
        (build.file("usr/bin/sub/bash"), "other"),
        (build.file("usr/lib/x86_64-linux-gnu/libc.so.6"), "library"),
        (build.file("usr/lib/a.so/readme"), "other"),
        (build.file("usr/share/doc/x/copyright"), "documentation"),
        (build.file("usr/share/docs/x"), "other"),
        (build.file("usr/share/man/man1/x.1.gz"), "man page"),
        (build.file("usr/share/locale/de/x.mo"), "locale"),
        (build.file("var/cache/apt/x.deb"), "cache"),
        (build.file("opt/app/__pycache__/x.pyc"), "cache"),
        (build.file("etc/passwd"), "configuration"),
        (build.file("var/lib/dpkg/status"), "package database"),
        (build.folder("usr/share/doc"), "other"),
    ],
)
def test_categories(entry, category):
    """Each kind of file falls into its category, whether its folders are listed or not."""
    path = "/" + str(entry.name)
    for before in ([], [build.folder("usr"), build.folder("usr/bin"), build.folder("etc")]):
        table = image_of([*before, entry]).files.set_index("path")
        assert table.loc[path, "category"] == category


def test_every_category_is_used():
    """Every category in the list can occur."""
    known = {tables.CATEGORIES[n] for n in (categories._EXECUTABLE, categories._LIBRARY)}
    known |= set(categories._AREAS) | {"cache", "other"}
    known |= {tables.CATEGORIES[n] for n in categories._PROGRAMS.values()}
    assert known == set(tables.CATEGORIES)


def test_summary_of_the_bloated_sample():
    """The summary of bloated.tar is exact."""
    image = images.read(make_samples.FOLDER / "bloated.tar")
    row = image.summary.iloc[0]
    assert row["image"] == "sample:bloated"
    assert row["platform"] == "linux/amd64"
    numbers = [
        "layers",
        "size_bytes",
        "visible_bytes",
        "wasted_bytes",
        "executables",
        "setuid_files",
        "setgid_files",
        "shells",
        "packages",
        "unowned_bytes",
        "olives",
    ]
    assert row[numbers].tolist() == [4, 146896, 77896, 69000, 5, 1, 0, 2, 4, 20982, 0]
    assert row["efficiency"] == pytest.approx(1 - 69000 / 146896)
    assert row["extras_share"] == pytest.approx(5900 / 77896)


def test_empty_image_has_all_tables():
    """An image without layers, and one with an empty layer, give every table."""
    for image in (image_of(), image_of([])):
        assert image.summary["efficiency"].item() == 1
        for name in ("layers", "files", "packages", "olives", "summary"):
            frame = getattr(image, name)
            model = getattr(tables, name.capitalize())
            assert list(frame.columns) == list(frames.columns(model))
