"""The image reader against its peers: ``python tests/benchmarks/bench_images.py [FOLDER]``.

Builds a tree of 46,000 entries and some 3 GB (or takes a FOLDER), packs it,
and prints a table of ratios; a missing peer is named. Every figure is the
median of five rounds (one round against whole programs, which take minutes) in
which all contestants run in random order; the files were read once before, so
all of them come from the page cache. caveatlib and tarfile run within this
process, programs with their start. Needs some 12 GB of disk in ``$TMPDIR``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from isal import igzip_lib, isal_zlib

ROUNDS = 5
ENTRIES, TOTAL = 46_000, 3_000_000_000
CHUNK = 1 << 20
# The extra `bench` puts syft beside this Python, which is on no PATH by itself.
PROGRAMS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def make_tree(folder: Path, *, entries: int = ENTRIES, total: int = TOTAL) -> None:
    """Make folders of 20 files each, their sizes lognormal as in a distribution."""
    rng = random.Random(1)
    weights = [rng.lognormvariate(8, 2.2) for _ in range(entries)]
    scale = total / sum(weights)
    # A third noise, the rest text: packs to about 40 %, as images do.
    pattern = b"".join(
        rng.randbytes(340) + b"The quick brown fox jumps over the lazy dog. " * 15
        for _ in range(1 << 10)
    )
    for number, weight in enumerate(weights):
        parent = folder / f"usr/lib/part{number // 2000}/package-name-{number // 20}"
        if number % 20 == 0:
            parent.mkdir(parents=True)
            continue
        size, start = int(weight * scale), rng.randrange(len(pattern))
        with (parent / f"some-file-{number}.dat").open("wb") as file:
            while size > 0:
                piece = pattern[start : start + size]
                file.write(piece)
                size, start = size - len(piece), 0


def make_image(tree: Path, folder: Path, plain: Path) -> Path:
    """Write an OCI layout of one gzip layer from the plain archive."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer, diff = hashlib.sha256(), hashlib.sha256()
    packer = isal_zlib.compressobj(1, wbits=31)
    temporary = blobs / "layer"
    with plain.open("rb") as source, temporary.open("wb") as file:
        while chunk := source.read(CHUNK):
            diff.update(chunk)
            packed = packer.compress(chunk)
            layer.update(packed)
            file.write(packed)
        packed = packer.flush()
        layer.update(packed)
        file.write(packed)
    size = temporary.stat().st_size
    temporary.rename(blobs / layer.hexdigest())

    def put(value: dict, kind: str) -> dict:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        media_type = f"application/vnd.oci.image.{kind}.v1+json"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff.hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(config, "config"),
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": f"sha256:{layer.hexdigest()}",
                "size": size,
            }
        ],
    }
    entry = put(manifest, "manifest")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return blobs / layer.hexdigest()


def listed_by_tarfile(path: Path) -> int:
    with tarfile.open(path) as archive:
        return sum(1 for _ in archive)


def program(*command, output: Path | None = None, **options):
    """Return a function that runs a program, its output into a file."""

    def run():
        with open(output or os.devnull, "wb") as file:
            subprocess.run(
                command, check=True, stdout=file, stderr=subprocess.DEVNULL, timeout=600, **options
            )

    return run


def igzip(path: Path) -> None:
    """Unpack with igzip, one member, and forget the output."""
    decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    with path.open("rb") as file:
        while not decoder.eof:
            decoder.decompress(file.read(1 << 17) if decoder.needs_input else b"", CHUNK)


def sha256(path: Path) -> None:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)


