"""What a trial of `applications` does."""

from __future__ import annotations

from caveatlib.experiments.applications.bench import Bench, Held, Worked
from caveatlib.experiments.applications.designs import BASES, CONTENTS, DEPLOYMENT, LINKS
from caveatlib.places.base import TrialResult


def trial(place: Bench, conditions: dict, *, seed: int) -> TrialResult:
    """Read the image of an application, ask its server and see what it opens, or deploy it.

    Parameters
    ----------
    place : Bench
    conditions : dict
        ``work``, ``base``, ``link``, ``replicate``.
    seed : int
        Unused: nothing in a trial is random.
    """
    base = BASES[conditions["base"]]
    if conditions["work"] == CONTENTS:
        return TrialResult(dict(place.held(base).counts))
    if conditions["work"] == DEPLOYMENT:
        return TrialResult(place.deploy(base, LINKS[conditions["link"]]))
    return TrialResult(used(place.held(base), place.work(base)))


def used(held: Held, worked: Worked) -> dict[str, float]:
    """Return what a workload opened of an image, by the sizes that files have in the image.

    What the engine adds, e.g. ``/etc/hosts``, and what the server writes while it runs, is not the
    image's and is not counted. Of a file with several names each is opened if one is.
    """
    met = held.files.loc[held.files.index.isin(worked.opened), "file"]
    opened = held.files[held.files["file"].isin(met)]
    programs = held.files["executable"]
    return {
        "answered": float(worked.answered),
        "first_answer_s": worked.first_answer_s,
        "workload_s": worked.workload_s,
        "marks_seen": float(worked.marks_seen),
        "opened_files": float(len(opened)),
        "opened_bytes": float(opened["size_bytes"].sum()),
        "opened_executables": float(opened["executable"].sum()),
        "opened_file_share": len(opened) / len(held.files),
        "opened_byte_share": float(opened["size_bytes"].sum() / held.files["size_bytes"].sum()),
        "opened_executable_share": float(opened["executable"].sum() / programs.sum()),
    }
