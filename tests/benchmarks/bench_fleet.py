"""What a cluster costs beside the work: ``bench_fleet.py [IMAGES [HOSTS]]``.

Images and hosts are simulated: the tasks are those of `fleet.survey` and `fleet.measure`, with
nothing in them, so that what is left is scheduler, client and the way between them. Workers share
the CPUs of this machine with these, so that a task costs no more than is said. The ratios are to
as many tasks that Dask's own `Client.map` hands out, in the same run, and of many to few: what
grows faster than its number breaks first. ``1000000 1000`` simulates all of what the cost model
in `caveatlib.fleet` speaks of; the first number takes hours.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
from distributed import Client, LocalCluster

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments.sample import sample
from runs import made

from caveatlib.fleet import measuring, surveying
from caveatlib.images import surveying as steps
from caveatlib.images.limits import DEFAULTS
from caveatlib.images.surveying import Finished, Planned, Reference, Tally

LAYERS = 3
"""Of an image: two that many have, and one of its own."""
TASKS = 3
"""Of an image: its documents, the layer of its own, and itself."""
READING_S = (0.02, 0.2, 2.0)
"""What a worker may need for an image and its own layer."""
PACKAGES = 200
"""Of an image; one in a hundred images has a version of its own."""
SHARED = 40


class Simulated(Planned):
    """An image that is nowhere."""

    @property
    def number(self) -> int:
        """Return its number."""
        return int(self.reference.source)

    @property
    def parts(self) -> tuple[int, ...]:
        """Return one part for each of its layers."""
        return tuple(range(LAYERS))

    def layer_keys(self) -> list[str]:
        """Return digests: of a base, of a framework, of its own."""
        shared = self.number % SHARED
        return [f"base{shared % 5}", f"framework{shared}", f"own{self.number}"]


def planned(reference: Reference, platform=None, limits=DEFAULTS) -> Planned:
    """Return an image without reading anything."""
    return Simulated(reference)


def scanned(image: Planned, part: int, limits=DEFAULTS) -> str:
    """Return what stands for the entries of a layer."""
    return image.layer_keys()[part]


def finished(image: Planned, scans: list[str], limits=DEFAULTS) -> Finished:
    """Return a row and two frames as large as a real image's."""
    row = {"reference": str(image.reference), "ok": True, "error": ""}
    layers = [(key, 1, 1) for key in image.layer_keys()]
    own = 0 if image.number % 100 else image.number
    packages = [("dpkg", f"package{i}", f"1.{own if i == 0 else 0}") for i in range(PACKAGES)]
    return Finished(
        row,
        pd.DataFrame(layers, columns=["diff_id", "size_bytes", "compressed_bytes"]),
        pd.DataFrame(packages, columns=["manager", "name", "version"]),
    )


def cluster(workers: int, **settings) -> LocalCluster:
    """Return a cluster without a dashboard, of one thread per worker."""
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, **settings)


def resident() -> int:
    """Return the resident bytes of this process, client and scheduler."""
    gc.collect()
    return psutil.Process().memory_info().rss


def survey(count: int) -> tuple[float, float, float]:
    """Survey so many simulated images; return seconds, bytes in the client, seconds bare.

    Bare: as many tasks of nothing by `Client.map`, as many at a time.
    """
    plan, scan, finish = steps.plan, steps.scan, steps.finish
    steps.plan, steps.scan, steps.finish = planned, scanned, finished
    expand, hosts = steps.expand, surveying.hosts
    steps.expand = lambda sources, limits: [Reference(str(i)) for i in range(count)]
    surveying.hosts = lambda client: {}
    try:
        with cluster(2) as local, Client(local) as client:
            client.gather(client.map(int, range(100), pure=False))  # workers have begun
            before, start = resident(), time.monotonic()
            found = surveying.survey(client, [], progress=False)
            took, kept = time.monotonic() - start, resident() - before
            assert len(found.images) == count
            assert len(found.layers) == 5 + SHARED + count
            start = time.monotonic()
            tasks = TASKS * count + 5 + SHARED
            for begun in range(0, tasks, 2000):
                client.gather(client.map(int, range(min(2000, tasks - begun)), pure=False))
            return took, kept, time.monotonic() - start
    finally:
        steps.plan, steps.scan, steps.finish = plan, scan, finish
        steps.expand, surveying.hosts = expand, hosts


