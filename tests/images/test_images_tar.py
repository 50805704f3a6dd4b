"""The tar header reader, against tarfile where that is safe, and against hostile headers.

Seen to fail: with checksums of headers not compared, and with data after the end allowed.
"""

import io
import os
import random
import struct
import tarfile
import time

import imagebuild as build
import numpy as np
import pytest

from caveatlib.errors import ImageError
from caveatlib.images import names, refills, tar
from caveatlib.images.limits import Budget, Limits

pytestmark = pytest.mark.beside


def entries_of(data: bytes, *, limits=None, chunk=None, **options):
    """Walk an archive as a file, or as a stream of chunks; return the walk."""
    budget = Budget(limits or Limits())
    if chunk is None:
        refill = refills.FromFile(lambda size, offset: data[offset : offset + size], len(data))
    else:
        refill = refills.from_chunks(data[i : i + chunk] for i in range(0, len(data), chunk))
    return tar.Walk(refill, budget=budget, **options).run()


def random_names(seed: int, count: int) -> list[str]:
    """Return odd names: long, non-UTF-8, with control characters and percent signs."""
    rng = random.Random(seed)
    odd = ["\n", "\x1b[31m", "\u202e", "%", "é", "\udcff", " ", "ab", "x..", "日"]
    out = set()
    while len(out) < count:
        length = rng.choice([1, 5, 30, 99, 100, 101, 150, 300])
        name = "".join(rng.choice(odd) for _ in range(length))[:length].strip()
        if name.encode("utf-8", "surrogateescape")[:1]:
            out.add("d/n" + name)
    return sorted(out)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("chunk", [None, 100, 512, 700, 100_000])
