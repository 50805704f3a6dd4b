"""What a trial of `storage` does, in this order in every place."""

from __future__ import annotations

from collections.abc import Mapping

from caveatlib.experiments.storage.bench import FILES
from caveatlib.experiments.storage.schema import FIRST, LARGE_BYTES, SMALL
from caveatlib.places.base import TrialResult


def trial(place, conditions: Mapping, *, seed: int) -> TrialResult:
    """Start a container on a fresh disk, let it work there, and look at the disk."""
    with place.opened() as bench:
        found = dict(bench.start())
        firsts = {size: bench.first_write(name) for name, size in FILES.items()}
        found |= bench.small_files()
        found |= bench.new_file()
        found |= bench.containers()
        found["direct"] = bench.direct()
    steps = ("open_s", "write_s", "fsync_s")
    found |= {FIRST[size]: sum(took[step] for step in steps) for size, took in firsts.items()}
    found["copied_bytes"] = firsts[LARGE_BYTES]["copied_bytes"]
    found["files_s"] = sum(found[name] for name in SMALL)
    rows = [
        {"replicate": conditions["replicate"], "file_bytes": size}
        | {step: took[step] for step in steps}
        for size, took in firsts.items()
    ]
    return TrialResult(found, {"first_writes": rows})
