"""Fake benches of `applications`: images that hold made-up files, servers that open some of them.

Never makes a number that is shown.
"""

from __future__ import annotations

import itertools
import random

import pandas as pd
from places.fake import CLOCK, on_clock, spec

from caveatlib.experiments.applications import catalogue
from caveatlib.experiments.applications.bench import Held, Worked

FILES = {"full": 2000, "minimal": 1000}
"""Files of an image besides its marks, every tenth an executable."""
COUNTS = {
    "full": {"setuid_files": 9.0, "shells": 4.0, "packages": 180.0, "owned_share": 0.85},
    "minimal": {"setuid_files": 7.0, "shells": 4.0, "packages": 90.0, "owned_share": 0.8},
}
_EVEN = {"package_managers": 2.0, "interpreters": 3.0, "extras_share": 0.1, "olives": 0.0}


def held(name: str, base: str) -> Held:
    """Return an image whose files are the larger the later the application is listed."""
    number = list(catalogue.BY_NAME).index(name)
    count = FILES[base] + 10 * number
    paths = [f"/usr/file{n}" for n in range(count)]
    files = pd.DataFrame(
        {
            "size_bytes": [1000 + 100 * number] * count,
            "executable": [n % 10 == 0 for n in range(count)],
            "file": paths,
        },
        index=pd.Index(paths, name="path"),
    )
    total = float(files["size_bytes"].sum())
    counts = {
        "size_bytes": total,
        "visible_bytes": total,
        "files": float(count),
        "executables": float(files["executable"].sum()),
        **COUNTS[base],
        **_EVEN,
    }
    return Held(counts, files)


class FakeBench:
    """Stands for `bench.Bench`."""

    def __init__(self, name: str, number: int = 0):
        self.name = name
        self.random = random.Random(f"{name}, {number}")

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}

    def held(self, base: str) -> Held:
        """Return what the image holds."""
        return held(self.name, base)

    def deploy(self, base: str, rate_bit_per_s: float) -> dict[str, float]:
        """Take what half of the bytes take on the link, 0.1 s per MB to unpack, and 0.4 s."""
        size, even = self.held(base).counts["visible_bytes"], self.random.gauss(1, 0.01)
        pulled = even * (size / 2 * 8 / rate_bit_per_s + size * 1e-7 + 0.3)
        CLOCK.passes(pulled + 0.1 * even)
        return {"pulled_s": pulled, "deployed_s": pulled + 0.1 * even, "moved_bytes": size / 2}

    def work(self, base: str) -> Worked:
        """Open so many files of either base, /etc/hosts, and something that the server wrote."""
        number = list(catalogue.BY_NAME).index(self.name)
        names = [f"/usr/file{n}" for n in range(95 + 10 * number)]
        took = self.random.uniform(0.2, 0.3)
        CLOCK.passes(2 * took)
        others = ["/etc/hosts", "/tmp/written"]
        return Worked(1000, took / 2, took, frozenset([*names, *others]), catalogue.MARKED)


_numbers = itertools.count()
PLACES = {
    name: spec(lambda name: FakeBench(name, next(_numbers)), name, on_clock)
    for name in catalogue.BY_NAME
}