def tallied(count: int) -> tuple[float, float]:
    """Return seconds and bytes that so many images cost in the tally alone."""
    tally = Tally()
    parts = [finished(Simulated(Reference(str(i))), []) for i in range(1000)]
    before = resident()
    start = time.monotonic()
    for number in range(count):
        one = parts[number % 1000]
        own = one.layers.assign(diff_id=[*one.layers["diff_id"][:2], f"own{number}"])
        tally.add(number, Finished(dict(one.row), own, one.packages))
    tally.survey()
    return time.monotonic() - start, resident() - before


def measure(count: int, package: dict[str, bytes]) -> tuple[float, float]:
    """Measure nothing on so many simulated hosts; return seconds, and those of bare tasks.

    The hosts are workers in this process: a host costs the scheduler a connection and a
    heartbeat, whatever it is.
    """
    measure_here, hosts = measuring.measure_here, measuring.hosts
    measuring.measure_here = lambda name, plan, token: package
    try:
        with (
            cluster(count, processes=False, memory_limit=0) as local,  # each would count all
            Client(local) as client,
            tempfile.TemporaryDirectory() as out,
        ):
            client.wait_for_workers(count, timeout=300)
            workers = {f"host-{i}": w for i, w in enumerate(client.nthreads())}
            measuring.hosts = lambda client: workers
            start = time.monotonic()
            rows = measuring.measure(client, [sample], out=Path(out) / "out")
            took = time.monotonic() - start
            assert rows["ok"].all()
            assert len(rows) == count
            start = time.monotonic()
            client.gather(client.map(int, range(count), pure=False))
            return took, time.monotonic() - start
    finally:
        measuring.measure_here, measuring.hosts = measure_here, hosts


def main(images: int, hosts: int) -> None:
    """Print the tables."""
    each = {}
    for count in sorted({max(500, images // 4), images}):
        took, kept, bare = survey(count)
        each[count] = took / count
        print(
            f"{count:>9,} images: {took / count * 1e3:.2f} ms an image, {took / bare:.1f} times "
            f"that of {TASKS} bare tasks; {kept / count / 1e3:.1f} kB an image in client and "
            "scheduler"
        )
    many, few = each[max(each)], each[min(each)]
    print(f"{'':>9} many over few, an image: {many / few:.2f} times")
    took, kept = tallied(count := 4 * images)
    print(f"{count:>9,} images counted: {took / count * 1e3:.2f} ms, {kept / count / 1e3:.1f} kB")
    print(
        f"{'':>9} {many / TASKS * 1e3:.2f} ms a task; a million images, each with a layer of its "
        f"own: {1e6 * many / 3600:.1f} h of scheduling"
    )
    for reading_s in READING_S:
        print(f"{'':>9} {reading_s / many:.0f} workers at most, if an image takes {reading_s:g} s")
    with tempfile.TemporaryDirectory() as folder:
        package = {file.name: file.read_bytes() for file in made.run(Path(folder)).iterdir()}
        each = {}
        for count in sorted({max(10, hosts // 10), hosts}):
            took, bare = measure(count, package)
            each[count] = took / count
            print(
                f"{count:>9,} hosts: {took / count * 1e3:.1f} ms a package, its guards included, "
                f"{took / bare:.1f} times that of a bare task"
            )
        print(f"{'':>9} many over few, a host: {each[max(each)] / each[min(each)]:.2f} times")


if __name__ == "__main__":
    from bench_fleet import main as by_name  # as workers import it, who get it by its name

    given = [int(word) for word in sys.argv[1:]]
    by_name(*{0: (4_000, 200), 1: (*given, 200), 2: given}[len(given)])
