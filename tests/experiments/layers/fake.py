"""Fake images and a fake registry: answer by what the real ones were seen to do, at once.

For tests of the experiment `layers`; never makes a number that is shown.
"""

from __future__ import annotations

import random
import re

import pandas as pd
from places.fake import CLOCK, FakePlace, on_clock, spec

from caveatlib.experiments.layers import generated, on_kernels
from caveatlib.experiments.layers.designs import FULL, MINIMAL, REGISTRY, SCRATCH, SYSTEMS
from caveatlib.places import rootfs

# Counts of an image: files, and what is among them.
_COUNTS = {
    "app-full": {"files": 9000, "executables": 1200, "setuid_files": 12, "shells": 4,
                 "packages": 150, "visible_bytes": 300_000_000, "unowned_bytes": 30_000_000},
    "app-minimal": {"files": 5000, "executables": 900, "setuid_files": 10, "shells": 4,
                    "packages": 90, "visible_bytes": 150_000_000, "unowned_bytes": 20_000_000},
    "app-scratch": {"files": 4, "executables": 1, "setuid_files": 0, "shells": 0,
                    "packages": 0, "visible_bytes": 2_000_000, "unowned_bytes": 2_000_000},
}  # fmt: skip
_PROGRAM_BYTES = 800_000


class FakeImage:
    """The few tables of an image that the experiment reads."""

    def __init__(self, name: str, *, olives: int = 0):
        counts = {"package_managers": 0, "interpreters": 0, "extras_share": 0.1} | _COUNTS[name]
        counts |= {"size_bytes": counts["visible_bytes"], "olives": olives}
        self.summary = pd.DataFrame([counts])
        self.olives = pd.DataFrame(
            {"expected": ["/bin/sh leads to an ELF program"] * olives}, dtype=str
        )
        rows = [("dpkg", f"package-{n}", "1.0", 1000, 0) for n in range(min(3, counts["packages"]))]
        columns = ["manager", "name", "version", "installed_bytes", "layer"]
        self.packages = pd.DataFrame(rows, columns=columns)
        rest = counts["visible_bytes"] - _PROGRAM_BYTES
        self.files = pd.DataFrame(
            {
                "path": ["/bin/busybox", "/www/index.html", "/usr/lib/libc.so.6", "/etc/never"],
                "size_bytes": [_PROGRAM_BYTES, 30, 0, rest],
                "type": "file",
                "hidden_by": float("nan"),
            }
        )


class FakeWeb:
    """Stands for `web.WebPlace`."""

    def __init__(self, name: str):
        self.name = name
        self.image = FakeImage(name)

    def planted(self) -> FakeImage:
        """Return the image with one olive."""
        return FakeImage(self.name, olives=1)

    def serve(self) -> tuple[int, dict[str, int]]:
        """Open the program and its page; a library, too, unless on scratch."""
        found = {"/bin/busybox": _PROGRAM_BYTES, "/www/index.html": 30, "/etc/hosts": 100}
        if self.name != "app-scratch":
            found["/usr/lib/libc.so.6"] = 0
        return 1, found

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeMoving:
    """Stands for `moving.Moving`: a fixed delay, unpacking, and the link."""

    random = random.Random("layers")  # of all sessions: no two readings are equal

    def __init__(self, name: str):
        self.name = name

    def pull(
        self, size_mib: int, rate_bit_per_s: float, *, kind: str = "whole", base_there: bool = False
    ) -> dict:
        """Take 0.1 s and 5 s per GB, 8 in even layers, and the packed bytes over the link."""
        content = generated.content_bytes(size_mib, "rest" if base_there else None)
        unpacking = content * (8e-9 if kind == "even" else 5e-9)
        return self._moved(content / 2, rate_bit_per_s, 0.1 + unpacking)

    def fetch(
        self, size_mib: int, rate_bit_per_s: float, *, packed: bool, base_there: bool = False
    ) -> dict:
        """Take 1 s per GB, and the bytes over the link."""
        content = generated.disk_mib(size_mib) << 20
        content = content // 7 if base_there else content
        return self._moved(content / (2 if packed else 1), rate_bit_per_s, content * 1e-9)

    def _moved(self, sent: float, rate: float, other_s: float) -> dict:
        seconds = other_s + (sent * 8 / rate / 0.957 if rate else 0)
        seconds *= abs(self.random.gauss(1, 0.01))
        CLOCK.passes(seconds)
        return {"moved_s": seconds, "moved_bytes": sent}

    def metadata(self) -> dict[str, str]:
        """Return that this is a fake."""
        return {"fake": "yes"}


class FakeAnswering(FakePlace):
    """A place whose workload serves its page at once; a guest has another kernel."""

    def __init__(self, name: str):
        super().__init__(name, says=self._page)

    def _page(self, workload) -> str:
        nonce = re.search(r"echo (\w+) begins", workload.script)[1]
        release = "6.12.90-cloud" if self.name == "guest" else "6.18.44"
        return f"{nonce} begins\n{release}\n{rootfs.PAGE.decode()}\n{nonce} ends\n"


class FakePublished(FakeMoving):
    """Stands for `published.Published`: packed bytes of two images and of a machine."""

    random = random.Random("published")

    def system(self, kind: str, rate_bit_per_s: float) -> dict:
        """Take 5 s per GB that is unpacked, and the packed bytes over the link."""
        packed = 80e6 if kind == "whole" else 20e6
        found = self._moved(packed, rate_bit_per_s, 0.1 + 2.5 * packed * 5e-9)
        return found | {"stored_bytes": 2.5 * packed}

    def machine(self, rate_bit_per_s: float) -> dict:
        """Take 1 s per GB, and the bytes over the link."""
        return self._moved(86e6, rate_bit_per_s, 86e6 * 1e-9) | {"stored_bytes": 85e6}


PLACES = {
    **{name: spec(FakeAnswering, name) for name in on_kernels.PLACES},
    **{name: spec(FakeWeb, name) for name in (FULL, MINIMAL, SCRATCH)},
    REGISTRY: spec(FakeMoving, REGISTRY, on_clock),
    **{place: spec(FakePublished, place, on_clock) for place in SYSTEMS},
}
