"""A survey of 1,000 images of a registry: ``python tests/benchmarks/bench_survey.py [IMAGES]``.

The images share layers as those of a company do: a few bases, some frameworks on each, one
layer of their own. They lie in Debian's docker-registry on loopback, whose access log tells
how often each layer was fetched. Read in this process, by a cluster of one worker process and
of two; a sample by syft, one image after the other, as its users do. It looks for packages of
languages, too, so the ratio says what a survey costs, not whose reader is faster.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from distributed import Client, LocalCluster

from caveatlib import fleet, images

BASES, FRAMEWORKS, SAMPLE = 5, 8, 50
FILES = {"base": (2_000, 8_000), "framework": (500, 6_000), "own": (20, 4_000)}
"""Kind of layer -> its number of files, and their mean size in bytes."""
OCI = "application/vnd.oci.image."
PROGRAMS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def layer(kind: str, number: int) -> tuple[bytes, str]:
    """Return a packed layer and the digest of the unpacked one."""
    count, mean = FILES[kind]
    rng, packed = random.Random(f"{kind}{number}"), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for i in range(count):
            entry = tarfile.TarInfo(f"{kind}/{number}/d{i // 50}/f{i}")
            entry.size = int(rng.expovariate(1 / mean))
            tar.addfile(
                entry, io.BytesIO(rng.randbytes(entry.size // 2) + bytes(-(-entry.size // 2)))
            )
    plain = packed.getvalue()
    return gzip.compress(plain, 1, mtime=0), hashlib.sha256(plain).hexdigest()


class Storage:
    """The folder of a docker-registry, written to directly: a push takes a third of a second."""

    def __init__(self, folder: Path):
        self.root = folder / "docker/registry/v2"

    def blob(self, data: bytes) -> str:
        """Keep a blob; return its digest in hex."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.root / "blobs/sha256" / digest[:2] / digest / "data"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest

    def link(self, where: str, digest: str) -> None:
        """Make a repository name a blob."""
        path = self.root / "repositories" / where / "link"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"sha256:{digest}")

    def image(self, name: str, parts: list[tuple[str, int, str]]) -> None:
        """Keep an image of layers (digest, size, digest unpacked) under ``name:latest``."""
        diff_ids = [f"sha256:{diff}" for _, _, diff in parts]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        stored = json.dumps(config).encode()
        described = self.described("config.v1+json", self.blob(stored), len(stored))
        layers = [self.described("layer.v1.tar+gzip", digest, size) for digest, size, _ in parts]
        kind = f"{OCI}manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": layers}
        top = self.blob(json.dumps(manifest).encode())
        for digest in [described["digest"][7:], *(digest for digest, _, _ in parts)]:
            self.link(f"{name}/_layers/sha256/{digest}", digest)
        for where in (
            f"revisions/sha256/{top}",
            "tags/latest/current",
            f"tags/latest/index/sha256/{top}",
        ):
            self.link(f"{name}/_manifests/{where}", top)

    @staticmethod
    def described(kind: str, digest: str, size: int) -> dict:
        """Return a descriptor."""
        return {"mediaType": f"{OCI}{kind}", "digest": f"sha256:{digest}", "size": size}


def fill(folder: Path, count: int) -> dict[str, int]:
    """Make so many images; return the distinct layers: digest -> bytes as stored."""
    storage, known = Storage(folder), {}

    def kept(kind: str, number: int) -> tuple[str, int, str]:
        if (kind, number) not in known:
            data, diff = layer(kind, number)
            known[kind, number] = storage.blob(data), len(data), diff
        return known[kind, number]

    for number in range(count):
        base = number % BASES
        framework = base * FRAMEWORKS + number // BASES % FRAMEWORKS
        parts = [kept("base", base), kept("framework", framework), kept("own", number)]
        storage.image(f"team{number % 20}/app{number}", parts)
    return {f"sha256:{digest}": size for digest, size, _ in known.values()}


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Serve a folder; yield ``127.0.0.1:port``. Its log is ``log`` beside the folder."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = folder.parent / "config.yml"
    settings.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}\n"
        f"http:\n  addr: {where}\nlog:\n  level: error\n"
    )
    with (folder.parent / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(settings)], stdout=log, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(tuple(where.split(":")), 1),
                ):
                    break
                time.sleep(0.05)
            yield where
        finally:
            server.terminate()
            server.wait(10)


def fetched(log: Path, since: int) -> Counter:
    """Return how often each blob was fetched after a place in the log."""
    with log.open() as file:
        file.seek(since)
        return Counter(re.findall(r'"GET /v2/\S+/blobs/(sha256:[0-9a-f]{64})', file.read()))


def peak(client: Client) -> float:
    """Return the most memory that a worker has had resident, in MiB."""
    sizes = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return max(sizes.values()) / 2**10


def surveyed(source: str, workers: int) -> tuple[images.Survey, float, str]:
    """Survey a source, without workers in this process; return seconds and memory besides."""
    if not workers:
        start = time.monotonic()
        return images.survey([source], progress=False), time.monotonic() - start, ""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as client,
    ):
        client.wait_for_workers(workers, timeout=60)
        assert len(client.nthreads()) == workers
        start = time.monotonic()
        found = fleet.survey(client, [source], progress=False)
        took = time.monotonic() - start
        return found, took, f", {peak(client):.0f} MiB at most in a worker"


def main(count: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="caveatlib-survey-") as temporary:
        folder, log = Path(temporary) / "data", Path(temporary) / "log"
        stored = fill(folder, count)
        size = sum(stored.values())
        print(f"{count} images, {len(stored)} distinct layers of {size / 1e6:.0f} MB as stored")
        with registry(folder) as where:
            took = {}
            for name, workers in (("this process", 0), ("1 worker", 1), ("2 workers", 2)):
                since = log.stat().st_size
                found, took[name], memory = surveyed(f"registry://{where}", workers)
                assert found.images["ok"].all()
                assert len(found.images) == count
                assert len(found.layers) == len(stored)
                times = {digest: n for digest, n in fetched(log, since).items() if digest in stored}
                read = sum(stored[digest] * n for digest, n in times.items())
                print(
                    f"{name:<13} {took[name]:6.1f} s, {took[name] / took['this process']:.2f} of "
                    f"this process; {read / size:.3f} of the layers' bytes read, "
                    f"{sum(n > 1 for n in times.values())} layers more than once{memory}"
                )
            print(f"two workers over one: {took['1 worker'] / took['2 workers']:.2f} times as fast")
            by_syft(where, count, took["this process"] / count)


def by_syft(where: str, count: int, ours_s: float) -> None:
    """Print the ratio to syft, one image after the other, on a sample."""
    sample = random.Random(1).sample(range(count), min(SAMPLE, count))
    environment = os.environ | {
        "PATH": PROGRAMS, "SYFT_REGISTRY_INSECURE_USE_HTTP": "true",
        "SYFT_CHECK_FOR_APP_UPDATE": "false",
    }  # fmt: skip
    start = time.monotonic()
    try:
        for number in sample:
            reference = f"registry:{where}/team{number % 20}/app{number}:latest"
            subprocess.run(
                ["syft", "scan", "-q", "-o", "json", reference], env=environment, check=True,
                stdout=subprocess.DEVNULL, timeout=120,
            )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        print(f"syft: not compared ({type(error).__name__})")
        return
    each = (time.monotonic() - start) / len(sample)
    print(f"syft: {each:.2f} s an image, {each / ours_s:.0f} times this process's {ours_s:.3f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