def test_same_as_tarfile(style, chunk):
    """Every column equals tarfile's, for odd names in all three formats, in any chunking."""
    buffer = io.BytesIO()
    rng = random.Random(7)
    with tarfile.open(fileobj=buffer, mode="w", format=style, errors="surrogateescape") as archive:
        for number, name in enumerate(random_names(1, 80)):
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid = rng.randrange(0o10000), rng.randrange(1 << 20), number
            kind = rng.choice([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
            info.type = kind
            data = b""
            if kind == tarfile.REGTYPE:
                data = bytes(rng.randrange(3000))
                info.size = len(data)
            elif kind != tarfile.DIRTYPE:
                info.linkname = rng.choice(random_names(2, 20))
            try:
                archive.addfile(info, io.BytesIO(data))
            except ValueError:
                assert style == tarfile.USTAR_FORMAT
    walk = entries_of(buffer.getvalue(), chunk=chunk)
    found = walk.entries()
    buffer.seek(0)
    with tarfile.open(fileobj=buffer, errors="surrogateescape") as archive:
        expected = archive.getmembers()
    assert walk.complete
    assert len(found) == len(expected) > 20
    for row, info in enumerate(expected):
        assert names.unescape(found.paths[row]) == b"/" + os.fsencode(info.name)
        kinds = (found.kinds[row], found.modes[row], found.uids[row], found.gids[row])
        assert kinds == (info.type[0], info.mode, info.uid, info.gid)
        assert found.sizes[row] == info.size
        assert names.unescape(found.links.get(row, "")) == os.fsencode(info.linkname)


@pytest.mark.parametrize(
    ("uid", "size"), [(8**7, 10), (-2, 10), (1 << 40, 10), (5, 0), (-(1 << 31), 512)]
)
def test_base_256_numbers(uid, size):
    """Numbers in base 256 are read, with their sign."""
    head = build.header(b"f", size=size, uid=uid)
    found = entries_of(head + build.padded(bytes(size)) + bytes(1024)).entries()
    assert (found.uids[0], found.sizes[0]) == (uid, size)


def test_base_256_size_is_used():
    """A size in base 256 leads to the next header."""
    field = b"\x80" + (700).to_bytes(11, "big")
    head = build.header(b"f", fields={124: field})
    found = entries_of(head + build.padded(bytes(700)) + build.header(b"g") + bytes(1024))
    assert found.entries().sizes.tolist() == [700, 0]


def test_signed_checksum_is_accepted():
    """Old writers added signed bytes."""
    block = bytearray(build.header("é" * 20))
    total = sum(b - 256 if b > 127 else b for b in block[:148] + block[156:]) + 256
    block[148:156] = b"%06o\0 " % total
    assert len(entries_of(bytes(block) + bytes(1024)).entries()) == 1


def test_gnu_sparse_and_long_names():
    """GNU tar's own sparse files and long names read as bsdtar and GNU tar list them."""
    sparse = build.header(
        b"s",
        size=1024,
        flag=b"S",
        fields={
            257: b"ustar  \0",
            386: build.octal(0, 12)
            + build.octal(512, 12)
            + build.octal(99_488, 12)
            + build.octal(512, 12),
            483: build.octal(100_000, 12),
        },
    )
    long = build.header(b"././@LongLink", size=201, flag=b"L") + build.padded(b"n" * 200 + b"\0")
    data = sparse + bytes(1024) + long + build.header(b"short", size=3) + build.padded(b"abc")
    found = entries_of(data + bytes(1024)).entries()
    assert found.paths == ["/s", "/" + "n" * 200]
    assert found.sizes.tolist() == [100_000, 3]


@pytest.mark.parametrize("size", ["1.0", "0.1", "0.0"])
def test_pax_sparse(size, tmp_path, require):
    """PAX sparse files of GNU tar, in all three versions, have their name and real size."""
    require("tar")
    import subprocess

    with (tmp_path / "holes").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"end")
    command = ["tar", "cSf", "a.tar", "--format=pax", f"--sparse-version={size}", "holes"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=30)
    data = (tmp_path / "a.tar").read_bytes()
    assert len(data) < 100_000
    found = entries_of(data).entries()
    assert (found.paths, found.sizes.tolist()) == (["/holes"], [3_000_003])


def corrupt_pax(body: bytes) -> bytes:
    return build.pax_header({}, raw=body) + build.header(b"f")


HOSTILE = {
    "negative size": build.header(b"f", fields={124: b"\xff" * 12}),
    "negative octal size": build.header(b"f", fields={124: b"-0000001000\0"}),
    "underscore in size": build.header(b"f", fields={124: b"0000001_000\0"}),
    "size beyond the archive": build.header(b"f", fields={124: b"77777777777\0"}),
    "size beyond 64 bits": build.header(b"f", fields={124: b"\x80" + b"\xff" * 11}),
    "letters as uid": build.header(b"f", fields={108: b"abcdefg\0"}),
    "unknown type": build.header(b"f", flag=b"Z"),
    "no checksum": build.header(b"f")[:148] + bytes(8) + build.header(b"f")[156:],
    "PAX without newline": corrupt_pax(b"12 path=abcde"),
    "PAX without newline at its end": corrupt_pax(b"13 path=abcde"),
    "PAX length zero": corrupt_pax(b"0 path=a\n"),
    "PAX length beyond": corrupt_pax(b"99 path=a\n"),
    "PAX length signed": corrupt_pax(b"-9 path=a\n"),
    "PAX length huge": corrupt_pax(b"9" * 4000 + b" path=a\n"),
    "PAX without equals": corrupt_pax(b"7 path\n"),
    "PAX with NUL in path": corrupt_pax(build.pax_record("path", "a\0b")),
    "PAX with negative size": corrupt_pax(build.pax_record("size", "-1")),
    "PAX with size of letters": corrupt_pax(build.pax_record("size", "1e3")),
    "PAX with huge size": corrupt_pax(build.pax_record("size", "9" * 19)),
    "global PAX with size": build.pax_header({"size": "10"}, flag=b"g") + build.header(b"f"),
    "nothing after PAX": build.pax_header({"path": "a"}),
    "nine PAX headers": build.pax_header({"path": "a"}) * 9 + build.header(b"f"),
    "extended header of 2 MiB": build.header(b"x", size=1 << 21, flag=b"x") + bytes(1 << 21),
    "sparse claims 8 GiB": build.pax_header(
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 33)}
    )
    + build.header(b"f"),
    "sparse real size negative": build.header(b"f", flag=b"S", fields={483: b"\xff" * 12}),
    "sparse map does not add up": build.header(
        b"f", size=0, flag=b"S", fields={386: build.octal(0, 12) + build.octal(512, 12)}
    ),
    "sparse map without end": build.header(b"f", flag=b"S", fields={482: b"\x01"})
    + (bytes(504) + b"\x01" + bytes(7)) * 2100,
    "lone zero block": build.header(b"f") + bytes(512) + build.header(b"g"),
    "name of 5000 bytes": build.pax_header({"path": "a" * 5000}) + build.header(b"f"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("chunk", [None, 1000])
def test_hostile_headers(name, chunk):
    """Each hostile header ends at once in an ImageError."""
    start = time.process_time()
    with pytest.raises(ImageError):
        entries_of(HOSTILE[name] + bytes(1024), chunk=chunk)
    assert time.process_time() - start < 2


def long_name(name: bytes) -> bytes:
    size = len(name) + 1
    return build.header(b"././@LongLink", size=size, flag=b"L") + build.padded(name + b"\0")


SPARSE_NAME = build.pax_header(
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse", "path": "pax"}
)
AMBIGUOUS = {
    "two PAX headers": (build.pax_header({"path": "a"}) + build.pax_header({"mtime": "1"}), "/f"),
    "GNU before PAX": (long_name(b"gnu") + build.pax_header({"path": "pax"}), "/gnu"),
    "GNU after PAX": (build.pax_header({"path": "pax"}) + long_name(b"gnu"), "/gnu"),
    "GNU without a name": (build.pax_header({"path": "pax"}) + long_name(b""), "/pax"),
    "global header between": (
        build.pax_header({"path": "pax"}) + build.pax_header({"comment": "x"}, flag=b"g"),
        "/f",
    ),
    "name of a sparse file that is none": (build.pax_header({"GNU.sparse.name": "s"}), "/f"),
    "sparse file of an unknown version": (
        build.pax_header({"GNU.sparse.major": "2", "GNU.sparse.name": "s"}),
        "/f",
    ),
    "name of a sparse file": (long_name(b"gnu") + SPARSE_NAME, "/sparse"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.parametrize("chunk", [None, 700])
def test_names_that_are_stated_twice(name, chunk):
    """The one counts that engines unpack: a file must not show by another name than it gets."""
    stated, path = AMBIGUOUS[name]
    data = stated + build.header(b"f") + build.header(b"next") + bytes(1024)
    assert entries_of(data, chunk=chunk).entries().paths == [path, "/next"]


def test_a_size_that_no_sparse_file_has_is_ignored():
    """As Go's archive/tar does: the file has what is stored."""
    stated = build.pax_header({"GNU.sparse.realsize": "1000"})
    data = stated + build.header(b"f", size=3) + build.padded(b"abc") + bytes(1024)
    assert entries_of(data).entries().sizes.tolist() == [3]


@pytest.mark.timed
def test_pax_header_of_a_mebibyte_takes_linear_time():
    """Time per byte of PAX headers does not grow with their length (tarfile's does)."""

    def seconds(size: int) -> float:
        data = corrupt_pax(build.pax_record("comment", "1 " * (size // 2))) + bytes(1024)
        start = time.process_time()
        for _ in range(20):
            entries_of(data)
        return (time.process_time() - start) / size

    seconds(1000)
    assert seconds(800_000) < 5 * seconds(20_000)


def test_200_header_corruptions_are_noticed(bars):
    """A changed byte anywhere in any header is an error (seeded)."""
    rng = random.Random(4)
    items = [build.file(f"f{n}", bytes(rng.randrange(2000))) for n in range(30)]
    data = build.tar(items)
    starts, at = [], 0
    for item in items:
        starts.append(at)
        at += 512 + (len(item.data) + 511) // 512 * 512
    for _ in range(200):
        changed = bytearray(data)
        place = rng.choice(starts) + rng.randrange(512)
        # 148..155 is the checksum itself: NUL and space mean the same there.
        value = rng.choice([v for v in range(1, 255) if v not in (0, 32, changed[place])])
        changed[place] = value
        with pytest.raises(ImageError):
            entries_of(bytes(changed))
    bars.append(("image: header corruptions noticed", "200 of 200", "200"))


def test_one_zero_block_is_not_the_end():
    """An archive that ends in one block of zeros only does not count as complete."""
    assert not entries_of(build.tar([build.file("f")], end=bytes(512))).complete
    assert entries_of(build.tar([build.file("f")])).complete


def test_200_cuts_are_noticed(bars):
    """A cut anywhere is an error or shows as missing end-of-archive blocks (seeded)."""
    rng = random.Random(5)
    data = build.tar([build.file(f"f{n}", bytes(rng.randrange(2000))) for n in range(30)])
    for chunk in (None, 777):
        for size in rng.sample(range(len(data)), 100):
            try:
                complete = entries_of(data[:size], chunk=chunk).complete
            except ImageError:
                continue
            assert not complete, size
    bars.append(("image: cut layers noticed", "200 of 200", "200"))


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_extended_headers(more):
    """PAX headers and GNU names are read up to the limit, not beyond."""
    limits = Limits(header_bytes=3000)
    body = build.pax_record("comment", "x" * 5000)
    body = build.pax_record("comment", "x" * (5000 - (len(body) - 3000 - more)))
    assert len(body) == 3000 + more
    pax = corrupt_pax(body)
    gnu = build.header(b"L", size=3000 + more, flag=b"L") + build.padded(
        (b"n" * 50).ljust(3000 + more, b"\0")
    )
    for data in (pax, gnu + build.header(b"f")):
        if more > 0:
            with pytest.raises(ImageError, match="Must be at most 3000"):
                entries_of(data + bytes(1024), limits=limits)
        else:
            assert len(entries_of(data + bytes(1024), limits=limits).entries()) == 1


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limit_of_sparse_maps(more):
    """The blocks of an old GNU sparse map are read up to the limit, not beyond."""
    count = 4 + more
    blocks = b"".join(
        bytes(504) + (b"\x01" if n < count - 1 else b"\0") + bytes(7) for n in range(count)
    )
    head = build.header(b"f", flag=b"S", fields={482: b"\x01", 483: build.octal(0, 12)})
    limits = Limits(header_bytes=4 * 512)
    if more > 0:
        with pytest.raises(ImageError, match="over 2048"):
            entries_of(head + blocks + bytes(1024), limits=limits)
    else:
        assert len(entries_of(head + blocks + bytes(1024), limits=limits).entries()) == 1


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_limits_of_entries_and_names(more):
    """The entries, the bytes of one name and those of all names are limited."""
    data = build.tar([build.file(f"{n:04}") for n in range(50 + more)])
    for limits in (Limits(entries=50), Limits(names_bytes=200)):
        if more > 0:
            with pytest.raises(ImageError, match="Must be at most"):
                entries_of(data, limits=limits)
        else:
            assert len(entries_of(data, limits=limits).entries()) == 50 + more
    name = build.tar([build.file("n" * (300 + more))])
    if more > 0:
        with pytest.raises(ImageError, match="Must be at most 300"):
            entries_of(name, limits=Limits(name_bytes=300))
    else:
        assert len(entries_of(name, limits=Limits(name_bytes=300)).entries()) == 1


def test_real_limits_are_those_of_the_trusted_readers():
    """The limits that are promised are the defaults."""
    limits = Limits()
    assert limits.document_bytes == 4 << 20
    assert limits.manifest_json_bytes == limits.header_bytes == 1 << 20
    assert limits.zstd_window_log == 27
    assert limits.entries == 2_000_000
    assert limits.output_ratio == 250


def test_names_survive_as_bytes():
    """Escaping is lossless, printable and normalises without leaving the root."""
    rng = random.Random(3)
    for _ in range(500):
        raw = bytes(rng.randrange(1, 256) for _ in range(rng.randrange(30)))
        text = names.escape(raw)
        assert text.isprintable()
        assert names.unescape(text) == raw
    assert names.escape("100%") == "100%25"
    assert names.escape("a\u202eb\n%") == "a%E2%80%AEb%0A%25"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"./", "/"), (b"./a", "/a"), (b"/a", "/a"), (b"a/", "/a"), (b"a//b", "/a/b"),
        (b"../../etc/passwd", "/etc/passwd"), (b"a/../../b", "/b"), (b"a/./b", "/a/b"),
        (b"..", "/"), (b".", "/"), (b"", "/"), (b"a/..", "/"), (b"...", "/..."), (b".a", "/.a"),
        (b"a/.b/", "/a/.b"),
    ],
)  # fmt: skip
def test_paths_are_normalised(raw, path):
    """The bulk form and the plain form agree, alone and among others."""
    assert names.paths([raw]) == [path]
    assert names.paths([b"x", raw, b"y/"]) == ["/x", path, "/y"]
    assert names.normalise(names.escape(raw)) == path


def test_old_v7_folder_and_header_only_types():
    """A v7 folder is a name with a slash; links and folders have no data, whatever their size."""
    data = (
        build.header(b"old/", flag=b"\0", fields={257: bytes(8)})
        + build.header(b"old/f", size=5, flag=b"\0", fields={257: bytes(8)})
        + build.padded(b"12345")
        + build.header(b"link", size=5, flag=b"1", link=b"old/f")
        + build.header(b"dir", size=700, flag=b"5")
        + build.header(b"dev", flag=b"3")
    )
    found = entries_of(data + bytes(1024)).entries()
    assert found.paths == ["/old", "/old/f", "/link", "/dir", "/dev"]
    assert [tar.KINDS[k] for k in found.kinds] == [
        "directory", "file", "hard link", "directory", "char device",
    ]  # fmt: skip
    assert found.sizes.tolist() == [0, 5, 0, 0, 0]


def test_members_come_with_their_data():
    """Wanted members yield their own bytes, also after extended headers and in small chunks."""
    files = {f"d/{'n' * (n * 30)}{n}": struct.pack(">I", n) * (n * 40) for n in range(1, 10)}
    data = build.tar([build.file(name, content) for name, content in files.items()])
    for chunk in (100, 5000):
        refill = refills.from_chunks(data[i : i + chunk] for i in range(0, len(data), chunk))
        walk = tar.Walk(refill, budget=Budget(), want=lambda name: True)
        found = {}
        for row, member in enumerate(walk):
            assert member.row == row
            assert data[member.offset : member.offset + 4] == files[member.name.decode()][:4]
            found[member.name.decode()] = b"".join(walk.content())
        assert found == files
        assert walk.entries().sizes.tolist() == [len(c) for c in files.values()]


def test_first_bytes_are_kept():
    """The first four bytes of files are kept, wherever the chunks are cut."""
    data = build.tar([build.file("a", b"\x7fELF" * 200), build.folder("d"), build.file("b", b"#!")])
    for chunk in range(500, 530):
        heads = entries_of(data, chunk=chunk, heads=True).entries().heads
        assert heads.tolist() == [b"\x7fELF", b"", b"#!"], chunk


def test_batches_do_not_matter(monkeypatch):
    """Batches of three headers give the same columns as large ones."""
    items = [build.file("x" * (n * 7 + 1), bytes(n), uid=n) for n in range(40)]
    items += [build.symlink(f"l{n}", "t" * (n * 20)) for n in range(10)]
    data = build.tar(items)
    whole = entries_of(data).entries()
    monkeypatch.setattr(tar, "BATCH", 3)
    for chunk in (None, 600):
        small = entries_of(data, chunk=chunk).entries()
        assert (small.paths, small.links) == (whole.paths, whole.links)
        assert np.array_equal(small.sizes, whole.sizes)
        assert np.array_equal(small.uids, whole.uids)
