"""Damaged images: flipped bits, cuts, and mutants of every kind.

Seen to fail: with digests never compared.
"""

import io
import json
import random
import re
import time

import imagebuild as build
import pytest
from little_image import IMAGE, LOWER, UPPER, from_bytes

from caveatlib import frames, images
from caveatlib.errors import CaveatError, ImageError
from caveatlib.images import tables

pytestmark = pytest.mark.beside

MUTANT_S = 2
"""Seconds of processor time that any image may take."""


def test_300_bit_flips_are_found_by_digest(bars):
    """Single bits flipped in manifest, config or layers are all found, by digest (seeded)."""
    rng = random.Random(6)
    files = build.oci([IMAGE | {"codec": "gzip"}])
    plain = build.oci([IMAGE])
    blobs = [(files, name) for name in files if name.startswith("blobs/")]
    blobs += [(plain, name) for name in plain if name.startswith("blobs/")]
    for number in range(300):
        source, name = blobs[number % len(blobs)]
        changed = bytearray(source[name])
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        with pytest.raises(ImageError, match=r"has the digest sha256:\w+\. Must be sha256:"):
            from_bytes(build.archive(source | {name: bytes(changed)}))
    bars.append(("image: single-bit flips found by digest", "300 of 300", "300"))


def test_200_cuts_are_noticed(bars):
    """An archive cut anywhere is an ImageError, from file and from stream (seeded)."""
    rng = random.Random(8)
    for data in (build.archive(build.oci([IMAGE])), build.archive(build.classic([IMAGE]))):
        for size in rng.sample(range(1, len(data)), 100):
            with pytest.raises(ImageError):
                from_bytes(data[:size])
            with pytest.raises(ImageError):
                images.read_stream(io.BytesIO(data[:size]))
    bars.append(("image: cut archives noticed", "200 of 200", "200"))


def unchecked() -> dict[str, bytes]:
    """Return a classic archive whose config has no diff_ids, so that no digest is checked."""
    status = b"Package: p\nStatus: install ok installed\nVersion: 1\nInstalled-Size: 7\n"
    lower = [
        *LOWER[:2],
        build.file("var/lib/dpkg/status", status),
        build.file("bin/dash", b"#!", mode=0o4755),
        build.symlink("bin/sh", "dash"),
        build.hardlink("a/g", "a/f"),
        build.file("n" * 101),
    ]
    files = build.classic([{"name": "m:1", "layers": [lower, UPPER[:1]]}])
    item = json.loads(files["manifest.json"])[0] | {"Config": "c.json"}
    return files | {"c.json": b"{}", "manifest.json": build.dumps([item])}


HEADER = re.compile(rb"(?s)(?=.{257}ustar)")
TELLING = (*range(8), *range(100, 116), *range(124, 136), 156, *range(157, 165), 257, 345)
"""Where a header has its name, mode, owner, size, type, link, magic and prefix."""


def mutants(seed: int, count: int):
    """Yield mutated archives: bytes changed, removed, doubled, or replaced by odd ones."""
    rng = random.Random(seed)
    oci = build.oci([{"layers": [LOWER[:2], UPPER[:1]]}], manifest_json=True)
    packed = build.oci([{"layers": [LOWER[1:2]], "codec": "gzip"}])
    bases = [
        build.archive(oci),
        build.archive(packed),
        build.archive(build.classic([{"name": "m:1", "layers": [LOWER[1:2]]}])),
    ]
    # Only these give other frames when changed, which take most of the time.
    bases += [*bases, build.archive(unchecked())]
    odd = [b"\xff", b"\0", b"-", b"null", b"9" * 12, b"\x80" + bytes(11), b"../", b'"', b"[{"]
    for _ in range(count):
        data = bytearray(rng.choice(bases))
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(data))
            kind = rng.randrange(5)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                piece = rng.choice(odd)
                data[at : at + len(piece)] = piece
            elif kind == 2:
                del data[at : at + rng.choice([1, 512, 700])]
            elif kind == 3:
                data[at:at] = data[at : at + rng.choice([1, 512, 1024])]
            else:
                # A header that is wrong behind a checksum that is right.
                start = rng.choice([m.start() for m in HEADER.finditer(data)] or [0])
                block = bytearray(data[start : start + 512])
                if len(block) == 512:
                    place = rng.choice([rng.randrange(512), *TELLING])
                    block[place] = rng.choice([rng.randrange(256), *b"01234567"])
                    data[start : start + 512] = build.sealed(bytes(block))
            if not data:
                break
        yield bytes(data)


def try_mutants(seed: int, count: int, bars) -> int:
    """Read mutants from file and stream, and make the tables of those that are still images.

    The tables depend only on the names and digests in `key`, so they are made
    once for all mutants that share them. Return how many were read.
    """
    good, texts, keys, worst = 0, set(), set(), 0.0
    for number, data in enumerate(mutants(seed, count)):
        start = time.process_time()
        try:
            image = images.read_stream([data]) if number % 2 else from_bytes(data)
            good += 1
            scans = tuple((s.digest, s.diff_id, s.codec, s.compressed_bytes) for s in image.scans)
            key = (image.name, image.digest, image.platform, image.created_by, image.media_types,
                   image.verified, scans)  # fmt: skip
            if key not in keys:
                keys.add(key)
                for name in ("layers", "files", "packages", "olives", "summary"):
                    frames.validate(getattr(image, name), getattr(tables, name.title()))
        except CaveatError as problem:
            texts.add(str(problem))
        worst = max(worst, time.process_time() - start)
    assert all(text.isprintable() for text in texts)
    row = f"{good} read, {len(keys)} kinds"
    bars.append((f"image: of {count:,} mutants, uncaught exceptions", f"0 ({row})", "0"))
    bars.append((f"image: the slowest of {count:,} mutants", f"{worst:.2f} s", "<= 2 s"))
    assert worst <= MUTANT_S
    assert len(keys) > count / 500
    return good


def test_2000_mutants(bars):
    """A mutated archive is a CaveatError or an image, nothing else (seeded)."""
    assert 0 < try_mutants(1, 2000, bars) < 1600


@pytest.mark.slow
@pytest.mark.long
def test_100000_mutants(bars):
    """The same, 100,000 of them."""
    assert try_mutants(2, 100_000, bars) > 0