def medians(contestants: dict, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median seconds of each, all of them in random order per round."""
    rng = random.Random(2)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in rng.sample(sorted(contestants), len(contestants)):
            start = time.perf_counter()
            contestants[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_mib(code: str, *arguments) -> tuple[float, float]:
    """Return (peak resident MiB, seconds within) of a fresh interpreter that runs the code."""
    code = (
        "import resource, sys, time\nfrom caveatlib import images\nstart = time.perf_counter()\n"
        f"{code}\nprint(time.perf_counter() - start)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    seconds, peak = map(float, done.stdout.split())
    return peak, seconds


def headers_only(path: Path, count: int) -> None:
    """Write an archive of so many empty files."""
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo(f"usr/share/p{number // 50}/file-{number}"))


def compare(title: str, ours: str, seconds: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in sorted(seconds.items(), key=lambda item: item[1]):
        print(f"  {name:44} {value:9.3f} s   {value / seconds[ours]:6.2f} x ours")


def main() -> None:
    from caveatlib import images

    work = Path(tempfile.mkdtemp(prefix="caveatlib-bench-"))
    try:
        tree = Path(sys.argv[1]) if len(sys.argv) > 1 else work / "tree"
        if len(sys.argv) == 1:
            make_tree(tree)
        plain = work / "plain.tar"
        subprocess.run(["tar", "cf", str(plain), "-C", str(tree), "."], check=True, timeout=600)
        blob = make_image(tree, work / "layout", plain)
        if len(sys.argv) == 1:
            shutil.rmtree(tree)
        count = len(images.list_tar(plain))
        print(f"{count} entries, {plain.stat().st_size} bytes, packed {blob.stat().st_size}")

        listing = {
            "caveatlib images.list_tar, to a frame": lambda: images.list_tar(plain),
            "Python tarfile, listing": lambda: listed_by_tarfile(plain),
            "GNU tar tvf, text to a file": program("tar", "tvf", plain, output=work / "out"),
            "GNU tar tf, text to a file": program("tar", "tf", plain, output=work / "out"),
            "bsdtar tvf, text to a file": program("bsdtar", "tvf", plain, output=work / "out"),
        }
        compare("Listing a plain archive", next(iter(listing)), medians(listing))

        layout = work / "layout"
        reading = {
            "caveatlib images.read, layers and files": lambda: both(images, layout),
            "igzip decompression alone": lambda: igzip(blob),
            "SHA-256 of the unpacked bytes alone": lambda: sha256(plain),
        }
        compare("A gzip image, digests verified", next(iter(reading)), medians(reading))

        peers = {"caveatlib, as a program": program(sys.executable, "-c", READ, layout)}
        if shutil.which("umoci"):
            peers["umoci unpack"] = lambda: umoci(work)
        if shutil.which("skopeo"):
            peers["skopeo copy to a folder"] = lambda: skopeo(work)
        syft = os.environ.get("SYFT") or shutil.which("syft", path=PROGRAMS)
        if syft:
            # Every file with its digest; one package cataloger, which finds nothing.
            peers["syft, file catalogue"] = program(
                syft, "scan", f"oci-dir:{layout}", "--output", "json",
                "--override-default-catalogers", "go-module-file-cataloger",
                env=os.environ | {"SYFT_FILE_METADATA_SELECTION": "all",
                                  "SYFT_CHECK_FOR_APP_UPDATE": "false"},
            )  # fmt: skip
        else:
            print("\nsyft is not installed (extra `bench`)")
        compare("The same against programs", next(iter(peers)), medians(peers, rounds=1))

        code = "image = images.read(sys.argv[1])\nimage.layers, image.files"
        peak, _ = peak_mib(code, layout)
        print(f"\nPeak memory of reading it, frames included: {peak:.0f} MiB")
        print("\nListing empty files: is time linear?")
        for number in (62_500, 250_000, 1_000_000):
            headers_only(work / "many.tar", number)
            peak, seconds = peak_mib("images.list_tar(sys.argv[1])", work / "many.tar")
            print(f"  {number:9} entries {seconds:7.3f} s  {1e6 * seconds / number:.2f} us each")
    finally:
        shutil.rmtree(work)


READ = """
import sys
from caveatlib import images
image = images.read(sys.argv[1])
image.layers, image.files
"""


def both(images, layout: Path) -> None:
    image = images.read(layout)
    assert image.layers is not None
    assert image.files is not None


def umoci(work: Path) -> None:
    target = work / "bundle"
    program("umoci", "unpack", "--image", f"{work / 'layout'}:latest", target)()
    shutil.rmtree(target)


def skopeo(work: Path) -> None:
    target = work / "copy"
    source = f"oci:{work / 'layout'}:latest"
    program("skopeo", "--insecure-policy", "copy", source, f"dir:{target}")()
    shutil.rmtree(target)


if __name__ == "__main__":
    main()
